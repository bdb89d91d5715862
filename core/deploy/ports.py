"""Which TCP ports of a host are taken, from its own kernel's tables: nothing needs to be installed there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.errors import ModelyardError

if TYPE_CHECKING:
    from core.hosts.connection import Connection

FIRST, LAST = 8000, 8999
_LISTEN = "0A"
_TABLE_LIMIT = 4 * 1024 * 1024  # bytes


async def listening(connection: Connection) -> set[int]:
    """Ports that something listens on, over IPv4 or IPv6, on any address."""
    ports: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            content = await connection.read(table, length=_TABLE_LIMIT)
        except ModelyardError:
            continue  # a host without IPv6 has no such table
        ports |= _parse(content.decode("ascii", "replace"))
    return ports


def _parse(table: str) -> set[int]:
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == _LISTEN}


def pick(taken: Iterable[int], *, preferred: int | None = None) -> int | None:
    """A free port of our range, the preferred one if it is free; None when all are taken."""
    busy = set(taken)
    if preferred is not None and preferred not in busy:
        return preferred
    return next((port for port in range(FIRST, LAST + 1) if port not in busy), None)
