"""This machine's files as inspecting wants them, for services that have no host's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HereEntry:
    """A path; size in bytes."""

    path: str
    size: int
    is_dir: bool


class HereSource:
    """A `ByteSource` of this machine; files that can't be read are as if they were not there."""

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return await asyncio.to_thread(_read, path, offset, length)

    async def stat(self, path: str) -> HereEntry | None:
        """None when there is no such path."""
        return await asyncio.to_thread(_entry, Path(path))

    async def listdir(self, path: str) -> Sequence[HereEntry]:
        """The entries of a folder, by name."""
        return await asyncio.to_thread(_listed, Path(path))


def _read(path: str, offset: int, length: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _entry(path: Path) -> HereEntry | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return HereEntry(path=str(path), size=seen.st_size, is_dir=path.is_dir())


def _listed(folder: Path) -> list[HereEntry]:
    return [entry for path in sorted(folder.iterdir()) if (entry := _entry(path)) is not None]
