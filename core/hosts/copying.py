"""Copies by rsync: its words, its progress, its failures.

An unfinished file lies in `.modelyard-partial` beside its place and is taken up again by the next copy, so that
a name in the models folder always means a whole file. Nothing is ever deleted on the target.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import CommandFailed, ModelyardError, NotAllowed, NotFound
from core.hosts.connection import CopyProgress, FileStat
from core.hosts.process import Output, end, read_last, split_lines, start
from core.text import clean_line

PARTIAL_DIR = ".modelyard-partial"
_SILENCE_S = 60
_LINE = re.compile(
    rb"^\s*(?P<done>\d+)\s+(?P<percent>\d+)%\s+(?P<rate>[\d.]+)(?P<unit>[kMGT]?B)/s(?:\s+(?P<eta>[\d:]+))?"
)
_UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is to be copied: a file or a folder on this machine and its bytes, all files together."""

    path: Path
    is_dir: bool
    total: int


def rsync_argv(source: Source, target: str, *, shell: Sequence[str]) -> list[str]:
    """Copy `source` so that it becomes `target` on the host behind the remote shell `shell`."""
    here = f"{source.path.absolute()}/" if source.is_dir else str(source.path.absolute())
    there = target.rstrip("/") + "/" if source.is_dir else target
    return [
        "rsync",
        *("--recursive", "--copy-links", "--times", "--chmod=ugo=rwX", "--secluded-args"),
        *("--partial", f"--partial-dir={PARTIAL_DIR}", f"--timeout={_SILENCE_S}"),
        *("--info=progress2", "--no-inc-recursive", "--no-human-readable", "--outbuf=N"),
        *("--rsh", shlex.join(shell)),
        "--",
        here,
        f"modelyard:{there}",
    ]


async def rsync(argv: Sequence[str], *, total: int) -> AsyncGenerator[CopyProgress | Output, None]:
    """Reports while it runs, then how it ended; closing the iteration ends it.

    Raises:
        CommandFailed: rsync is not installed here.
    """
    try:
        process = await start(argv, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError as error:
        raise CommandFailed("rsync is not installed on this machine.", remedy="sudo apt install rsync") from error
    errors = asyncio.create_task(read_last(process.stderr))
    try:
        async for line in split_lines(process.stdout, separators=b"\n\r"):
            if report := parse_progress(line, total=total):
                yield report
        yield Output(code=await process.wait(), stdout=b"", stderr=await errors)
    finally:
        errors.cancel()
        await end(process)


def measure(path: Path) -> Source:
    """Look at what is to be copied.

    Raises:
        NotFound: there is no such path. CommandFailed: a part can't be read.
    """
    if not path.exists():
        raise NotFound(f"There is no {clean_line(str(path))} on this machine.")
    if not path.is_dir():
        return Source(path=path, is_dir=False, total=_size(path))
    walk = os.walk(path, followlinks=True)
    return Source(path=path, is_dir=True, total=sum(_size(Path(at) / name) for at, _, names in walk for name in names))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise CommandFailed(
            f"{clean_line(str(path))} can't be read.", cause=error.strerror or "", remedy="Repair or remove it."
        ) from error


def parse_progress(line: bytes, *, total: int) -> CopyProgress | None:
    """One report of rsync; None for any other line."""
    match = _LINE.match(line)
    if match is None:
        return None
    return CopyProgress(
        done=min(int(match["done"]), total),
        total=total,
        rate=float(match["rate"]) * _UNITS[match["unit"].decode("ascii")],
        eta_s=_seconds(match["eta"]),
    )


def _seconds(text: bytes | None) -> float | None:
    if text is None:
        return None
    seconds = 0.0
    for part in text.split(b":"):
        seconds = seconds * 60 + int(part or 0)
    return seconds


def other_kind(host: str, there: FileStat) -> NotAllowed:
    """A file would take a folder's place, or the other way round."""
    kind = "folder" if there.is_dir else "file"
    return NotAllowed(
        f"{host}: {clean_line(there.path)} is a {kind} there, and the source is not.",
        remedy="Give the whole path of the copy, its name included.",
    )


def explain_failure(code: int, stderr: str, *, host: str, target: str) -> ModelyardError:
    """What an exit code of rsync with its words means; a broken line is told apart by the caller."""
    cause = clean_line(" ".join(stderr.split()))[-400:]
    shown = clean_line(target)
    if "rsync: command not found" in stderr or "rsync: not found" in stderr or code == 127:
        return CommandFailed(f"{host}: rsync is not installed there.", cause=cause, remedy="sudo apt install rsync")
    if "No space left on device" in stderr or "Disk quota exceeded" in stderr:
        return CommandFailed(
            f"{host}: the disk is full; {shown} is not complete.",
            cause=cause,
            remedy="Free space there, or choose another folder; the same copy then goes on where it stopped.",
        )
    if "Permission denied" in stderr or "Operation not permitted" in stderr:
        return CommandFailed(
            f"{host}: no rights for the copy to {shown}.", cause=cause, remedy=f"On the host: ls -ld {shown}"
        )
    if "Read-only file system" in stderr:
        return CommandFailed(f"{host}: {shown} is on a read-only file system.", cause=cause)
    return CommandFailed(
        f"{host}: the copy to {shown} stopped (rsync exit {code}).",
        cause=cause,
        remedy="Start the same copy again: it goes on where it stopped.",
    )
