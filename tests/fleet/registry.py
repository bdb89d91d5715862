"""An image registry on a test host's loopback, which an engine pulls from as it does from any.

As a program (`python -m tests.fleet.registry FOLDER PORT`) it serves the manifests and blobs of a folder in the
distribution protocol. The file FOLDER/broken makes it cut each blob in the middle.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fleet.machine import Machine
from tests.fleet.network import NETNS
from tests.fleet.shell import wait_until

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PIECE, _PAUSE_S = 4 << 20, 0.02  # slow enough that a pull is seen to advance


class ImageRegistry:
    """One image in a folder, served on a host."""

    def __init__(self, folder: Path, *, tarball: Path, entrypoint: list[str]) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)
        layer = self._blob(tarball)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, **self._entry(self._text(json.dumps(config)))},
            "layers": [{"mediaType": _LAYER, **self._entry(layer)}],
        }
        (folder / "manifest").write_text(self._text(json.dumps(manifest)))

    def _blob(self, source: Path) -> str:
        with source.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        (self.folder / "blobs" / digest).symlink_to(source)
        return digest

    def _text(self, text: str) -> str:
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        (self.folder / "blobs" / digest).write_text(text)
        return digest

    def _entry(self, digest: str) -> dict[str, Any]:
        return {"digest": digest, "size": (self.folder / "blobs" / digest).stat().st_size}

    @contextmanager
    def broken(self) -> Iterator[None]:
        """The line to it breaks in the middle of each blob, meanwhile."""
        (self.folder / "broken").touch()
        yield
        (self.folder / "broken").unlink()

    @contextmanager
    def served(self, host: Machine, port: int) -> Iterator[str]:
        """Serve on the host; gives the image's name there."""
        command = [*("nsenter", f"--net={NETNS / host.plan.netns}"), sys.executable, "-m", "tests.fleet.registry"]
        process = subprocess.Popen([*command, str(self.folder), str(port)], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            wait_until(lambda: process.stdout.readline() == b"serving\n", what="the registry serves")  # type: ignore[union-attr]
            yield f"127.0.0.1:{port}/modelyard-test/llama:1"
        finally:
            process.kill()
            process.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        del args

    def _answer(self, *, body: bool) -> None:
        *_, kind, name = self.path.rstrip("/").split("/")
        if kind == "manifests":
            name = (self.folder / "manifest").read_text()
        path = self.folder / "blobs" / name
        if self.path == "/v2/" or not path.exists():
            self.send_response(200 if self.path == "/v2/" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", _MANIFEST if kind == "manifests" else "application/octet-stream")
        self.send_header("Docker-Content-Digest", name)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        if body:
            self._send(path)

    def _send(self, path: Path) -> None:
        left = path.stat().st_size
        if (self.folder / "broken").exists() and left > _PIECE:
            left //= 2
            self.close_connection = True
        with path.open("rb") as file:
            while left > 0:
                piece = file.read(min(_PIECE, left))
                self.wfile.write(piece)
                left -= len(piece)
                time.sleep(_PAUSE_S)


def main(folder: str, port: str) -> None:
    """Serve until killed."""
    _Handler.folder = Path(folder)
    with ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler) as server:
        print("serving", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
