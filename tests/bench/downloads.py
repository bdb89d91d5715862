"""Downloads from the loopback beside other programs: python -m tests.bench.downloads [--megabytes 1024] [--each 256].

One large file, and a repository of 1,000 small and 8 large ones. Ours always with its hashes and with all brought to
the disk; every figure is of a whole program, with its start. curl and aria2c are given the addresses and hashes,
ours and `hf` ask a Hub for them. What is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.file_server import COMMIT, NAME, serving
from tests.bench.measure import in_turns, show

_REPO = "bench/model"
_AIMS = {"curl": 1.3, "curl, parallel": 1.3, "aria2c and checksum": 3.0, "hf download": 4.0}
_OURS_FILE = """
import sys
from pathlib import Path
from core.downloads.transfer import fetch
from core.downloads.values import RemoteFile
fetch(RemoteFile.at(sys.argv[1], sha256=sys.argv[2]), Path(sys.argv[3]) / "model.gguf")
"""
_OURS_REPOSITORY = """
import asyncio, sys
from pathlib import Path
from core.downloads.run import DownloadRun
from core.downloads.sources import source_for
listing = asyncio.run(source_for(sys.argv[1]).listing(sys.argv[1]))
DownloadRun(listing, Path(sys.argv[2]), known={}).run()
"""
_XET = """
import sys, hf_xet
wanted = hf_xet.PyXetDownloadInfo(sys.argv[2], sys.argv[3], int(sys.argv[4]))
hf_xet.download_files([wanted], sys.argv[1], None, None, None)
"""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is fetched: (path, sha256) below `base`, and the bytes of all together."""

    base: str
    files: tuple[tuple[str, str], ...]
    size: int
    out: Path
    lists: Path

    def listed(self, name: str, line: Callable[[str, str], str]) -> Path:
        """A list of files as another program wants it."""
        path = self.lists / name
        path.write_text("\n".join(line(file, sha256) for file, sha256 in self.files))
        return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, help="of the one file")
    parser.add_argument("--each", type=int, default=256, help="megabytes of each large file of the repository")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("one file", "repository"))
    parser.add_argument("--folder", default="/var/tmp", help="on the disk that is meant")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        for below in ("root", "out", "server", "lists"):
            (folder / below).mkdir()
        files = _make(folder / "root", chosen.megabytes, chosen.each)
        with serving(folder / "root", folder / "server") as base:
            show({"server": NAME, **_measured(folder, base, files, chosen.rounds, chosen.only)})


def _measured(folder: Path, base: str, files: Mapping[str, int], rounds: int, only: str | None) -> dict[str, object]:
    def work(names: list[str]) -> _Work:
        root = folder / "root" / _REPO / "resolve" / COMMIT
        hashed = tuple((name, _sha256(root / name)) for name in names)
        size = sum(files[name] for name in names)
        address = f"{base}/{_REPO}/resolve/{COMMIT}"
        return _Work(base=address, files=hashed, size=size, out=folder / "out", lists=folder / "lists")

    one, all_of_them = work(["model.gguf"]), work([name for name in files if name != "model.gguf"])
    xet = _xet(folder / "xet", folder / "root" / _REPO / "resolve" / COMMIT / "model.gguf", one)
    environment = {**os.environ, "HF_ENDPOINT": base, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    meant = {"one file": (one, {**_for_one(one), **xet}), "repository": (all_of_them, _for_repository(all_of_them))}
    return {
        name: _compared(work_of_it, commands, environment, rounds)
        for name, (work_of_it, commands) in meant.items()
        if only in {None, name}
    }


def _for_one(work: _Work) -> dict[str, list[str]]:
    [(name, sha256)] = work.files
    url, out = f"{work.base}/{name}", str(work.out / name)
    checksum = f"--checksum=sha-256={sha256}"
    return {
        "curl": ["curl", "-sS", "-o", out, url],
        "curl and sha256sum": ["sh", "-c", f"curl -sS -o {out} {url} && sha256sum {out}"],
        "aria2c and checksum": [*_ARIA, f"--dir={work.out}", checksum, url],
        "hf download": [_hf(), "download", _REPO, name, "--local-dir", str(work.out), "--quiet"],
        "ours": [sys.executable, "-c", _OURS_FILE, url, sha256, str(work.out)],
    }


def _xet(store: Path, file: Path, work: _Work) -> dict[str, list[str]]:
    """hf_xet out of a store on this disk: without the line, the Hub and the SHA-256 that it would come with."""
    import hf_xet  # type: ignore[import-untyped]

    place = f"local://{store}"
    [kept] = hf_xet.upload_files([str(file)], place, None, None, None, None)
    return {
        "hf_xet, no line": [sys.executable, "-c", _XET, place, str(work.out / file.name), kept.hash, str(work.size)]
    }


_ARIA = ["aria2c", "-q", "-x16", "-s16", "-j16", "--file-allocation=falloc", "--no-conf"]


def _for_repository(work: _Work) -> dict[str, list[str]]:
    curl = work.listed("curl", lambda name, _: f'url="{work.base}/{name}"\noutput="{work.out}/{name}"')
    aria = work.listed("aria", lambda name, sha256: f"{work.base}/{name}\n  out={name}\n  checksum=sha-256={sha256}")
    sums = work.listed("sums", lambda name, sha256: f"{sha256}  {work.out}/{name}")
    quiet = ["curl", "-sS", "--no-progress-meter", "--create-dirs", "-K", str(curl)]
    return {
        "curl": quiet,
        "curl, parallel": [*quiet, "-Z", "--parallel-max", "8"],
        "curl and sha256sum": ["sh", "-c", f"{' '.join(quiet)} && sha256sum --quiet -c {sums}"],
        "aria2c and checksum": [*_ARIA, f"--dir={work.out}", "-i", str(aria)],
        "hf download": [_hf(), "download", _REPO, "--exclude", "model.gguf", "--local-dir", str(work.out), "--quiet"],
        "ours": [sys.executable, "-c", _OURS_REPOSITORY, f"hf:{_REPO}@main:*-*", str(work.out)],
    }


def _hf() -> str:
    return str(Path(sys.executable).with_name("hf"))


def _compared(
    work: _Work, commands: Mapping[str, list[str]], environment: Mapping[str, str], rounds: int
) -> dict[str, object]:
    there = {name: command for name, command in commands.items() if shutil.which(command[0])}
    processor: dict[str, list[float]] = {name: [] for name in there}
    taken = in_turns(
        {name: _timed(command, work, environment, processor[name]) for name, command in there.items()},
        rounds=rounds,
    )
    figures: dict[str, object] = {name: "not installed" for name in commands if name not in there}
    for name, times in taken.items():
        ratio = statistics.median(other / ours for other, ours in zip(times, taken["ours"], strict=True))
        figures[name] = {
            "megabytes_per_second": round(work.size / 1e6 / statistics.median(times)),
            "best": round(work.size / 1e6 / min(times)),
            "processor_seconds_per_gigabyte": round(statistics.median(processor[name][-rounds:]) / work.size * 1e9, 2),
            **({} if name == "ours" else {"ours_is_times_as_fast": round(ratio, 2), "aim": _AIMS.get(name)}),
        }
    return {"bytes": work.size, "files": len(work.files), "rounds": rounds, **figures}


def _timed(
    command: list[str], work: _Work, environment: Mapping[str, str], processor: list[float]
) -> Callable[[], float]:
    def measure() -> float:
        _take_memory(work.size)
        before, began = _processor_s(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        taken = time.perf_counter() - began
        processor.append(_processor_s() - before)
        for name, _ in work.files:
            assert (work.out / name).is_file(), f"{command[0]} left out {name}"
        _put_away(work.out)
        os.sync()  # what one leaves for the disk to do is not the next one's time
        return taken

    return measure


def _put_away(out: Path) -> None:
    """Give back the room that files take, and keep them: ext4 looks at each file that was deleted in the last minute
    before it makes a new one, a millisecond for each of a thousand, which no download has to bear.
    """
    for path in out.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    out.rename(tempfile.mkdtemp(prefix="done-", dir=out.parent))
    out.mkdir()


def _take_memory(size: int) -> None:
    """Touch as much as the file will take: a virtual machine gives free memory back, and the first to want it waits."""
    with mmap.mmap(-1, size + (64 << 20)) as memory:
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _make(root: Path, megabytes: int, each: int) -> dict[str, int]:
    """The files of a repository, and what a Hub tells of them; their sizes."""
    sizes = {"model.gguf": megabytes << 20}
    sizes |= {f"model-{number}.safetensors": each << 20 for number in range(1, 9)}
    sizes |= {f"part-{number % 10}/tokens-{number}.json": 500 + number * 37 for number in range(1000)}
    place, siblings = root / _REPO / "resolve" / COMMIT, []
    for name, size in sizes.items():
        _write(place / name, size)
        siblings.append(_sibling(place / name, name, size))
    (place.parent / "main").symlink_to(COMMIT)
    info = {"_id": "1", "id": _REPO, "modelId": _REPO, "sha": COMMIT, "private": False, "gated": False}
    told = {**info, "disabled": False, "tags": [], "siblings": siblings}
    _tell(root / "api" / "models" / _REPO, told, [_tree_entry(one) for one in siblings])
    return sizes


def _tell(place: Path, told: Mapping[str, object], tree: list[dict[str, object]]) -> None:
    """What the Hub answers."""
    for path in (place / "revision" / "main", place / "revision" / COMMIT):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told))
    (place / "tree").mkdir()
    (place / "tree" / COMMIT).write_text(json.dumps(tree))


def _tree_entry(sibling: Mapping[str, Any]) -> dict[str, object]:
    entry = {"type": "file", "path": sibling["rfilename"], "size": sibling["size"]}
    if "blobId" in sibling:
        return {**entry, "oid": sibling["blobId"]}
    return {**entry, "oid": COMMIT, "lfs": {**sibling["lfs"], "oid": sibling["lfs"]["sha256"]}}


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, 1 << 20))
    with path.open("wb") as file:
        for at in range(0, size, len(block)):
            file.write((at.to_bytes(8, "big") + block[8:])[: size - at])


def _sibling(path: Path, name: str, size: int) -> dict[str, object]:
    if path.suffix == ".json":
        content = path.read_bytes()
        return {"rfilename": name, "size": size, "blobId": hashlib.sha1(b"blob %d\0" % size + content).hexdigest()}
    sha256 = _sha256(path)
    return {"rfilename": name, "size": size, "lfs": {"sha256": sha256, "size": size, "pointerSize": 134}}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
