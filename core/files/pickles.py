"""Files that can run code when they are loaded (D5): scanned in a process of its own, marked, and never loaded."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from core.text import clean_line

UNSAFE = "Pickle files can run code when they are loaded, so they are unsafe and never opened here."
SECONDS = 20.0  # of processor time for one file
_PATIENCE = 3  # how much longer it may take by the clock, on a busy machine
_SHOWN = 4
_ROOT = Path(__file__).resolve().parents[2]


class Level(StrEnum):
    """The worst that was found. None of them means that a file is safe: a scanner can be deceived."""

    DANGEROUS = "dangerous"  # it imports what runs commands or code
    SUSPICIOUS = "suspicious"  # it imports what no tensors need
    UNREAD = "unread"  # it could not be scanned to its end
    KNOWN = "known"  # only imports that tensors need


@dataclass(frozen=True, kw_only=True)
class PickleScan:
    """What a scanner saw of one file; `found` are imports such as `os.system`, the worst first."""

    level: str
    found: tuple[str, ...] = ()
    cause: str = ""
    scanner: str = ""

    @property
    def text(self) -> str:
        """For people, as the end of a sentence that begins with the file."""
        names = ", ".join(clean_line(name)[:80] for name in self.found[:_SHOWN])
        more = f" and {len(self.found) - _SHOWN} more" if len(self.found) > _SHOWN else ""
        return {
            Level.DANGEROUS: f"would run code when it is loaded: it imports {names}{more}",
            Level.SUSPICIOUS: f"imports what tensors do not need: {names}{more}",
            Level.UNREAD: f"could not be scanned: {clean_line(self.cause)}",
        }.get(Level(self.level), "imports only what tensors need, which is no proof that it is harmless")

    def as_dict(self) -> dict[str, Any]:
        """As it stands with a file in installed-models.json."""
        return {**asdict(self), "found": list(self.found)}

    @classmethod
    def from_dict(cls, values: object) -> PickleScan | None:
        """What `as_dict` gave; None when it is something else."""
        if not isinstance(values, Mapping) or values.get("level") not in list(Level):
            return None
        found = values.get("found")
        names = tuple(str(name) for name in found) if isinstance(found, list | tuple) else ()
        return cls(
            level=str(values["level"]),
            found=names,
            cause=str(values.get("cause", "")),
            scanner=str(values.get("scanner", "")),
        )


def scan(paths: Sequence[Path]) -> list[PickleScan]:
    """Scan files of this machine, in their order; blocks, and raises nothing because of what is in them."""
    done: list[PickleScan] = []
    while len(done) < len(paths):
        before = len(done)
        done += _batch(paths[before:])
        if len(done) == before:  # the process died on this one
            done.append(_unread("the scanner ended without a word: too little memory, or it was killed"))
    return done


def worst(scans: Iterable[PickleScan]) -> PickleScan | None:
    """The one to show where there is room for one."""
    order = list(Level)
    return min(scans, key=lambda one: order.index(Level(one.level)), default=None)


def _batch(paths: Sequence[Path]) -> list[PickleScan]:
    """Of as many files as one process lives for."""
    words = [sys.executable, "-P", "-m", "core.files.pickle_child", f"{SECONDS:g}"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, cwd="/") as child:
        try:
            return _told(child, [str(path.absolute()) for path in paths])
        finally:
            child.kill()


def _told(child: subprocess.Popen[bytes], paths: list[str]) -> list[PickleScan]:
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(paths).encode())
        child.stdin.close()
    except BrokenPipeError:
        return []
    scans: list[PickleScan] = []
    for _ in paths:
        line = _line(child.stdout.fileno(), within_s=SECONDS * _PATIENCE)
        if line is None:
            return scans
        scans.append(_read(line))
    return scans


def _line(descriptor: int, *, within_s: float) -> bytes | None:
    """Up to the next line break; None at the end, or when it takes too long."""
    line, deadline = b"", time.monotonic() + within_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 1) if ready else b""
        if not piece:
            return None
        line += piece
    return line


def _read(line: bytes) -> PickleScan:
    told = json.loads(line)
    found = [(f"{module}.{name}".strip("."), level) for module, name, level in told.get("found", ())]
    levels = {level for _, level in found}
    names = tuple(name for name, level in found if level != "innocuous")
    for level in (Level.DANGEROUS, Level.SUSPICIOUS):
        if level in levels:
            return PickleScan(level=level, found=names, scanner=_scanner())
    if told.get("cause") or told.get("broken"):
        return _unread(str(told.get("cause") or "it is damaged, or made to break scanners"))
    if not found:
        return _unread("no pickle of tensors was found in it")
    return PickleScan(level=Level.KNOWN, scanner=_scanner())


def _unread(cause: str) -> PickleScan:
    return PickleScan(level=Level.UNREAD, cause=cause, scanner=_scanner())


@cache
def _scanner() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"picklescan {version('picklescan')}"
    except PackageNotFoundError:
        return "none"


def marked(folder: Path, files: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The files of a model below `folder` with a `pickle` entry for those that are pickles; blocks."""
    there = [file for file in unmarked(files) if (folder / str(file["path"])).exists()]
    return with_marks(files, there, scan([folder / str(file["path"]) for file in there]))


def unmarked(files: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pickles among them that no scanner was asked about."""
    from core.files.kinds import Kind, kind_of

    return [file for file in files if kind_of(str(file["path"])) is Kind.PICKLE and not file.get("pickle")]


def with_marks(
    files: Sequence[Mapping[str, Any]], scanned: Sequence[Mapping[str, Any]], scans: Sequence[PickleScan]
) -> tuple[Mapping[str, Any], ...]:
    """The same files, those that were scanned with what was seen of them."""
    seen = {str(file["path"]): one.as_dict() for file, one in zip(scanned, scans, strict=True)}
    return tuple({**file, "pickle": seen[path]} if (path := str(file["path"])) in seen else file for file in files)


def problems(scans: Mapping[str, PickleScan]) -> tuple[str, ...]:
    """A sentence for each file, by name."""
    return tuple(f"{clean_line(name)} {one.text}." for name, one in sorted(scans.items()))
