"""Questions to the person at the terminal; waits without blocking, so that Ctrl-C works at once."""

from __future__ import annotations

import asyncio
import os
import sys

from core.errors import NeedsConfirmation

_CHUNK = 65536


def can_ask() -> bool:
    """Whether a person can see a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def confirm(question: str, *, json: bool = False) -> bool:
    """Yes or no; no when it can't be asked."""
    if json or not can_ask():
        return False
    answer = await ask_line(f"{question} [y/N] ")
    return (answer or "").strip().lower() in {"y", "yes"}


async def must_confirm(question: str, *, yes: bool, json: bool) -> None:
    """Go on only with a yes, given before or now.

    Raises:
        NeedsConfirmation: there is none.
    """
    if yes or await confirm(question, json=json):
        return
    raise NeedsConfirmation(f"Not confirmed: {question}", remedy="Say --yes to do it without being asked.")


async def ask_line(prompt: str) -> str | None:
    """A line from standard input without its end; None at the end of the input."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = await _read_chunk()
    while line and not line.endswith(b"\n"):
        more = await _read_chunk()
        if not more:
            break
        line += more
    return line.decode("utf-8", "replace").rstrip("\r\n") if line else None


async def read_all() -> str:
    """Everything from standard input."""
    return (await read_bytes()).decode("utf-8", "replace")


async def read_bytes() -> bytes:
    """The same as it came."""
    parts = []
    while chunk := await _read_chunk():
        parts.append(chunk)
    return b"".join(parts)


async def _read_chunk() -> bytes:
    descriptor = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(descriptor, _settle, ready)
    except PermissionError:
        return os.read(descriptor, _CHUNK)  # a file, which never makes anyone wait
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _CHUNK)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
