"""Secrets typed at the terminal: never echoed, read from the terminal itself, so that standard input stays free."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_TERMINAL = "/dev/tty"
_CHUNK = 4096


async def ask_hidden(prompt: str) -> str | None:
    """A line without its end; None at the end of the input, or where there is no terminal."""
    try:
        descriptor = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with _unseen(descriptor):
            os.write(descriptor, prompt.encode())
            line = await _read_line(descriptor)
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)
    return line.decode("utf-8", "replace").rstrip("\r\n") if line else None


async def ask_passphrase(new: bool, problem: str) -> str | None:
    """The vault's passphrase; a new one twice, until both are the same."""
    lead = f"{problem}\n" if problem else ""
    if not new:
        return await ask_hidden(f"{lead}Passphrase of the vault: ")
    lead = lead or "A vault for keys will be made. Without its passphrase, the keys in it are lost.\n"
    while (first := await ask_hidden(f"{lead}New passphrase (8 characters or more): ")) is not None:
        if await ask_hidden("The same again: ") == first:
            return first
        lead = "They differ.\n"
    return None


@contextmanager
def _unseen(descriptor: int) -> Iterator[None]:
    """What is typed meanwhile is not shown; Ctrl-C still works."""
    before = termios.tcgetattr(descriptor)
    hidden = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


async def _read_line(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    line = b""
    while not line.endswith(b"\n"):
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, lambda told=ready: told.done() or told.set_result(None))  # type: ignore[misc]
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)
        if not (more := os.read(descriptor, _CHUNK)):
            break
        line += more
    return line
