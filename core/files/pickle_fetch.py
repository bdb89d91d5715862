"""The pickles of a file on a host: only the parts that a scanner reads come over the line, into a sparse copy."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from core.errors import FileProblem, NotFound
from core.files import pickles
from core.files.kinds import PICKLES
from core.files.pickles import Level, PickleScan
from core.files.values import ByteSource

_WHOLE = 4 << 20  # bytes; smaller files come as they are, of larger ones the beginning, where older formats start
_END = 1 << 20  # of an archive: its directory
_MOST = 16 << 20  # of all pickles in an archive
_HEADER = 1 << 10  # of an entry: its own header and name
_ARCHIVE = b"PK\x03\x04"


async def scan(source: ByteSource, files: Sequence[tuple[str, int]]) -> list[PickleScan]:
    """Scan files of a host, given by path and size in bytes, in their order.

    Raises:
        HostUnreachable: as the source does.
    """
    with TemporaryDirectory(prefix="modelyard-scan-") as folder:
        found: list[PickleScan] = []
        for number, (path, size) in enumerate(files):
            copy = Path(folder, f"{number}{PurePosixPath(path).suffix.lower()}")
            found.append(await _scanned(source, path, size, copy))
        return found


async def marked(
    source: ByteSource, folder: PurePosixPath, files: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """The files of a model below `folder` on a host with a `pickle` entry for those that are pickles.

    Raises:
        HostUnreachable: as the source does.
    """
    there = pickles.unmarked(files)
    scans = await scan(source, [(str(folder / str(file["path"])), int(file["size"])) for file in there])
    return pickles.with_marks(files, there, scans)


async def _scanned(source: ByteSource, path: str, size: int, copy: Path) -> PickleScan:
    try:
        await _fetch(source, path, size, copy)
    except (FileProblem, NotFound, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        return PickleScan(level=Level.UNREAD, cause=str(error) or type(error).__name__)
    [found] = await asyncio.to_thread(pickles.scan, [copy])
    return found


async def _fetch(source: ByteSource, path: str, size: int, copy: Path) -> None:
    """A file of that size, with holes where nothing that matters was."""
    with copy.open("wb") as file:
        file.truncate(size)
        await _span(source, path, file, 0, min(size, _WHOLE))
    with copy.open("r+b") as file:
        if size <= _WHOLE or file.read(len(_ARCHIVE)) != _ARCHIVE:
            return
        await _span(source, path, file, max(0, size - _END), min(size, _END))
        for start, length in _pickles_in(copy):
            await _span(source, path, file, start, min(length, size - start))


def _pickles_in(copy: Path) -> list[tuple[int, int]]:
    """Where an archive's pickles lie, by its directory.

    Raises:
        FileProblem: they are larger than those of any model. BadZipFile: it has no directory.
    """
    with zipfile.ZipFile(copy) as archive:
        entries = [one for one in archive.infolist() if one.filename.lower().endswith(PICKLES)]
    if sum(one.compress_size for one in entries) > _MOST or any(one.compress_size < 0 for one in entries):
        raise FileProblem("its pickles are larger than those of any model")
    return [(one.header_offset, one.compress_size + _HEADER) for one in entries]


async def _span(source: ByteSource, path: str, file: BinaryIO, start: int, length: int) -> None:
    while length > 0:
        piece = await source.read(path, offset=start, length=length)
        if not piece:
            raise FileProblem("it became shorter while it was read")
        file.seek(start)
        file.write(piece)
        start, length = start + len(piece), length - len(piece)
    file.flush()
