"""A hold on a running ssh master: an open client of its control socket (PROTOCOL.mux of OpenSSH).

While one is open the master does not exit for want of use, and its end of file tells at once that the
master, and with it the line, is gone. When this program dies, however it dies, the hold goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from pathlib import Path

_HELLO = 0x00000001
_VERSION = 4
_ALIVE_CHECK = 0x10000004
_ALIVE = 0x80000005
_LONGEST = 64 * 1024


class Lease:
    """One hold; `pid` is the master's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self._reader = reader
        self._writer = writer
        self._asking = asyncio.Lock()
        self.pid = pid

    @classmethod
    async def take(cls, path: Path, *, timeout_s: float = 5.0) -> Lease | None:
        """Hold the master at this control socket; None when none answers there."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(str(path))
        except (OSError, TimeoutError):
            return None
        lease = cls(reader, writer, 0)
        writer.write(_packet(_HELLO, _VERSION))
        if await lease.check(timeout_s=timeout_s):
            return lease
        lease.drop()
        return None

    @property
    def alive(self) -> bool:
        """False as soon as the master has gone; a cut line is noticed by the master, some seconds later."""
        return not (self._reader.at_eof() or self._writer.is_closing() or self._reader.exception())

    async def check(self, *, timeout_s: float = 5.0) -> bool:
        """Ask the master whether it lives, as `ssh -O check` does."""
        async with self._asking:
            try:
                async with asyncio.timeout(timeout_s):
                    self.pid = await self._ask()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                return False
        return True

    async def _ask(self) -> int:
        self._writer.write(_packet(_ALIVE_CHECK, 1))
        await self._writer.drain()
        while True:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if not 4 <= length <= _LONGEST:
                raise ValueError("not an ssh master")
            packet = await self._reader.readexactly(length)
            if int.from_bytes(packet[:4], "big") == _ALIVE:
                return int.from_bytes(packet[8:12], "big")

    def drop(self) -> None:
        """Let go; the master lives on as long as others hold it, and for its time of grace."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._writer.close()


def _packet(kind: int, value: int) -> bytes:
    return struct.pack(">III", 8, kind, value)
