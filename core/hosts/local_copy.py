"""Copies within this machine, with the promises of those to others: whole files only, resumed, nothing deleted."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor
from pathlib import Path

from core.errors import CommandFailed
from core.hosts.connection import CopyProgress, FileStat
from core.hosts.copying import PARTIAL_DIR, Source, measure, other_kind
from core.text import clean_line

_BLOCK = 4 * 1024 * 1024
_POLL_S = 0.2


async def copy(source: Path, target: Path, *, pool: Executor, host: str) -> AsyncGenerator[CopyProgress, None]:
    """Copy in a thread; closing the iteration stops it, and the next copy goes on from there.

    Raises:
        NotFound: no such source. NotAllowed: `target` is of another kind. CommandFailed: it can't be done.
    """
    measured = await asyncio.to_thread(measure, source)
    try:
        await asyncio.to_thread(_check_kind, measured, target, host)
    except OSError as error:
        raise _problem(error, target, host) from error
    job = _Copy(measured, target)
    loop = asyncio.get_running_loop()
    started = loop.time()
    working = loop.run_in_executor(pool, job.work)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=_POLL_S)
            yield job.report(loop.time() - started)
        await working
    except OSError as error:
        raise _problem(error, target, host) from error
    finally:
        job.stop()
    yield CopyProgress(done=measured.total, total=measured.total, eta_s=0.0)


class _Copy:
    """One copy; `done` counts the bytes that are in place, `moved` those that were written now."""

    def __init__(self, source: Source, target: Path) -> None:
        self._source = source
        self._target = target
        self._stopped = threading.Event()
        self._done = 0
        self._moved = 0

    def stop(self) -> None:
        """End soon; what was written stays for the next time."""
        self._stopped.set()

    def report(self, seconds: float) -> CopyProgress:
        """How far it is."""
        rate = self._moved / seconds if seconds > 0 else 0.0
        eta = (self._source.total - self._done) / rate if rate else None
        return CopyProgress(done=min(self._done, self._source.total), total=self._source.total, rate=rate, eta_s=eta)

    def work(self) -> None:
        """Copy all files, in a thread."""
        for here, there in self._pairs():
            if self._stopped.is_set():
                return
            self._file(here, there)

    def _pairs(self) -> Iterator[tuple[Path, Path]]:
        root = self._source.path
        if not self._source.is_dir:
            yield root, self._target
            return
        for folder, _, names in os.walk(root, followlinks=True):
            there = self._target / Path(folder).relative_to(root)
            there.mkdir(parents=True, exist_ok=True)
            yield from ((Path(folder) / name, there / name) for name in sorted(names))

    def _file(self, here: Path, there: Path) -> None:
        if _same(here, there):
            self._done += here.stat().st_size
            return
        partial = there.parent / PARTIAL_DIR / there.name
        partial.parent.mkdir(parents=True, exist_ok=True)
        if self._fill(here, partial):
            shutil.copystat(here, partial)
            partial.chmod(0o644)
            partial.replace(there)
            _remove_empty(partial.parent)

    def _fill(self, here: Path, partial: Path) -> bool:
        """Write what is missing, from the first block that differs; False when stopped."""
        with here.open("rb") as reader, partial.open("r+b" if partial.exists() else "w+b") as writer:
            while block := reader.read(_BLOCK):
                if self._stopped.is_set():
                    return False
                at = writer.tell()
                if writer.read(len(block)) != block:
                    writer.seek(at)
                    writer.write(block)
                    self._moved += len(block)
                self._done += len(block)
            writer.truncate()
            writer.flush()
            os.fsync(writer.fileno())
        return True


def _same(here: Path, there: Path) -> bool:
    """Whether an earlier copy has put it there: size and time, as rsync compares."""
    if not there.exists():
        return False
    first, second = here.stat(), there.stat()
    return (first.st_size, int(first.st_mtime)) == (second.st_size, int(second.st_mtime))


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _check_kind(source: Source, target: Path, host: str) -> None:
    if target.exists() and target.is_dir() != source.is_dir:
        raise other_kind(host, FileStat(path=str(target), size=0, is_dir=target.is_dir(), mtime=0))
    (target if source.is_dir else target.parent).mkdir(parents=True, exist_ok=True)


def _problem(error: OSError, target: Path, host: str) -> CommandFailed:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    what = "the disk is full" if full else "the copy stopped"
    return CommandFailed(
        f"{host}: {what}; {clean_line(str(target))} is not complete.",
        cause=error.strerror or str(error),
        remedy="Free space or choose another folder; the same copy then goes on where it stopped."
        if full
        else f"See who may write there: ls -ld {clean_line(str(target.parent))}",
    )
