"""Follows all hosts while a front is open: every few seconds, and at once when one reports something."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from core.errors import ModelyardError
from core.events import EventBus, RecordChanged
from core.registry.values import RuntimeName, ServerStatus

if TYPE_CHECKING:
    from core.deploy.reconcile import Reconciler
    from core.deploy.runtimes import Runtimes
    from core.registry.records import Host
    from core.registry.store import Registry
    from core.settings import Settings

_CALM_S = 5.0
_BUSY_S = 1.0
_MOST_S = 30.0  # between two tries of a host that does not answer
_BUSY = {ServerStatus.STARTING, ServerStatus.LOADING, ServerStatus.STOPPING}


class Watcher:
    """One task per host; hosts that are added or removed are noticed."""

    def __init__(
        self, settings: Settings, registry: Registry, runtimes: Runtimes, reconciler: Reconciler, bus: EventBus
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._runtimes = runtimes
        self._reconciler = reconciler
        self._bus = bus
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with self._bus.subscribe() as events:
            try:
                await self._adjust()
                async for event in events:
                    if isinstance(event, RecordChanged) and event.kind == "host":
                        await self._adjust()
            finally:
                await _end(list(self._tasks.values()))

    async def _adjust(self) -> None:
        hosts = {host.id: host for host in await self._registry.hosts()}
        gone = [self._tasks.pop(host_id) for host_id in list(self._tasks) if host_id not in hosts]
        await _end(gone)
        for host_id, host in hosts.items():
            if host_id not in self._tasks:
                self._tasks[host_id] = asyncio.create_task(self._host(host))

    async def _host(self, host: Host) -> None:
        woken = asyncio.Event()
        followers = [
            asyncio.create_task(self._listen(host, name, woken)) for name in RuntimeName if self._has(host, name)
        ]
        wait = _CALM_S
        try:
            while True:
                reached = await self._reconciler.host(host)
                wait = await self._pause(host) if reached else min(wait * 1.5, _MOST_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), wait)
                woken.clear()
        finally:
            await _end(followers)

    async def _pause(self, host: Host) -> float:
        servers = await self._registry.servers(host_id=host.id)
        return _BUSY_S if any(server.status in _BUSY for server in servers) else _CALM_S

    def _has(self, host: Host, name: RuntimeName) -> bool:
        return any(runtime.name == name for runtime in self._runtimes.of(host))

    async def _listen(self, host: Host, name: RuntimeName, woken: asyncio.Event) -> None:
        """Wake the host's loop at every happening; a runtime that can't be followed now is tried again calmly."""
        runtime = self._runtimes.get(host, name)
        while True:
            with contextlib.suppress(ModelyardError):
                async for _ in runtime.happenings():
                    woken.set()
            await asyncio.sleep(_CALM_S)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
