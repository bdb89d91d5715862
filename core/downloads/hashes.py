"""The SHA-256 of files on this machine, each read once for all who wait for it, and no longer than somebody does."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from core.downloads.outgoing import Hashing, OutgoingFile

_AT_ONCE = 10  # copies to several hosts, each sending by a thread, and what reads for them


@dataclass(kw_only=True)
class _Reading:
    hashing: Hashing
    found: asyncio.Future[str]
    waiting: int = 0


class Hashes:
    """A hash that was noted when a file was installed is trusted until a host disagrees."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copy")
        self._known: dict[tuple[Path, int, int], _Reading] = {}

    def close(self) -> None:
        """End what is under way."""
        for one in self._known.values():
            one.hashing.cancel()
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def expected(self, file: OutgoingFile) -> str:
        """The hash that a copy must have."""
        return file.noted or await self.reread(file)

    async def reread(self, file: OutgoingFile) -> str:
        """Raises:
        WrongBytes: the file changed since the copy began. FileProblem: it is not what was installed.
        """
        key = (file.path, file.size, file.mtime_ns)
        reading = self._known.get(key) or self._begin(key, file)
        reading.waiting += 1
        try:
            return await asyncio.shield(reading.found)
        except Exception:
            self._known.pop(key, None)  # the next one reads again
            raise
        finally:
            reading.waiting -= 1
            if not reading.waiting and not reading.found.done():
                reading.hashing.cancel()
                self._known.pop(key, None)

    def _begin(self, key: tuple[Path, int, int], file: OutgoingFile) -> _Reading:
        from core.downloads.outgoing import Hashing

        hashing = Hashing(file)
        found = asyncio.get_running_loop().run_in_executor(self.pool, hashing.run)
        found.add_done_callback(noticed)
        self._known[key] = reading = _Reading(hashing=hashing, found=found)
        return reading


def noticed(future: asyncio.Future[str]) -> None:
    """Whoever waits is told of the error; after another one nobody may be left to."""
    if not future.cancelled():
        future.exception()
