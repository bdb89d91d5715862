"""Programs started here, each with a deadline, a bound on what it may write, and a sure end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

MAX_OUTPUT = 64 * 1024 * 1024
_MAX_ERRORS = 256 * 1024
_MAX_LINE = 1024 * 1024
_CHUNK = 64 * 1024
_GRACE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a program ended and the bytes that it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def errors(self) -> str:
        """stderr as text, not made harmless."""
        return self.stderr.decode("utf-8", "replace")


class TooMuchOutput(Exception):
    """A program wrote more than it may; it was ended."""


async def execute(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    limit: int = MAX_OUTPUT,
) -> Output:
    """Run to the end; the program and its children are ended on time-out, cancellation or too much output.

    Raises:
        TimeoutError: it did not end in time. TooMuchOutput: it wrote more than `limit` bytes.
        OSError: it can't be started.
    """
    process = await start(argv, stdin=stdin is not None, env=env)
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr, _ = await asyncio.gather(
                _read_all(process.stdout, limit), read_last(process.stderr), _feed(process.stdin, stdin)
            )
            code = await process.wait()
    finally:
        await end(process)
    return Output(code=code, stdout=stdout, stderr=stderr)


async def lines(
    argv: Sequence[str], *, stdin: bytes | None = None, env: Mapping[str, str] | None = None, hold_stdin: bool = False
) -> AsyncGenerator[str | Output, None]:
    """Lines as they are written, then one `Output` with the exit code and the last of stderr.

    With `hold_stdin` the program's stdin stays open after `stdin` was written, until the iteration ends.
    """
    process = await start(argv, stdin=stdin is not None or hold_stdin, env=env)
    errors = asyncio.create_task(read_last(process.stderr))
    feed = asyncio.create_task(_feed(process.stdin, stdin, close=not hold_stdin))
    try:
        async for line in split_lines(process.stdout):
            yield line.decode("utf-8", "replace")
        stderr = await errors
        yield Output(code=await process.wait(), stdout=b"", stderr=stderr)
    finally:
        for task in (errors, feed):
            task.cancel()
        await end(process)


async def split_lines(
    reader: asyncio.StreamReader | None, *, separators: bytes = b"\n", longest: int = _MAX_LINE
) -> AsyncIterator[bytes]:
    """Pieces between any of the one-byte `separators`; a piece longer than `longest` comes in parts."""
    if reader is None:
        return
    held = b""
    while chunk := await reader.read(_CHUNK):
        held += chunk
        for separator in separators[1:]:
            held = held.replace(bytes([separator]), separators[:1])
        *done, held = held.split(separators[:1])
        for line in done:
            yield line
        if len(held) > longest:
            yield held
            held = b""
    if held:
        yield held


async def end(process: asyncio.subprocess.Process) -> None:
    """End the program with all that it started: SIGTERM, two seconds, SIGKILL; safe under cancellation."""
    try:
        if process.returncode is None:
            await asyncio.shield(asyncio.ensure_future(_end(process)))
    finally:
        vars(process)["_transport"].close()  # else a full pipe stays open until its end of file


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
            return


async def start(
    argv: Sequence[str], *, stdin: bool = False, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a program in a session of its own, so that `end` can end all of it; stdout and stderr are pipes."""
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        start_new_session=True,  # without a terminal nothing can ask questions under the screen
    )


async def _read_all(reader: asyncio.StreamReader | None, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        pieces.append(chunk)
        size += len(chunk)
        if size > limit:
            raise TooMuchOutput(f"more than {limit} bytes")
    return b"".join(pieces)


async def read_last(reader: asyncio.StreamReader | None) -> bytes:
    """Read to the end and keep the last 256 KiB."""
    last = b""
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        last = (last + chunk)[-_MAX_ERRORS:]
    return last


async def _feed(writer: asyncio.StreamWriter | None, data: bytes | None, *, close: bool = True) -> None:
    if writer is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it ended without reading all: its code tells
        if data:
            writer.write(data)
            await writer.drain()
        if close:
            writer.close()
            await writer.wait_closed()
