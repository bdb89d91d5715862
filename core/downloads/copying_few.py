"""Small files of a copy, many in one session: a session each would take longer than all their bytes."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from core.downloads.outgoing import not_as_installed
from core.errors import FileProblem
from core.hosts.stream_copy import Small, hash_many, send_few
from core.text import clean_line

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.hashes import Hashes
    from core.downloads.outgoing import OutgoingFile
    from core.hosts.connection import Connection

SMALL = 256 << 10  # bytes
_MOST_FILES, _MOST_BYTES = 200, 16 << 20
_HEADER = 1 << 10  # bytes that a file takes on the way besides its own, about


def most_bytes(wanted: int, bandwidth: Bandwidth | None) -> int:
    """`wanted`, or what a limit lets pass in a second: what goes in one session is not held up on its way."""
    return min(wanted, bandwidth.bytes_per_s) if bandwidth is not None and bandwidth.bytes_per_s else wanted


def batches(files: Sequence[OutgoingFile], bandwidth: Bandwidth | None = None) -> Iterator[list[OutgoingFile]]:
    """In their order, each as much as goes in one session."""
    batch: list[OutgoingFile] = []
    for file in files:
        most = most_bytes(_MOST_BYTES, bandwidth)  # it may have changed while the batch before was sent
        if batch and (len(batch) == _MOST_FILES or _weight([*batch, file]) > most):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _weight(files: Sequence[OutgoingFile]) -> int:
    return sum(file.size + _HEADER for file in files)


async def give(
    connection: Connection,
    folder: str,
    files: Sequence[OutgoingFile],
    hashes: Hashes,
    bandwidth: Bandwidth | None = None,
) -> dict[str, str]:
    """Send files that are not there, when it is their turn; their hashes by place.

    Raises:
        WrongBytes: one changed on the way, or here since the copy began. FileProblem: one can't be read.
    """
    small = await asyncio.get_running_loop().run_in_executor(hashes.pool, _read, files)
    if bandwidth is not None:
        await bandwidth.turn(_weight(files))
    await send_few(connection, folder, small)
    return {one.place: one.sha256 for one in small}


async def same(connection: Connection, folder: str, files: Sequence[OutgoingFile], hashes: Hashes) -> dict[str, str]:
    """Of files that are there, the hashes of those that are right, by place."""
    right: dict[str, str] = {}
    left = iter(files)
    paths = [posixpath.join(folder, file.place) for file in files]
    async with aclosing(hash_many(connection, paths)) as found:
        async for sha256 in found:
            file = next(left)
            if sha256 == await hashes.expected(file):
                right[file.place] = sha256
    return right


def _read(files: Sequence[OutgoingFile]) -> list[Small]:
    return [_read_one(file) for file in files]


def _read_one(file: OutgoingFile) -> Small:
    shown = clean_line(str(file.path))
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise FileProblem(f"{shown} can't be read.", cause=str(error)) from error
    file.refuse_changed()
    sha256 = hashlib.sha256(content).hexdigest()
    if file.noted and sha256 != file.noted:
        raise not_as_installed(shown)
    return Small(place=file.place, content=content, sha256=sha256)
