"""Plan, deploy, stop, restart, remove: what a front may ask of servers (L3, P10-P14)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from core.deploy import lease
from core.deploy.actions import actions
from core.deploy.health import read_text
from core.deploy.lifecycle import Trigger
from core.deploy.plan import Planner
from core.deploy.reconcile import Reconciler
from core.deploy.starter import Starter
from core.deploy.tracker import Tracker
from core.deploy.watch import Watcher
from core.engines import engine_named
from core.engines.base import API_KEY_FILE
from core.errors import (
    EngineRefused,
    ModelyardError,
    NeedsConfirmation,
    NotAllowed,
    NotFound,
    PlanRefused,
    PortTaken,
    Refused,
)
from core.events import Event, EventBus, LogLine, Progress, ServerChanged, now
from core.findings import Severity
from core.registry.records import Deployment, Server
from core.registry.values import ACTIVE, Action, DeployOptions, EngineName, RuntimeName, ServerStatus
from core.runtimes.base import Phase
from core.runtimes.labels import DEPLOYMENT, SPEC, spec_hash
from core.text import clean_line

if TYPE_CHECKING:
    from core.deploy.access import ServerAccess
    from core.deploy.runtimes import Runtimes
    from core.deploy.values import Plan
    from core.hosts.service import HostService
    from core.registry.records import Host, Model
    from core.registry.store import Registry
    from core.runtimes.base import Runtime
    from core.settings import Settings


_METRICS_S = 10.0
_PORT_TRIES = 5
_LOADING_STOP_S = 3.0  # an engine that loads may not hear SIGTERM, and has nothing to finish


class DeployService:
    """One way in to everything that changes or shows servers."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        hosts: HostService,
        runtimes: Runtimes,
        *,
        bus: EventBus,
        access: ServerAccess,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._hosts = hosts
        self._runtimes = runtimes
        self._access = access
        self._tracker = Tracker(registry, bus)
        self._starter = Starter(settings, self._tracker)
        self._planner = Planner(registry, hosts, runtimes)
        self._reconciler = Reconciler(settings, registry, hosts, runtimes, self._tracker)
        self._watcher = Watcher(settings, registry, runtimes, self._reconciler, bus)

    def actions(self, model: Model, server: Server | None) -> list[Action]:
        """What may be done now, and why not the rest (P10)."""
        return actions(model, server, user_id=self._registry.user_id)

    async def plan(self, model_ref: str, host: str, options: DeployOptions, *, replace: bool = False) -> Plan:
        """The dry run; see `Planner.plan`."""
        return await self._planner.plan(model_ref, host, options, replace=replace)

    async def deploy(self, plan: Plan, *, confirmed: bool = False, wait: bool = True) -> AsyncIterator[Event]:
        """Do what the plan says and follow until the server answers; without `wait` until it is started.

        Ending the iteration early leaves the server as it is then.

        Raises:
            PlanRefused: the plan has errors. NeedsConfirmation: it has warnings.
            StartFailed: the server did not come up; its record says why.
        """
        _refuse_unready(plan, confirmed=confirmed)
        host = await self._registry.get_host(plan.host)
        runtime = self._runtimes.get(host, plan.runtime)
        server = await self._server_for(plan, host)
        server, event = await self._tracker.move(server, Trigger.START_ASKED, **_begin(plan))
        async with self._stage(server):
            if event:
                yield event
            async for progress in self._fetch_image(plan, server, runtime):
                yield progress
            server, event = await self._launch(plan, server, runtime)
            if event:
                yield event
            if wait:
                async for event_ in self._starter.follow(server, runtime, self._hosts.connection(host)):
                    yield event_

    async def stop(self, ref: str) -> AsyncIterator[Event]:
        """SIGTERM, the time-out, SIGKILL; the stopped container stays for its log until it is replaced or removed.

        Raises:
            NotAllowed: it is stopped already. HostUnreachable: nothing was changed.
        """
        server = await self._registry.get_server(ref)
        _, runtime = await self._reach(server)
        known = await runtime.inspect(server.container_id or server.container_name)
        serves = server.status == ServerStatus.RUNNING
        patience_s = self._settings.stop_timeout_s if serves else _LOADING_STOP_S
        server, event = await self._tracker.move(server, Trigger.STOP_ASKED, operation=lease.take("stop"))
        async with self._stage(server):
            if event:
                yield event
            if known is not None:
                await runtime.stop(known.id, timeout_s=patience_s)
            end = Trigger.ENDED if known is not None else Trigger.GONE
            await self._wish(server, ServerStatus.STOPPED)
            server, event = await self._tracker.move(server, end, **_ended())
            if event:
                yield event

    async def restart(self, ref: str) -> AsyncIterator[Event]:
        """Stop if active, then start the same server again; if its container is gone, deploy it as it was."""
        server = await self._registry.get_server(ref)
        host, runtime = await self._reach(server)
        if server.status in ACTIVE:
            async for event in self.stop(server.id):
                yield event
        known = await runtime.inspect(server.container_id or server.container_name)
        if known is None or known.phase is Phase.CREATED:
            async for event in self._deploy_again(server):
                yield event
            return
        server, changed = await self._tracker.move(server, Trigger.START_ASKED, operation=lease.take("restart"))
        async with self._stage(server):
            if changed:
                yield changed
            await runtime.start(known.id)
            server, changed = await self._started(server, known.id)
            if changed:
                yield changed
            async for event in self._starter.follow(server, runtime, self._hosts.connection(host)):
                yield event

    async def update(
        self, model_ref: str, host: str, options: DeployOptions, *, confirmed: bool = False
    ) -> AsyncIterator[Event]:
        """Stop and deploy with other options, once the dry run of the new ones is fine (L3)."""
        plan = await self.plan(model_ref, host, options, replace=True)
        _refuse_unready(plan, confirmed=confirmed)
        for server in await self._registry.servers(model_id=plan.model_id):
            if server.host_name == plan.host and server.status in ACTIVE:
                async for event in self.stop(server.id):
                    yield event
        async for event in self.deploy(plan, confirmed=confirmed):
            yield event

    async def remove_server(self, ref: str) -> Server:
        """Remove a stopped or failed server's container and record; model files stay (L8).

        Raises:
            Refused: it is active.
        """
        server = await self._registry.get_server(ref)
        if server.status in ACTIVE:
            raise Refused(f"{server.model_name} is {server.status}.", remedy=f"modelyard stop {server.id}")
        _, runtime = await self._reach(server)
        known = await runtime.inspect(server.container_id or server.container_name)
        if known is not None:
            await runtime.stop(known.id, timeout_s=self._settings.stop_timeout_s)
            await runtime.remove(known.id)
        return await self._registry.remove_server(server.id)

    async def delete_model(self, ref: str) -> Model:
        """Stop and remove its servers, then its record; files on disk stay (P6, L8).

        Raises:
            HostUnreachable: a server of it is on a host that can't be asked now; nothing was removed there.
        """
        model = await self._registry.get_model(ref)
        if model.is_global:
            return await self._registry.delete_model(model.id)  # which refuses, with the reason
        for server in await self._registry.servers(model_id=model.id):
            if server.status in ACTIVE:
                async for _ in self.stop(server.id):
                    pass
            await self.remove_server(server.id)
        return await self._registry.delete_model(model.id)

    async def logs(self, ref: str, *, tail: int | None = 200, follow: bool = False) -> AsyncIterator[LogLine]:
        """The last lines of a server, and with `follow` those to come (L7)."""
        server = await self._registry.get_server(ref)
        _, runtime = await self._reach(server)
        async for stream, line in runtime.logs(server.container_id or server.container_name, tail=tail, follow=follow):
            yield LogLine(server_id=server.id, line=line, stream=stream)

    async def metrics(self, ref: str) -> str:
        """What a running server counts (L10), as the engine's own Prometheus text.

        Raises:
            NotAllowed: it is not running. ModelyardError: it does not tell.
        """
        server = await self._registry.get_server(ref)
        if server.status != ServerStatus.RUNNING:
            raise NotAllowed(f"{server.model_name} is {server.status}: it counts nothing.")
        async with await self._access.client(server, timeout_s=_METRICS_S) as client:
            return await read_text(client, engine_named(server.server_type).metrics_path)

    async def reconcile(self, host: str | None = None) -> list[Server]:
        """Ask the hosts and bring the registry in line (L4); hosts that don't answer are marked, not raised."""
        return await self._reconciler.all(only=host)

    async def watch(self) -> None:
        """Reconcile for as long as it is not cancelled, at once when a host reports something."""
        await self._watcher.run()

    async def _reach(self, server: Server) -> tuple[Host, Runtime]:
        host = await self._registry.get_host(server.host_id)
        await self._hosts.connection(host).connect()
        return host, self._runtimes.get(host, RuntimeName(server.runtime))

    async def _server_for(self, plan: Plan, host: Host) -> Server:
        """The deployment's one server record, made or brought up to date."""
        deployment = await self._registry.put_deployment(
            Deployment(
                model_id=plan.model_id,
                host_id=host.id,
                engine=plan.engine,
                runtime=plan.runtime,
                options=plan.options.as_dict(),
                spec_hash=spec_hash(plan.spec),
            )
        )
        return await self._registry.put_server(
            Server(
                deployment_id=deployment.id,
                user_id=self._registry.user_id,
                model_id=plan.model_id,
                model_name=plan.model_name,
                served_name=plan.served_name,
                server_type=plan.engine,
                runtime=plan.runtime,
                host_id=host.id,
                host_name=host.name,
                status=ServerStatus.STOPPED,
            )
        )

    async def _fetch_image(self, plan: Plan, server: Server, runtime: Runtime) -> AsyncIterator[Event]:
        if plan.runtime is not RuntimeName.DOCKER or plan.has_image:
            return
        async for done, total in runtime.pull(plan.image):
            yield Progress(task=server.id, text=f"pulling {plan.image}", done=done, total=total, unit="bytes")

    async def _launch(self, plan: Plan, server: Server, runtime: Runtime) -> tuple[Server, ServerChanged | None]:
        """Create and start, on another port where the planned one was taken meanwhile and none was asked for."""
        avoid: frozenset[int] = frozenset()
        while True:
            try:
                return await self._create_and_start(plan, server, runtime)
            except PortTaken:
                avoid |= {plan.spec.port}
                if plan.options.port is not None or len(avoid) > _PORT_TRIES:
                    raise
            plan = await self._planner.plan(plan.model_id, plan.host, plan.options, replace=True, avoid=avoid)
            server = await self._tracker.note(server, port=plan.spec.port, url=plan.url)

    async def _create_and_start(
        self, plan: Plan, server: Server, runtime: Runtime
    ) -> tuple[Server, ServerChanged | None]:
        await runtime.remove(plan.spec.name)  # refuses what is not ours
        labels = {**plan.spec.labels, DEPLOYMENT: server.deployment_id or "", SPEC: spec_hash(plan.spec)}
        key = secrets.token_urlsafe(32).encode() if plan.options.api_key else b""
        created = await runtime.create(replace(plan.spec, labels=labels), files={API_KEY_FILE: key} if key else {})
        await self._tracker.note(server, container_id=created)
        try:
            await runtime.start(created)
        except EngineRefused:
            await runtime.remove(created)  # it never ran: it has no log, and holds the name
            raise
        await self._registry.note_deployed(server.model_id, server.id)
        return await self._started(server, created)

    async def _started(self, server: Server, container_id: str) -> tuple[Server, ServerChanged | None]:
        return await self._tracker.move(
            server, Trigger.UP, container_id=container_id, started_at=now(), stopped_at=None
        )

    async def _deploy_again(self, server: Server) -> AsyncIterator[Event]:
        deployments = await self._registry.deployments(host_id=server.host_id)
        wish = next((one for one in deployments if one.model_id == server.model_id), None)
        if wish is None:
            raise NotFound(
                f"{server.model_name} was not deployed by this registry, and its container is gone.",
                remedy=f"modelyard deploy {server.model_name} --host {server.host_name}",
            )
        options = replace(DeployOptions.from_dict(wish.options), engine=EngineName(wish.engine))
        plan = await self.plan(server.model_id, server.host_name, options)
        async for event in self.deploy(plan, confirmed=True):
            yield event

    async def _wish(self, server: Server, wanted: ServerStatus) -> None:
        if server.deployment_id:
            await self._registry.edit_deployment(server.deployment_id, {"wanted": wanted})

    @asynccontextmanager
    async def _stage(self, server: Server) -> AsyncIterator[None]:
        """Any error in any stage ends in failed, with its cause (L3); however it ends, nobody works on it then."""
        try:
            yield
        except ModelyardError as error:
            await self._failed(server, error)
            raise
        finally:
            mine = server.operation
            await self._registry.edit_server(
                server.id, lambda current: {"operation": None} if current.operation == mine else {}
            )

    async def _failed(self, server: Server, error: ModelyardError) -> None:
        """Write the cause down, unless the stage did it already, or somebody else works on the server by now."""
        current = await self._registry.get_server(server.id)
        unfinished = {ServerStatus.STARTING, ServerStatus.LOADING, ServerStatus.STOPPING}
        if current.status in unfinished and current.operation == server.operation:
            cause = clean_line(f"{error.message} {error.cause}".strip())
            await self._tracker.move(server, Trigger.ERROR, cause=cause, remedy=error.remedy, phase="")


def _refuse_unready(plan: Plan, *, confirmed: bool) -> None:
    if errors := plan.of(Severity.ERROR):
        raise PlanRefused(
            f"{plan.model_name} can't be deployed to {plan.host}: {errors[0].reason}",
            findings=[finding.as_dict() for finding in errors],
            remedy=errors[0].remedy,
        )
    warnings = plan.of(Severity.WARNING)
    if warnings and not confirmed:
        raise NeedsConfirmation(
            f"The dry run warns: {' '.join(finding.reason for finding in warnings)}",
            remedy="Say --yes to deploy all the same.",
        )


def _begin(plan: Plan) -> dict[str, object]:
    return {
        "operation": lease.take("deploy"),
        "model_name": plan.model_name,
        "served_name": plan.served_name,
        "server_type": plan.engine,
        "runtime": plan.runtime,
        "container_name": plan.spec.name,
        "container_id": "",
        "image": plan.image,
        "bind": plan.spec.bind,
        "port": plan.spec.port,
        "url": plan.url,
        "gpus": list(plan.spec.gpus),
        "restarts": 0,
        "cause": "",
        "remedy": "",
        "phase": "",
    }


def _ended() -> dict[str, object]:
    return {"stopped_at": now(), "started_at": None, "cause": "", "remedy": "", "phase": "", "gpu_memory": None}
