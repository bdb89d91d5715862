"""What goes wrong on real hosts: afterwards registry and host agree, the cause is told, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.app import Modelyard
from core.errors import HostUnreachable, NeedsConfirmation, PlanRefused, PortTaken, StartFailed
from core.events import Event, HostChanged, ServerChanged
from core.findings import Severity
from core.registry.records import Server
from core.registry.values import DeployOptions
from core.settings import Settings
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.program import modelyard, start
from tests.fleet.test_main_job import add_host, add_model, checksums

pytestmark = pytest.mark.timeout(300)
SMALL = DeployOptions(max_model_len=512)
SLOW = DeployOptions(max_model_len=512, cpus=0.05)


@pytest.fixture
def host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> FleetHost:
    host = clean_hosts.hosts[0]
    add_host(host)
    add_model(host, remote_model)
    return host


@pytest.fixture
async def yard(host: FleetHost, settings: Settings) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(settings) as opened:
        yield opened


async def deploy(yard: Modelyard, host: FleetHost, options: DeployOptions = SMALL) -> Server:
    plan = await yard.deploys.plan("smol", host.name, options)
    async for _ in yard.deploys.deploy(plan, confirmed=True):
        pass
    return await yard.registry.get_server("smol")


async def until(seen: Callable[[], Awaitable[bool]], *, what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not await seen():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s: {what}"
        await asyncio.sleep(0.1)


async def has_status(yard: Modelyard, status: str) -> bool:
    return [server.status for server in await yard.registry.servers()] == [status]


async def test_a_truncated_file_is_found_by_the_dry_run(host: FleetHost, yard: Modelyard, remote_model: str) -> None:
    short = host.models_folder / "short.gguf"
    short.write_bytes(host.here(remote_model).read_bytes()[:20_000_000])
    await yard.registry.edit_model("smol", {"path": f"{host.models_dir}/short.gguf"})
    plan = await yard.deploys.plan("smol", host.name, SMALL)
    with pytest.raises(PlanRefused):
        await anext(yard.deploys.deploy(plan))
    assert host.docker("ps", "-aq") == ""
    short.unlink()


async def test_a_file_that_only_its_owner_may_read_is_found_by_the_dry_run(
    host: FleetHost, yard: Modelyard, remote_model: str
) -> None:
    private = host.models_folder / "private.gguf"
    private.write_bytes(host.here(remote_model).read_bytes())
    os.chown(private, 1234, 1234)
    private.chmod(0o600)
    await yard.registry.edit_model("smol", {"path": f"{host.models_dir}/private.gguf"})
    [found] = (await yard.deploys.plan("smol", host.name, SMALL)).of(Severity.ERROR)
    assert (found.check, "private.gguf" in found.reason) == ("access", True)
    private.chmod(0o644)
    assert not (await yard.deploys.plan("smol", host.name, SMALL)).of(Severity.ERROR)
    private.unlink()


async def test_a_file_that_breaks_after_the_dry_run_ends_in_failed_with_the_cause(
    host: FleetHost, yard: Modelyard, remote_model: str
) -> None:
    broken = host.models_folder / "broken.gguf"
    broken.write_bytes(host.here(remote_model).read_bytes())
    await yard.registry.edit_model("smol", {"path": f"{host.models_dir}/broken.gguf"})
    plan = await yard.deploys.plan("smol", host.name, SMALL)
    with broken.open("r+b") as file:
        file.truncate(20_000_000)
    with pytest.raises(StartFailed) as caught:
        async for _ in yard.deploys.deploy(plan, confirmed=True):
            pass
    server = await yard.registry.get_server("smol")
    assert (server.status, server.cause) == ("failed", caught.value.cause)
    assert server.remedy
    assert host.docker("ps", "-q") == "", "a start that fails is not repeated for ever"
    broken.unlink()


async def test_a_missing_file(host: FleetHost, yard: Modelyard) -> None:
    await yard.registry.edit_model("smol", {"path": f"{host.models_dir}/nothing.gguf"})
    plan = await yard.deploys.plan("smol", host.name, SMALL)
    found = [finding for finding in plan.findings if finding.check == "files"]
    assert found[0].severity == "error"
    assert "nothing.gguf" in found[0].reason
    assert found[0].remedy


async def test_a_port_that_is_taken(host: FleetHost, yard: Modelyard, busybox_image: str) -> None:
    host.docker("run", "-d", "-p", "127.0.0.1:8000:80", busybox_image, "/bin/busybox", "httpd", "-f", "-p", "80")
    taken = await yard.deploys.plan("smol", host.name, DeployOptions(max_model_len=512, port=8000))
    assert [finding.check for finding in taken.of(Severity.ERROR)] == ["port"]
    free = await yard.deploys.plan("smol", host.name, SMALL)
    assert free.spec.port == 8001
    host.docker("run", "-d", "-p", "127.0.0.1:8001:80", busybox_image, "/bin/busybox", "httpd", "-f", "-p", "80")
    asked = replace(free, options=replace(SMALL, port=8001))
    with pytest.raises(PortTaken, match="port"):
        async for _ in yard.deploys.deploy(asked, confirmed=True):
            pass
    server = await yard.registry.get_server("smol")
    assert server.status == "failed"
    assert "port" in server.cause
    assert len(host.docker("ps", "-aq").split()) == 2, "what others run is not touched, and nothing of ours is left"
    async for _ in yard.deploys.deploy(free, confirmed=True):
        pass
    server = await yard.registry.get_server("smol")
    assert (server.status, server.port) == ("running", 8002), "nobody asked for that port: the next free one does"


async def test_an_image_that_is_missing_and_no_registry(host: FleetHost, yard: Modelyard) -> None:
    options = DeployOptions(max_model_len=512, image="127.0.0.1:9/none:1")
    plan = await yard.deploys.plan("smol", host.name, options)
    with pytest.raises(NeedsConfirmation):
        await anext(yard.deploys.deploy(plan))
    with pytest.raises(Exception) as caught:
        async for _ in yard.deploys.deploy(plan, confirmed=True):
            pass
    server = await yard.registry.get_server("smol")
    assert server.status == "failed"
    assert "127.0.0.1:9" in server.cause
    assert getattr(caught.value, "remedy", "")


async def test_dockerd_killed_while_loading_and_come_back(host: FleetHost, yard: Modelyard) -> None:
    deploying = asyncio.create_task(deploy(yard, host, SLOW))
    await until(lambda: has_status(yard, "loading"), what="it loads")
    with host.kill_dockerd():
        await asyncio.sleep(1)
        assert not deploying.done()
    name = (await yard.registry.get_server("smol")).container_name
    host.docker("update", "--cpus", "2", name)
    server = await asyncio.wait_for(deploying, 120)
    assert server.status == "running"
    assert host.docker("inspect", "-f", "{{.State.Running}}", name).strip() == "true"


@pytest.fixture
async def impatient(host: FleetHost, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Modelyard]:
    """Waits less for a host that is silent, and less between two tries."""
    monkeypatch.setattr("core.deploy.watch._MOST_S", 5.0)
    async with Modelyard.open(replace(settings, connect_timeout_s=3)) as opened:
        yield opened


async def test_a_host_cut_off_is_unreachable_and_then_as_before(host: FleetHost, impatient: Modelyard) -> None:
    yard = impatient
    server = await deploy(yard, host)
    seen: list[Event] = []
    async with yard.bus.subscribe() as events:
        listening = asyncio.create_task(_collect(aiter(events), seen))
        watching = asyncio.create_task(yard.deploys.watch())
        try:
            with host.cut():
                await until(lambda: _unreachable(yard, host, True), what="it is unreachable")
                assert (await yard.registry.get_server("smol")).status == "running", "never 'stopped'"
                with pytest.raises(HostUnreachable):
                    await anext(yard.deploys.stop("smol"))
                await asyncio.sleep(15)  # some more tries
            await until(lambda: _unreachable(yard, host, False), what="it is back", timeout_s=90)
            await yard.deploys.reconcile(host.name)
        finally:
            watching.cancel()
            listening.cancel()
    after = await yard.registry.get_server("smol")
    assert (after.status, after.started_at, after.restarts) == ("running", server.started_at, 0)
    changes = [event for event in seen if isinstance(event, HostChanged) and event.host == host.name]
    assert [event.reachable for event in changes] == [False, True]
    assert [event for event in seen if isinstance(event, ServerChanged)] == []


async def _collect(events: AsyncIterator[Event], into: list[Event]) -> None:
    async for event in events:
        into.append(event)


async def _unreachable(yard: Modelyard, host: FleetHost, expected: bool) -> bool:
    return ((await yard.registry.get_host(host.name)).unreachable_since is not None) is expected


async def test_a_container_removed_by_hand(host: FleetHost, yard: Modelyard) -> None:
    server = await deploy(yard, host)
    before = checksums(host.models_folder)
    host.docker("rm", "-f", server.container_name)
    await yard.deploys.reconcile()
    server = await yard.registry.get_server("smol")
    assert server.status == "stopped"
    assert "removed" in server.cause
    async for _ in yard.deploys.restart("smol"):
        pass
    assert await has_status(yard, "running")
    assert checksums(host.models_folder) == before


async def test_a_server_stopped_and_started_by_hand(host: FleetHost, yard: Modelyard) -> None:
    name = (await deploy(yard, host)).container_name
    host.docker("stop", "-t", "5", name)
    await yard.deploys.reconcile()
    assert await has_status(yard, "stopped")
    host.docker("start", name)
    await until(lambda: _reconciled(yard, "running"), what="it runs again")


async def _reconciled(yard: Modelyard, status: str) -> bool:
    await yard.deploys.reconcile()
    return await has_status(yard, status)


async def test_a_reboot_brings_the_server_back(host: FleetHost, yard: Modelyard) -> None:
    await deploy(yard, host)
    host.reboot()
    await until(lambda: _reconciled(yard, "running"), what="it runs again", timeout_s=90)


async def test_what_another_machine_deployed_is_recognised(
    host: FleetHost, yard: Modelyard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deploy(yard, host)
    monkeypatch.setenv("MODELS_DB_PATH", str(tmp_path / "other.db"))
    add_host(host)
    (server,) = modelyard("servers", "list", "--json").document["servers"]
    assert (server["model_name"], server["status"]) == ("smol", "running")
    modelyard("stop", server["id"])
    await yard.deploys.reconcile()
    assert await has_status(yard, "stopped")


@pytest.mark.parametrize("moment", ["starting", "loading"])
async def test_our_program_killed_in_the_middle_of_a_deploy(host: FleetHost, yard: Modelyard, moment: str) -> None:
    deploying = start("deploy", "smol", "--host", host.name, "--max-model-len", "512", "--yes")

    async def at_the_moment() -> bool:
        servers = await yard.registry.servers()
        return bool(servers) and servers[0].status in {moment, "running"}

    with deploying:
        await until(at_the_moment, what=moment)
        deploying.send_signal(signal.SIGKILL)
    await until(lambda: _settled(yard), what="the registry agrees with the host")
    server = await yard.registry.get_server("smol")
    state = host.docker("ps", "-a", "--format", "{{json .}}").strip()
    if server.status == "running":
        assert json.loads(state)["State"] == "running"
    else:
        assert server.status == "failed"
        assert server.cause
        assert server.remedy
    async for _ in yard.deploys.restart("smol"):
        pass
    assert await has_status(yard, "running")


async def _settled(yard: Modelyard) -> bool:
    await yard.deploys.reconcile()
    return (await yard.registry.get_server("smol")).status in {"running", "failed", "stopped"}


async def test_a_foreign_container_of_our_name_is_never_touched(
    host: FleetHost, yard: Modelyard, busybox_image: str
) -> None:
    model = await yard.registry.get_model("smol")
    name = f"llamacpp-model-{model.id}"
    host.docker("run", "-d", "--name", name, busybox_image, "/bin/busybox", "sleep", "1000")
    plan = await yard.deploys.plan("smol", host.name, SMALL)
    with pytest.raises(Exception):  # noqa: B017 - refused by the dry run or by the runtime
        async for _ in yard.deploys.deploy(plan, confirmed=True):
            pass
    assert host.docker("inspect", "-f", "{{.State.Running}}", name).strip() == "true"


async def test_stopped_from_elsewhere_while_it_loads(host: FleetHost, yard: Modelyard) -> None:
    deploying = asyncio.create_task(deploy(yard, host, SLOW))
    await until(lambda: has_status(yard, "loading"), what="it loads")
    await asyncio.to_thread(modelyard, "stop", "smol")
    with pytest.raises(StartFailed, match="stopped while it started"):
        await asyncio.wait_for(deploying, 60)
    assert await has_status(yard, "stopped")
    assert host.docker("ps", "-q") == ""


async def test_a_server_that_keeps_crashing_is_stopped_with_its_cause(
    host: FleetHost, yard: Modelyard, remote_model: str
) -> None:
    lone = host.models_folder / "lone.gguf"
    lone.write_bytes(host.here(remote_model).read_bytes())
    await yard.registry.edit_model("smol", {"path": f"{host.models_dir}/lone.gguf"})
    await deploy(yard, host)
    lone.unlink()
    host.exec(["pkill", "-SEGV", "-x", "llama-server"])
    await until(lambda: _reconciled(yard, "failed"), what="the breaker", timeout_s=90)
    server = await yard.registry.get_server("smol")
    assert "lone.gguf" in server.cause
    assert server.remedy
    assert host.docker("ps", "-q") == "", "it is not restarted for ever"
