"""The SHA-256 of files of a host, read there: large ones one by one, small ones many in a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from core.errors import CommandFailed, HostSilent
from core.hosts.connection import Connection
from core.hosts.stream_copy import hash_many, hash_there

_SMALL, _FEW = 16 << 20, 200  # bytes of a file that is read with others, and how many
_RETRY_S, _PATIENCE_S = 2.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """A file was read; "" for one that can't be."""

    path: str
    sha256: str


async def hash_files(connection: Connection, sizes: Mapping[str, int]) -> AsyncGenerator[int | Hashed, None]:
    """Bytes read so far of all of these files, given by absolute path and size, and the hash of each.

    After a broken line it goes on with the files that are left.

    Raises:
        HostSilent: the host was silent for minutes.
    """
    clock = asyncio.get_running_loop().time
    left, done, met = dict(sizes), 0, clock()
    while left:
        try:
            async with aclosing(_each(connection, left.copy())) as events:
                async for event in events:
                    met = clock()
                    if isinstance(event, Hashed):
                        done += left.pop(event.path)
                        yield event
                    else:
                        yield done + event
        except HostSilent:
            if clock() - met > _PATIENCE_S:
                raise
            await asyncio.sleep(_RETRY_S)
    yield done


async def _each(connection: Connection, sizes: Mapping[str, int]) -> AsyncGenerator[int | Hashed, None]:
    """Bytes read of the file that is under way, and the hash of each."""
    for paths in _batches(sizes):
        yield 0
        async with aclosing(_alone(connection, paths[0]) if len(paths) == 1 else _few(connection, paths)) as events:
            async for event in events:
                yield event


async def _alone(connection: Connection, path: str) -> AsyncGenerator[int | Hashed, None]:
    sha256 = ""
    try:
        async with aclosing(hash_there(connection, path)) as reports:
            async for report in reports:
                if isinstance(report, int):
                    yield report
                else:
                    sha256 = report
    except CommandFailed:
        sha256 = ""
    yield Hashed(path=path, sha256=sha256)


async def _few(connection: Connection, paths: Sequence[str]) -> AsyncGenerator[int | Hashed, None]:
    left = iter(paths)
    async with aclosing(hash_many(connection, paths)) as hashes:
        async for sha256 in hashes:
            yield Hashed(path=next(left), sha256=sha256)
    for path in left:  # the host told of fewer
        yield Hashed(path=path, sha256="")


def _batches(sizes: Mapping[str, int]) -> Iterator[Sequence[str]]:
    small = [path for path, size in sizes.items() if size < _SMALL]
    yield from ([path] for path, size in sizes.items() if size >= _SMALL)
    yield from (small[at : at + _FEW] for at in range(0, len(small), _FEW))
