"""The core for tests of the screens: the real registry on a file of its own; hosts, deploys and chat are played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from core.analytics.service import AnalyticsService
from core.app import Modelyard
from core.catalog.service import CatalogService
from core.chat import ChatDone, ChatPiece
from core.db import Database
from core.deploy.actions import actions
from core.deploy.values import GpuFit, MemoryEstimate, Plan
from core.downloads.service import DownloadService
from core.downloads.verifications import VerifyService
from core.errors import HostKeyUnknown, HostSilent, InvalidInput, StartFailed
from core.events import Event, EventBus, HostChanged, LogLine, Progress, ServerChanged, now
from core.exchange.service import ExchangeService
from core.files.service import FilesService
from core.findings import Finding, Severity
from core.hosts.files_of import FilesOf
from core.hosts.values import HostOverview
from core.keys.store import key_store
from core.registry.records import Host, Model, Server
from core.registry.store import Registry
from core.registry.values import Action, DeployOptions, EngineName, RuntimeName, ServerStatus
from core.runtimes.base import BindMount, ServerSpec
from core.settings import Settings
from tests.tui.connections import FakeConnections

GIB = 1024**3
FINGERPRINTS = ["SHA256:V7bP1ZcQv2r7nY2mB0yq3cDkz1m5S0gqf2m4uQe9wXk (ED25519)"]


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings whose places all lie in one folder."""
    return replace(
        Settings(
            config_dir=folder / "config",
            data_dir=folder / "data",
            runtime_dir=folder / "run",
            models_dir=folder / "models",
            db_path=folder / "data" / "registry.db",
            user_id="ada",
            catalog="none",
        ),
        **changes,
    )


@dataclass
class Script:
    """What the played parts do: set by a test before it presses keys."""

    findings: list[Finding] = field(default_factory=list)
    gpus: tuple[GpuFit, ...] = ()
    log_lines: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=lambda: ["Hello", ", ", "world"])
    fail_start: StartFailed | None = None
    doctor: list[Finding] = field(default_factory=list)
    overviews: dict[str, HostOverview] = field(default_factory=dict)
    known_key: bool = True
    go_on: asyncio.Event = field(default_factory=asyncio.Event)  # deploys wait for it while loading
    more_answer: asyncio.Event = field(default_factory=asyncio.Event)  # answers wait for it after the first piece
    asked: list[Any] = field(default_factory=list)


class FakeHosts:
    """Hosts that answer at once; the first contact is unknown unless the script says otherwise."""

    def __init__(self, registry: Registry, bus: EventBus, script: Script) -> None:
        self._registry, self._bus, self._script = registry, bus, script

    async def add(
        self,
        name: str,
        *,
        target: str = "",
        models_dir: str = "",
        ssh_config: str = "",
        accept_host_key: str | None = None,
    ) -> Host:
        self._script.asked.append(("add host", name, target, accept_host_key))
        if " " in name:
            raise InvalidInput({"name": "Must not contain spaces."})
        if not self._script.known_key and accept_host_key is None:
            raise HostKeyUnknown(f"{name} shows a key that is not known.", fingerprints=FINGERPRINTS)
        host = Host(name=name, target=target or name, models_dir=models_dir or "/srv/models", ssh_config=ssh_config)
        return await self._registry.add_host(host)

    async def remove(self, name: str) -> None:
        await self._registry.remove_host(name)

    async def overview(self, name: str) -> HostOverview:
        known = self._script.overviews.get(name)
        if known is not None:
            return known
        host = await self._registry.get_host(name)
        return HostOverview(
            name=name,
            kind=host.kind,
            target=host.target,
            models_dir=host.models_dir,
            reachable=True,
            engine="Docker 28",
        )

    def connection(self, host: Host) -> Any:
        """A test that needs one puts it here."""
        raise HostSilent(f"{host.name} is played: no line leads to it.")

    async def check(self, name: str) -> list[Finding]:
        return self._script.doctor


class FakeDeploys:
    """Plans as the script says, and servers that come up when the test lets them."""

    def __init__(self, registry: Registry, bus: EventBus, script: Script) -> None:
        self._registry, self._bus, self._script = registry, bus, script

    def actions(self, model: Model, server: Server | None) -> list[Action]:
        return actions(model, server, user_id=self._registry.user_id)

    async def plan(self, model_ref: str, host: str, options: DeployOptions) -> Plan:
        model = await self._registry.get_model(model_ref)
        self._script.asked.append(("plan", model.name, host, options))
        path = model.path or "/srv/models/some"
        return Plan(
            model_id=model.id,
            model_name=model.name,
            served_name=model.served_name,
            host=host,
            engine=options.engine or EngineName.VLLM,
            runtime=RuntimeName.DOCKER,
            options=options,
            image="vllm/vllm-openai:v0.32.0",
            has_image=True,
            model_path=path,
            spec=_spec(model, options),
            findings=tuple(self._script.findings),
            memory=MemoryEstimate(
                weights=int(15.3 * GIB),
                kv_cache=int(4.5 * GIB),
                overhead=int(1.9 * GIB),
                total=int(21.7 * GIB),
                low=int(20.1 * GIB),
                high=int(24.0 * GIB),
                kv_bytes_per_token=147_456,
                context=options.max_model_len or 8192,
                sequences=4,
            ),
            gpus=self._script.gpus,
            max_model_len=options.max_model_len or 8192,
        )

    async def deploy(self, plan: Plan, *, confirmed: bool = False, wait: bool = True) -> AsyncIterator[Event]:
        self._script.asked.append(("deploy", plan.model_name, plan.host, confirmed))
        host = await self._registry.get_host(plan.host)
        server = await self._registry.add_server(_server(plan, host, self._registry.user_id))
        yield await self._move(server.id, ServerStatus.STARTING, before="")
        yield Progress(task="image", text="Creating the container", done=1, total=2)
        yield await self._move(server.id, ServerStatus.LOADING, phase="loading weights")
        for number, line in enumerate(self._script.log_lines):
            yield LogLine(server_id=server.id, line=line)
            yield Progress(task="load", text="Loading weights", done=number, total=len(self._script.log_lines))
        await self._script.go_on.wait()
        if self._script.fail_start is not None:
            error = self._script.fail_start
            await self._move(server.id, ServerStatus.FAILED, cause=error.message, remedy=error.remedy)
            raise error
        yield await self._move(server.id, ServerStatus.RUNNING, started_at=now(), phase="")

    async def _move(self, server_id: str, after: ServerStatus, *, before: str | None = None, **more: Any) -> Event:
        server = await self._registry.get_server(server_id)
        was = server.status if before is None else before
        await self._registry.edit_server(server_id, {"status": after, **more})
        event = ServerChanged(
            server_id=server_id,
            model_name=server.model_name,
            host=server.host_name,
            before=was,
            after=after,
            detail=str(more.get("cause", "")),
            remedy=str(more.get("remedy", "")),
            url=server.url,
        )
        self._bus.publish(event)
        return event

    async def stop(self, ref: str) -> AsyncIterator[Event]:
        self._script.asked.append(("stop", ref))
        server = await self._registry.get_server(ref)
        yield await self._move(server.id, ServerStatus.STOPPING)
        yield await self._move(server.id, ServerStatus.STOPPED, started_at=None, gpu_memory=None)

    async def restart(self, ref: str) -> AsyncIterator[Event]:
        async for event in self.stop(ref):
            yield event
        yield await self._move(ref, ServerStatus.RUNNING, started_at=now())

    async def remove_server(self, ref: str) -> None:
        await self._registry.remove_server(ref)

    async def delete_model(self, ref: str) -> None:
        for server in await self._registry.servers(model_id=ref):
            await self._registry.remove_server(server.id)
        await self._registry.delete_model(ref)

    async def logs(self, ref: str, *, tail: int | None = 200, follow: bool = False) -> AsyncIterator[LogLine]:
        for line in self._script.log_lines:
            yield LogLine(server_id=ref, line=line)
        if follow:
            await self._script.go_on.wait()

    async def reconcile(self, host: str | None = None) -> list[Server]:
        return await self._registry.servers()

    async def watch(self) -> None:
        await asyncio.Event().wait()


class FakeSampler:
    """Servers that count nothing."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def sample(self) -> int:
        return 0


class FakeChat:
    """Answers in pieces; after the first one it waits for the test."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def ask(self, ref: str, messages: list[dict[str, str]], **_: Any) -> AsyncIterator[ChatPiece | ChatDone]:
        self._script.asked.append(("chat", [dict(message) for message in messages]))
        for number, text in enumerate(self._script.answer):
            if number:
                await self._script.more_answer.wait()
            yield ChatPiece(text=text)
        count = len(self._script.answer)
        yield ChatDone(
            prompt_tokens=9,
            completion_tokens=count,
            seconds=1.0,
            first_token_s=0.12,
            tokens_per_second=41.5,
            finish_reason="stop",
        )


@dataclass
class Yard:
    """One fake core: what a test fills before the app runs, and its opener for the app."""

    settings: Settings
    script: Script = field(default_factory=Script)
    fill: Callable[[Registry], Any] | None = None
    bus: EventBus = field(default_factory=EventBus)
    registry: Registry | None = None
    copies: object = None

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[Modelyard]:
        settings.ensure_folders()
        database = Database(settings.db_path)
        await database.open()
        registry = Registry(database, self.bus, user_id=settings.user_id)
        await registry.ensure_local_host(models_dir=str(settings.models_dir))
        catalog = CatalogService(settings, registry)
        await catalog.sync()
        if self.fill is not None:
            await self.fill(registry)
        self.registry = registry
        downloads, files = DownloadService(settings, registry), FilesService(settings, registry)
        hosts = cast("Any", FakeHosts(registry, self.bus, self.script))
        files_of = FilesOf(files, hosts, registry)
        try:
            yield Modelyard(
                settings=settings,
                bus=self.bus,
                registry=registry,
                keys=key_store(settings, registry, self.bus),
                catalog=catalog,
                hosts=hosts,
                deploys=cast("Any", FakeDeploys(registry, self.bus, self.script)),
                chat=cast("Any", FakeChat(self.script)),
                connections=cast("Any", FakeConnections(registry)),
                analytics=AnalyticsService(registry, cast("Any", FakeSampler())),
                exchange=ExchangeService(registry, self.bus),
                downloads=downloads,
                files=files,
                copies=cast("Any", self.copies),
                files_of=files_of,
                verifications=VerifyService(registry, files_of, downloads),
            )
        finally:
            await database.close()

    def opener(self, settings: Settings) -> AbstractAsyncContextManager[Modelyard]:
        """For `ModelyardApp(settings, opener=…)`."""
        return self.open(settings)

    async def change_server(self, ref: str, after: ServerStatus, **more: Any) -> None:
        """A server changes by itself, as a watcher would report it."""
        assert self.registry is not None
        await FakeDeploys(self.registry, self.bus, self.script)._move(ref, after, **more)

    async def lose_host(self, name: str, problem: str) -> None:
        """A host can't be reached any more."""
        assert self.registry is not None
        await self.registry.edit_host(name, {"unreachable_since": now(), "problem": problem})
        self.bus.publish(HostChanged(host=name, reachable=False, detail=problem))


def finding(severity: Severity, reason: str, remedy: str = "") -> Finding:
    """A finding of a dry run."""
    return Finding(severity=severity, check="test", reason=reason, remedy=remedy)


def server_values(model: Model, host: Host, status: ServerStatus, **more: Any) -> Server:
    """A server's record."""
    values: Mapping[str, Any] = {
        "user_id": "ada",
        "model_id": model.id,
        "model_name": model.name,
        "served_name": model.served_name,
        "server_type": "vllm",
        "runtime": "docker",
        "host_id": host.id,
        "host_name": host.name,
        "container_name": f"vllm-model-{model.id}",
        "status": status,
        "port": 8000,
        "url": "http://127.0.0.1:8000",
        **more,
    }
    return Server(**values)


def _spec(model: Model, options: DeployOptions) -> ServerSpec:
    argv = (
        "python3",
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        f"/models/{model.name}",
        "--served-name",
        model.served_name,
        "--gpu-memory-utilization",
        str(options.gpu_memory_utilization),
        "--max-model-len",
        str(options.max_model_len or 8192),
    )
    return ServerSpec(
        name=f"vllm-model-{model.id}",
        image="vllm/vllm-openai:v0.32.0",
        argv=argv,
        mounts=(BindMount(source=model.path or "/srv/models/some", target=f"/models/{model.name}"),),
        bind="127.0.0.1",
        port=8000,
        shm_size=8 * GIB,
        gpus=("GPU-4f1c6b1e",),
    )


def _server(plan: Plan, host: Host, user_id: str) -> Server:
    return Server(
        user_id=user_id,
        model_id=plan.model_id,
        model_name=plan.model_name,
        served_name=plan.served_name,
        server_type=plan.engine,
        runtime=plan.runtime,
        host_id=host.id,
        host_name=host.name,
        container_name=plan.spec.name,
        status=ServerStatus.STARTING,
        port=plan.spec.port,
        url=plan.url,
    )
