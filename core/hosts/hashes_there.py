"""The SHA-256 of files of a host, read there: large ones one by one, small ones many in a session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from core.errors import CommandFailed
from core.hosts.connection import Connection
from core.hosts.stream_copy import hash_many, hash_there

_SMALL, _FEW = 16 << 20, 200  # bytes of a file that is read with others, and how many


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """A file was read; "" for one that can't be."""

    path: str
    sha256: str


async def hash_files(connection: Connection, sizes: Mapping[str, int]) -> AsyncGenerator[int | Hashed, None]:
    """Bytes read so far of all of these files, given by absolute path and size, and the hash of each.

    Raises:
        HostUnreachable: the line broke; what was not told has to be read again.
    """
    done = 0
    for paths in _batches(sizes):
        yield done
        async with aclosing(_hashed(connection, paths)) as events:
            async for event in events:
                if isinstance(event, Hashed):
                    done += sizes[event.path]
                    yield event
                else:
                    yield done + event
    yield done


async def _hashed(connection: Connection, paths: Sequence[str]) -> AsyncGenerator[int | Hashed, None]:
    if len(paths) == 1:
        found = ""
        try:
            async with aclosing(hash_there(connection, paths[0])) as reports:
                async for report in reports:
                    if isinstance(report, int):
                        yield report
                    else:
                        found = report
        except CommandFailed:
            found = ""
        yield Hashed(path=paths[0], sha256=found)
        return
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
