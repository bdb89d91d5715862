"""The bytes of a file given to a program's standard input by a thread, in large pieces: what a fast copy needs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.hosts.process import Output, end, read_last

_PIECE = 1 << 20
_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Part:
    """`length` bytes of a file on this machine from `offset`; fewer when it has become shorter."""

    path: Path
    offset: int
    length: int


class Pace(Protocol):
    """A limit on bytes per second that several keep together; nobody takes more than `piece` bytes at once."""

    @property
    def piece(self) -> int:
        """Bytes."""

    def take(self, count: int, stopped: threading.Event) -> None:
        """Wait until `count` bytes may pass, or somebody stops."""


async def send(
    argv: Sequence[str],
    part: Part,
    *,
    pool: Executor,
    env: Mapping[str, str] | None = None,
    pace: Pace | None = None,
) -> AsyncGenerator[int | Output, None]:
    """How many bytes were given so far, as it goes, then how the program ended; closing the iteration ends it.

    Raises:
        OSError: the file can't be read, or the program can't be started.
    """
    reading, writing = os.pipe()
    pump = _Pump(part, writing, pace)
    try:
        process = await _start(argv, reading, env)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    feeding = asyncio.get_running_loop().run_in_executor(pool, pump.run)
    errors = asyncio.create_task(read_last(process.stderr))
    ended = asyncio.create_task(process.wait())
    try:
        while not ended.done():
            await asyncio.wait({ended}, timeout=_LOOK_S)
            yield pump.sent
        pump.stop()
        await feeding
        yield Output(code=ended.result(), stdout=b"", stderr=await errors)
    finally:
        pump.stop()
        for task in (errors, ended):
            task.cancel()
        await end(process)


async def _start(argv: Sequence[str], stdin: int, env: Mapping[str, str] | None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=stdin,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        start_new_session=True,
    )


class _Pump:
    """Reads the file and writes the pipe, which it closes at the end; `stop` ends it within a moment."""

    def __init__(self, part: Part, pipe: int, pace: Pace | None) -> None:
        self._part = part
        self._pipe = pipe
        self._pace = pace
        self._stopped = threading.Event()
        self.sent = 0
        os.set_blocking(pipe, False)  # so that nobody who holds the other end can hold this thread
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIECE)

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            with self._part.path.open("rb", buffering=0) as file:
                file.seek(self._part.offset)
                self._all(file.fileno())
        except BrokenPipeError:
            pass  # the program ended without reading all: its code tells
        finally:
            os.close(self._pipe)

    def _all(self, file: int) -> None:
        left, may_pass = self._part.length, 0
        move = self._copier(file)
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        while left and not self._stopped.is_set():
            if not poll.poll(_LOOK_S * 1000):
                continue
            may_pass = may_pass or self._turn(left)
            with contextlib.suppress(BlockingIOError):
                count = move(may_pass)
                if not count:
                    return
                left, may_pass = left - count, may_pass - count
                self.sent += count

    def _turn(self, left: int) -> int:
        """How many of the bytes that are left may pass now."""
        if self._pace is None:
            return min(left, _PIECE)
        count = min(left, self._pace.piece)
        self._pace.take(count, self._stopped)
        return count

    def _copier(self, file: int) -> Callable[[int], int]:
        """Moves up to so many bytes from the file to the pipe: the kernel does it without copying, where it can."""

        def spliced(count: int) -> int:
            return os.splice(file, self._pipe, count)

        def copied(count: int) -> int:
            piece = os.pread(file, count, self._part.offset + self.sent)
            return os.write(self._pipe, piece) if piece else 0

        try:
            os.splice(file, self._pipe, 0)
        except (AttributeError, OSError):
            return copied
        return spliced
