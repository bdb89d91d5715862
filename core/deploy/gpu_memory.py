"""How much GPU memory each running server holds, asked of its host now and then."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from core.errors import CommandFailed
from core.hosts.probe import probe
from core.registry.values import ServerStatus

if TYPE_CHECKING:
    from core.deploy.tracker import Tracker
    from core.hosts.service import HostService
    from core.registry.records import Host, Server

_EVERY_S = 30.0  # a probe starts a python3 on the host
_STEP = 64 << 20  # bytes; smaller changes are no news


class GpuMemory:
    """Writes `Server.gpu_memory` of containers that have GPUs."""

    def __init__(self, hosts: HostService, tracker: Tracker) -> None:
        self._hosts = hosts
        self._tracker = tracker
        self._asked: dict[str, tuple[float, frozenset[str]]] = {}

    async def measure(self, host: Host, servers: list[Server]) -> None:
        """Ask the host when the last answer is old, or another server runs than then."""
        running = [one for one in servers if one.gpus and one.status == ServerStatus.RUNNING]
        names = frozenset(server.container_id for server in running)
        asked_at, known = self._asked.get(host.id, (0.0, frozenset()))
        if not running or (names == known and time.monotonic() < asked_at + _EVERY_S):
            return
        self._asked[host.id] = (time.monotonic(), names)
        try:
            seen = await probe(self._hosts.connection(host))
        except CommandFailed:
            return  # the doctor tells; the servers run all the same
        held: Counter[str] = Counter()
        for user in seen.gpu_users:
            held[user.container] += user.used or 0
        for server in running:
            await self._tracker.note(server, gpu_memory=_rounded(held.get(server.container_id)))


def _rounded(size: int | None) -> int | None:
    return None if size is None else round(size / _STEP) * _STEP
