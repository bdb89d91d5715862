"""The hosts of the registry: their connections, adding and removing them, how they are now."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import EngineUnavailable, HostUnreachable, InvalidInput, ModelyardError, NotAllowed, NotFound
from core.events import EventBus, HostChanged, now
from core.findings import Finding
from core.hosts import discover, doctor
from core.hosts.connection import Connection
from core.hosts.host_keys import accept_host_key as accept_key
from core.hosts.local import LocalConnection
from core.hosts.probe import HostProbe, probe
from core.hosts.ssh import SshConnection
from core.hosts.unix_http import NoAnswer, get_json
from core.hosts.values import HostOverview
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.registry.records import Host
    from core.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SEEN_EVERY_S = 60.0  # the time of the last contact is written no oftener


class HostRecords(Protocol):
    """What is needed of the registry."""

    async def hosts(self) -> list[Host]: ...
    async def get_host(self, name: str) -> Host: ...
    async def add_host(self, host: Host) -> Host: ...
    async def edit_host(self, name: str, changes: Mapping[str, Any]) -> Host: ...
    async def remove_host(self, name: str) -> Host: ...


class HostService:
    """One pooled connection per host, and what fronts ask of hosts."""

    def __init__(self, settings: Settings, registry: HostRecords, bus: EventBus) -> None:
        self._settings = settings
        self._registry = registry
        self._bus = bus
        self._pool: dict[str, tuple[tuple[str, ...], Connection]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def connection(self, host: Host) -> Connection:
        """The connection of a host; made anew when the record says another way to it."""
        way = (host.kind, host.name, host.target, host.ssh_config, host.docker_socket)
        known = self._pool.get(host.id)
        if known is not None and known[0] == way:
            return known[1]
        if known is not None:
            self._close_later(known[1])
        made = self._make(host)
        self._pool[host.id] = (way, made)
        return made

    async def close_all(self) -> None:
        """Let go of all connections; what runs on the hosts goes on."""
        pooled, self._pool = [connection for _, connection in self._pool.values()], {}
        await asyncio.gather(*(connection.close() for connection in pooled), *self._closing)

    async def add(
        self,
        name: str,
        *,
        target: str = "",
        models_dir: str = "",
        ssh_config: str = "",
        accept_host_key: str | None = None,
    ) -> Host:
        """Connect, look around, then add the host; nothing is kept when it can't be reached.

        Without `models_dir` it is /srv/models where that exists, else `models` in the user's home there.

        Raises:
            InvalidInput: the name or target. HostUnreachable: a subclass says why; `HostKeyUnknown` carries the
                fingerprints, one of which may be given as `accept_host_key`.
        """
        await self._check_name(name)
        from core.registry.records import Host

        host = Host(name=name, target=target or name, ssh_config=discover.config_path(ssh_config))
        connection = SshConnection(host, self._settings)
        try:
            if accept_host_key:
                await accept_key(connection.target, accept_host_key)
            await connection.connect()
            await discover.complete(host, connection, models_dir=models_dir)
        finally:
            await connection.close()
        host.last_seen_at = now()
        return await self._registry.add_host(host)

    async def remove(self, name: str) -> None:
        """Forget a host; nothing on it is touched.

        Raises:
            NotAllowed: it is this machine.
        """
        host = await self._registry.get_host(name)
        if host.kind == LOCAL_HOST:
            raise NotAllowed("This machine is always there and can't be removed.")
        await self._registry.remove_host(name)
        pooled = self._pool.pop(host.id, None)
        if pooled is not None:
            await pooled[1].close()

    async def overview(self, name: str) -> HostOverview:
        """How a host is now; one that can't be reached, or lacks an engine, is told in `problem`.

        Raises:
            NotFound: there is no such host.
        """
        host = await self._registry.get_host(name)
        try:
            connection = self.connection(host)
            await connection.connect()
            seen, engine = await asyncio.gather(probe(connection, _paths(host)), _engine(connection))
        except ModelyardError as error:
            await self.note_problem(host, error)
            return _unreachable(host, error)
        label, problem = engine
        await self.note_problem(host, problem)
        return _reachable(host, seen, engine=label, problem=problem)

    async def check(self, name: str) -> list[Finding]:
        """The doctor's findings.

        Raises:
            NotFound: there is no such host.
        """
        host = await self._registry.get_host(name)
        try:
            connection = self.connection(host)
        except InvalidInput as error:
            return [doctor.from_error("ssh", error)]
        if isinstance(connection, SshConnection):
            connection.forget_refusal()
        return await doctor.diagnose(connection, host)

    async def note_problem(self, host: Host, problem: ModelyardError | None) -> None:
        """Write how a host was met just now; fronts hear of it only when that has changed."""
        try:
            known = await self._registry.get_host(host.id)
        except NotFound:  # it was removed meanwhile
            return
        reachable = not isinstance(problem, HostUnreachable)
        text = problem.message if problem else ""
        changes = _changes(known, reachable=reachable, text=text)
        if not changes:
            return
        is_news = "unreachable_since" in changes or (reachable and "problem" in changes)
        await self._registry.edit_host(host.id, changes)
        if is_news:
            self._bus.publish(HostChanged(host=host.name, reachable=reachable, detail=text))

    def _make(self, host: Host) -> Connection:
        if host.kind == LOCAL_HOST:
            return LocalConnection(host, self._settings)
        return SshConnection(host, self._settings)

    def _close_later(self, connection: Connection) -> None:
        task = asyncio.ensure_future(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                {"name": "lower-case letters, digits and . _ - are allowed, a letter or digit first, 63 at most"}
            )
        try:
            await self._registry.get_host(name)
        except NotFound:
            return
        raise InvalidInput({"name": f"There is a host {name} already."})


def _changes(known: Host, *, reachable: bool, text: str) -> dict[str, Any]:
    present = now()
    changes: dict[str, Any] = {}
    if reachable and (known.last_seen_at is None or (present - known.last_seen_at).total_seconds() > _SEEN_EVERY_S):
        changes["last_seen_at"] = present
    if reachable and known.unreachable_since is not None:
        changes |= {"unreachable_since": None, "last_seen_at": present}
    if not reachable and known.unreachable_since is None:
        changes["unreachable_since"] = present
    if text != known.problem:
        changes["problem"] = text
    return changes


def _paths(host: Host) -> list[str]:
    return [host.models_dir] if host.models_dir else []


async def _engine(connection: Connection) -> tuple[str, EngineUnavailable | None]:
    """The engine's name and version, or why there is none."""
    try:
        return doctor.engine_label(await get_json(await connection.docker_socket(), "/version")), None
    except EngineUnavailable as error:
        return "", error
    except NoAnswer as problem:
        return "", EngineUnavailable(
            "The container engine does not answer.", cause=str(problem), remedy="sudo systemctl restart docker"
        )


def _unreachable(host: Host, error: ModelyardError) -> HostOverview:
    return HostOverview(
        name=host.name,
        kind=host.kind,
        target=host.target,
        models_dir=host.models_dir,
        reachable=not isinstance(error, HostUnreachable),
        problem=error.message,
        remedy=error.remedy,
        seen_at=host.last_seen_at,
    )


def _reachable(host: Host, seen: HostProbe, *, engine: str, problem: EngineUnavailable | None) -> HostOverview:
    return HostOverview(
        name=host.name,
        kind=host.kind,
        target=host.target,
        models_dir=host.models_dir,
        reachable=True,
        problem=problem.message if problem else "",
        remedy=problem.remedy if problem else "",
        engine=engine,
        gpus=seen.gpus,
        gpu_source=seen.gpu_source,
        disk=seen.places[0].disk if seen.places else None,
        cpus=seen.cpus,
        memory_total=seen.memory_total,
        memory_available=seen.memory_available,
        os=seen.os,
        clock_skew_s=seen.clock_skew_s,
        seen_at=now(),
    )
