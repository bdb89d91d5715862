"""One large file from the loopback beside other downloaders: python -m tests.bench.downloads [--megabytes 1024].

Ours always with its sha256. aria2c is measured where it is installed. The server is a process of its own that
sends files from the page cache without copying, so that it is not what is measured.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.bench.measure import in_turns, show

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_OURS = """
import sys
from pathlib import Path
from core.downloads.transfer import fetch
from core.downloads.values import Limits, RemoteFile
fetch(RemoteFile.at(sys.argv[1]), Path(sys.argv[2]), limits=Limits(connections=int(sys.argv[3])))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        _serve(Path(chosen.serve))
        return
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-", dir="/var/tmp") as folder:
        file = _make(Path(folder) / "source" / "model.gguf", chosen.megabytes)
        with _server(file.parent) as base:
            show({"download": _measured(f"{base}/{file.name}", Path(folder) / "out", chosen.megabytes, chosen.rounds)})


def _measured(url: str, out: Path, megabytes: int, rounds: int) -> dict[str, object]:
    commands = {
        "curl": f"curl -sS -o {out} {url}",
        "curl and sha256sum": f"curl -sS -o {out} {url} && sha256sum {out}",
        "ours, 1 connection": _ours(url, out, 1),
        "ours, 4 connections": _ours(url, out, 4),
    }
    if shutil.which("aria2c"):
        commands["aria2c -x16"] = f"aria2c -q -x16 -s16 -d {out.parent} -o {out.name} {url}"
    processor: dict[str, list[float]] = {name: [] for name in commands}
    measurements = {name: _timed(command, out, processor[name]) for name, command in commands.items()}
    taken = in_turns(measurements, rounds=rounds, warm_up=1)
    speeds = {name: megabytes * 1.048576 / (statistics.median(times) / 1000) for name, times in taken.items()}
    return {
        name: {
            "megabytes_per_second": round(speed),
            "over_curl": round(speed / speeds["curl"], 2),
            "processor_seconds_per_gigabyte": round(
                statistics.median(processor[name]) / (megabytes * 1.048576 / 1000), 2
            ),
        }
        for name, speed in speeds.items()
    }


def _ours(url: str, out: Path, connections: int) -> str:
    return f"{sys.executable} -c '{_OURS}' {url} {out} {connections}"


def _timed(command: str, out: Path, processor: list[float]) -> Callable[[], float]:
    def measure() -> float:
        out.unlink(missing_ok=True)
        before, began = _processor_s(), time.perf_counter()
        subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
        taken = (time.perf_counter() - began) * 1000
        processor.append(_processor_s() - before)
        return taken

    return measure


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _make(path: Path, megabytes: int) -> Path:
    path.parent.mkdir()
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.downloads", "--serve", str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def _serve(folder: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = folder / Path(self.path).name
            size = path.stat().st_size
            asked = _RANGE.match(self.headers.get("Range", ""))
            at, end = (int(asked[1]), int(asked[2] or size - 1) + 1) if asked else (0, size)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(end - at))
            self.send_header("ETag", '"one"')
            if asked:
                self.send_header("Content-Range", f"bytes {at}-{end - 1}/{size}")
            self.end_headers()
            with path.open("rb") as file:
                while at < end:
                    at += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)

        def log_message(self, *args: object) -> None:
            del args

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            del args

    server = Quiet(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
