"""Reads what running servers have counted, on whatever host, about once a minute."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.analytics.totals import read_totals
from core.deploy.health import read_text
from core.engines import engine_named
from core.errors import ModelyardError
from core.events import now
from core.registry.counting import Told
from core.registry.values import EngineName, ServerStatus

if TYPE_CHECKING:
    import httpx

    from core.deploy.access import ServerAccess
    from core.registry.records import Server
    from core.registry.store import Registry

_AFTER_START_S = 2.0  # the first screen comes before
_EVERY_S = 60.0
_FRESH_S = 45.0  # another program has read it so lately that it need not be read again
_TIMEOUT_S = 10.0  # of each step
_PATIENCE_S = 25.0  # with one server in all
_AT_ONCE = 8
_FOLD_EVERY_S = 3600.0


@dataclass(frozen=True)
class _Line:
    """An open way to a server, and to which start of it."""

    start: tuple[object, ...]
    client: httpx.AsyncClient


class Sampler:
    """One HTTP request for each running server; the way to it, with its key, is kept between readings."""

    def __init__(self, registry: Registry, access: ServerAccess) -> None:
        self._registry = registry
        self._access = access
        self._lines: dict[str, _Line] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._fold_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await asyncio.sleep(_AFTER_START_S)
            while True:
                with suppress(ModelyardError):
                    await self.sample(fresh_s=_FRESH_S)
                    await self._fold()
                await asyncio.sleep(_EVERY_S)
        finally:
            await self.close()

    async def sample(self, *, fresh_s: float = 0.0) -> int:
        """Read every running server that was not read within `fresh_s` seconds; how many rows changed."""
        at, read_at = now(), await self._registry.read_at()
        servers = [
            server
            for server in await self._reachable()
            if server.id not in read_at or (at - read_at[server.id]).total_seconds() >= fresh_s
        ]
        told = await asyncio.gather(*(self._ask(server) for server in servers))
        heard = [one for one in told if one is not None]
        return await self._registry.add_readings(heard) if heard else 0

    async def close(self) -> None:
        """Let go of the ways to the servers."""
        for server_id in list(self._lines):
            await self._drop(server_id)

    async def _reachable(self) -> list[Server]:
        lost = {host.id for host in await self._registry.hosts() if host.unreachable_since is not None}
        running = [one for one in await self._registry.servers() if one.status == ServerStatus.RUNNING]
        for server_id in self._lines.keys() - {server.id for server in running}:
            await self._drop(server_id)
        return [server for server in running if server.host_id not in lost]

    async def _ask(self, server: Server) -> Told | None:
        """None when it does not tell: the next round asks again, and its counters go on meanwhile."""
        async with self._places:
            with suppress(ModelyardError, TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    return await self._told(server)
        await self._drop(server.id)
        return None

    async def _told(self, server: Server) -> Told:
        client = await self._client(server)
        began = now()
        text = await read_text(client, engine_named(server.server_type).metrics_path)
        totals = read_totals(EngineName(server.server_type), text)
        return Told(server_id=server.id, start=server.started_at, began=began, ended=now(), totals=totals)

    async def _client(self, server: Server) -> httpx.AsyncClient:
        start = (server.container_id, server.started_at, server.port)
        known = self._lines.get(server.id)
        if known is not None and known.start == start:
            return known.client
        await self._drop(server.id)
        client = await self._access.client(server, timeout_s=_TIMEOUT_S)
        self._lines[server.id] = _Line(start, client)
        return client

    async def _drop(self, server_id: str) -> None:
        if (line := self._lines.pop(server_id, None)) is not None:
            await line.client.aclose()

    async def _fold(self) -> None:
        if time.monotonic() >= self._fold_at:
            self._fold_at = time.monotonic() + _FOLD_EVERY_S
            await self._registry.fold_counters(now())
