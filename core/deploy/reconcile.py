"""The host tells the truth: what runs there is read, and the registry is brought in line (L4).

Unreachable is a state of the host, never of its servers. Nothing is removed because it is unknown.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.deploy import lease
from core.deploy.gpu_memory import GpuMemory
from core.deploy.health import ask
from core.deploy.lifecycle import Trigger
from core.deploy.starter import ENDED_BY_SIGNAL, explain, facts_of
from core.engines import engine_named
from core.errors import EngineUnavailable, HostUnreachable, NotAllowed
from core.events import now
from core.registry.records import Server
from core.registry.values import ACTIVE, EngineName, RuntimeName, ServerStatus
from core.runtimes.base import Observed, Phase
from core.runtimes.labels import read_labels

if TYPE_CHECKING:
    from core.deploy.runtimes import Runtimes
    from core.deploy.tracker import Tracker
    from core.hosts.service import HostService
    from core.registry.records import Host
    from core.registry.store import Registry
    from core.runtimes.base import Runtime
    from core.settings import Settings

BREAKER = 3  # restarts after which a server that keeps crashing is stopped
_LOG_LINES = 200


class Reconciler:
    """Reads hosts, writes the registry."""

    def __init__(
        self, settings: Settings, registry: Registry, hosts: HostService, runtimes: Runtimes, tracker: Tracker
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._hosts = hosts
        self._runtimes = runtimes
        self._tracker = tracker
        self._gpu_memory = GpuMemory(hosts, tracker)

    async def all(self, *, only: str | None = None) -> list[Server]:
        """Every host, or one, side by side; the servers as they are afterwards."""
        hosts = [await self._registry.get_host(only)] if only else await self._registry.hosts()
        await asyncio.gather(*(self.host(host) for host in hosts))
        return await self._registry.servers(host_id=hosts[0].id if only else None)

    async def host(self, host: Host) -> bool:
        """One host; False when it could not be asked, which is written to its record."""
        problem: HostUnreachable | EngineUnavailable | None = None
        for runtime in self._runtimes.of(host):
            try:
                await self._hosts.connection(host).connect()
                await self._runtime(host, runtime)
            except (HostUnreachable, EngineUnavailable) as error:
                problem = error
        await self._hosts.note_problem(host, problem)
        return problem is None

    async def _runtime(self, host: Host, runtime: Runtime) -> None:
        servers = [one for one in await self._registry.servers(host_id=host.id) if one.runtime == runtime.name]
        observed = {one.name: one for one in await runtime.list()}
        for server in servers:
            await self._server(host, runtime, server, observed.pop(server.container_name, None))
        for unknown in observed.values():
            await self._take_up(host, runtime, unknown)
        await self._gpu_memory.measure(host, await self._registry.servers(host_id=host.id))

    async def _server(self, host: Host, runtime: Runtime, server: Server, seen: Observed | None) -> None:
        if lease.is_alive(server.operation):
            return
        try:
            await self._compare(host, runtime, server, seen)
        except NotAllowed:
            return  # another program moved it in the meantime: the next round sees why

    async def _compare(self, host: Host, runtime: Runtime, server: Server, seen: Observed | None) -> None:
        interrupted = () if server.operation is None and server.status not in _UNFINISHED else (Trigger.INTERRUPTED,)
        if interrupted and server.status in ACTIVE:
            await self._tracker.move(server, *interrupted, operation=None, **_interrupted(server))
            server = await self._registry.get_server(server.id)
        if seen is None:
            await self._gone(server)
        elif seen.phase is Phase.CREATED:
            return
        elif seen.phase is Phase.EXITED:
            await self._ended(runtime, server, seen)
        elif seen.phase is Phase.RESTARTING and seen.restarts >= BREAKER:
            await self._break_loop(runtime, server, seen)
        else:
            await self._up(host, server, seen)

    async def _gone(self, server: Server) -> None:
        if server.status in ACTIVE:
            cause = f"Its container is not on {server.host_name} any more: somebody removed it there."
            remedy = f"modelyard restart {server.model_name} deploys it again."
            await self._tracker.move(server, Trigger.GONE, cause=cause, remedy=remedy, **_down())

    async def _ended(self, runtime: Runtime, server: Server, seen: Observed) -> None:
        if server.status not in ACTIVE:
            return
        by_hand = seen.exit_code in {0, *ENDED_BY_SIGNAL} and not seen.oom_killed
        if by_hand and server.status != ServerStatus.STARTING:
            cause = "" if server.status == ServerStatus.STOPPING else f"It was stopped on {server.host_name}."
            await self._tracker.move(server, Trigger.ENDED, cause=cause, remedy="", **_down())
        else:
            await self._crashed(runtime, server, seen)

    async def _crashed(self, runtime: Runtime, server: Server, seen: Observed) -> None:
        lines = [line async for _, line in runtime.logs(seen.id, tail=_LOG_LINES)]
        found = explain(engine_named(EngineName(server.server_type)), lines, seen)
        await self._tracker.move(server, Trigger.CRASHED, cause=found.cause, remedy=found.remedy, **_down())

    async def _break_loop(self, runtime: Runtime, server: Server, seen: Observed) -> None:
        await runtime.stop(seen.id, timeout_s=self._settings.stop_timeout_s)
        await self._crashed(runtime, server, seen)

    async def _up(self, host: Host, server: Server, seen: Observed) -> None:
        engine = engine_named(EngineName(server.server_type))
        port = seen.port or server.port or 0
        health = await ask(self._hosts.connection(host), port, engine.health_path)
        facts = {**facts_of(seen), "port": port, "url": f"http://{server.bind}:{port}"}
        same_start = server.started_at == seen.started_at
        if health.ok:
            await self._move_if_new(server, Trigger.HEALTHY, ServerStatus.RUNNING, {**facts, "phase": ""})
        elif server.status == ServerStatus.RUNNING and same_start:
            await self._tracker.note(server, phase="does not answer its health check")
        else:
            await self._move_if_new(server, Trigger.UP, ServerStatus.LOADING, facts)

    async def _move_if_new(
        self, server: Server, trigger: Trigger, status: ServerStatus, facts: dict[str, object]
    ) -> None:
        if server.status != status:
            await self._tracker.move(server, trigger, **facts)
        else:
            await self._tracker.note(server, **facts)

    async def _take_up(self, host: Host, runtime: Runtime, seen: Observed) -> None:
        """A server of ours that this registry does not know: made from another machine, or before a lost registry."""
        told = read_labels(seen.labels)
        if told is None:
            return
        server = await self._registry.add_server(
            Server(
                user_id=told.owner or self._registry.user_id,
                model_id=told.model,
                model_name=told.served_name,
                served_name=told.served_name,
                server_type=told.engine,
                runtime=RuntimeName(runtime.name),
                host_id=host.id,
                host_name=host.name,
                container_id=seen.id,
                container_name=seen.name,
                image=seen.image,
                status=ServerStatus.STOPPED,
                bind=seen.bind or "127.0.0.1",
                port=seen.port,
                gpus=list(seen.gpus),
            )
        )
        if seen.phase in {Phase.UP, Phase.RESTARTING}:
            await self._up(host, server, seen)


_UNFINISHED = {ServerStatus.STARTING, ServerStatus.STOPPING}


def _interrupted(server: Server) -> dict[str, object]:
    if server.status != ServerStatus.STARTING:
        return {}
    return {
        "cause": "The program that deployed it ended before the server was started.",
        "remedy": f"modelyard restart {server.model_name}",
    }


def _down() -> dict[str, object]:
    return {"stopped_at": now(), "started_at": None, "phase": "", "gpu_memory": None}
