"""The service of hosts against records in memory: names, the pool, what is told and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from core.errors import EngineMissing, HostSilent, InvalidInput, ModelyardError, NotAllowed, NotFound
from core.events import Event, EventBus, HostChanged, now
from core.findings import Severity
from core.hosts.doctor import engine_label, gpu_containers
from core.hosts.local import LocalConnection
from core.hosts.service import HostService
from core.hosts.ssh import SshConnection
from core.registry.records import Host
from core.settings import Settings


class Records:
    """The few methods of the registry that the service uses."""

    def __init__(self) -> None:
        self.kept = {"local": Host(name="local", kind="local", models_dir="/")}
        self.edits: list[dict[str, Any]] = []

    async def hosts(self) -> list[Host]:
        return list(self.kept.values())

    async def get_host(self, name: str) -> Host:
        found = next((host for host in self.kept.values() if name in {host.name, host.id}), None)
        if found is None:
            raise NotFound(f"no host {name}")
        return found

    async def add_host(self, host: Host) -> Host:
        self.kept[host.name] = host
        return host

    async def edit_host(self, name: str, changes: Mapping[str, Any]) -> Host:
        host = await self.get_host(name)
        for key, value in changes.items():
            setattr(host, key, value)
        self.edits.append(dict(changes))
        return host

    async def remove_host(self, name: str) -> Host:
        return self.kept.pop(name)


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def service(settings: Settings, records: Records, bus: EventBus) -> HostService:
    return HostService(settings, records, bus)


@pytest.mark.parametrize("name", ["", "Upper", "-x", ".x", "a b", "a/b", "x" * 64, "a\x1b", "local"])
async def test_names_that_hosts_can_not_have(service: HostService, records: Records, name: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        await service.add(name, target="nobody@127.0.0.1")
    assert set(failure.value.fields) == {"name"}
    assert set(records.kept) == {"local"}


async def test_nothing_is_kept_of_a_host_that_can_not_be_reached(service: HostService, records: Records) -> None:
    with pytest.raises(ModelyardError):
        await service.add("gone", target="nobody@no-such-host.invalid")
    assert set(records.kept) == {"local"}


async def test_a_configuration_file_that_is_not_there(service: HostService) -> None:
    with pytest.raises(InvalidInput) as failure:
        await service.add("gpu1", ssh_config="/no/such/file")
    assert set(failure.value.fields) == {"ssh_config"}


async def test_this_machine_stays(service: HostService, records: Records) -> None:
    with pytest.raises(NotAllowed):
        await service.remove("local")
    assert "local" in records.kept


async def test_one_connection_per_host_until_the_way_changes(service: HostService) -> None:
    host = Host(name="gpu1", target="op@gpu1")
    first = service.connection(host)
    assert isinstance(first, SshConnection)
    assert service.connection(host) is first
    host.target = "op@gpu2"
    assert service.connection(host) is not first
    assert isinstance(service.connection(Host(name="local", kind="local")), LocalConnection)
    await service.close_all()


async def test_overview_of_this_machine(service: HostService, records: Records) -> None:
    seen = await service.overview("local")
    assert seen.reachable
    assert seen.cpus
    assert seen.memory_total
    assert seen.disk is not None
    assert seen.disk.total > 0
    assert seen.as_dict()["seen_at"]
    await service.close_all()


async def test_overview_of_a_host_that_is_not_there(service: HostService, records: Records) -> None:
    await records.add_host(Host(name="gone", target="no-such-host.invalid", models_dir="/srv/models"))
    seen = await service.overview("gone")
    assert not seen.reachable
    assert seen.problem
    assert seen.remedy
    assert records.kept["gone"].unreachable_since is not None
    assert records.kept["gone"].problem == seen.problem
    (finding,) = await service.check("gone")
    assert (finding.severity, finding.check) == (Severity.ERROR, "ssh")
    await service.close_all()


async def test_a_record_that_can_not_be_used_does_not_raise(service: HostService, records: Records) -> None:
    await records.add_host(Host(name="odd", target="-oProxyCommand=x"))
    assert (await service.overview("odd")).problem
    (finding,) = await service.check("odd")
    assert finding.severity is Severity.ERROR


async def test_changes_are_told_once(service: HostService, records: Records, bus: EventBus) -> None:
    host = records.kept["local"]
    heard: list[Event] = []

    async def listen() -> None:
        async with bus.subscribe() as subscription:
            listening.set()
            async for event in subscription:
                heard.append(event)

    listening = asyncio.Event()
    task = asyncio.create_task(listen())
    await listening.wait()
    silent, missing = HostSilent("no answer"), EngineMissing("no engine")
    for problem in (None, None, silent, silent, None, missing, missing, None):
        await service.note_problem(host, problem)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    told = [(event.reachable, event.detail) for event in heard if isinstance(event, HostChanged)]
    assert told == [(False, "no answer"), (True, ""), (True, "no engine"), (True, "")]
    assert host.unreachable_since is None


async def test_the_time_of_the_failure_is_that_of_the_first(service: HostService, records: Records) -> None:
    host = records.kept["local"]
    await service.note_problem(host, HostSilent("a"))
    since = host.unreachable_since
    await service.note_problem(host, HostSilent("b"))
    assert (host.unreachable_since, host.problem) == (since, "b")


async def test_the_last_contact_is_not_written_each_time(service: HostService, records: Records) -> None:
    host = records.kept["local"]
    await service.note_problem(host, None)
    await service.note_problem(host, None)
    assert len(records.edits) == 1
    host.last_seen_at = now() - timedelta(minutes=5)
    await service.note_problem(host, None)
    assert len(records.edits) == 2


async def test_a_host_removed_meanwhile_is_no_error(service: HostService) -> None:
    await service.note_problem(Host(name="was", target="x"), HostSilent("gone"))


@pytest.mark.parametrize(
    ("info", "severity"),
    [
        ({}, Severity.ERROR),
        ({"Runtimes": {"runc": {}}}, Severity.ERROR),
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, Severity.OK),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}, Severity.OK),
        ({"DiscoveredDevices": None, "Runtimes": None}, Severity.ERROR),
        ({"Runtimes": {"nvidia": {}}, "BuildahVersion": "1.28.2"}, Severity.ERROR),
    ],
)
def test_whether_containers_can_have_gpus(info: dict[str, Any], severity: Severity) -> None:
    assert gpu_containers(info).severity is severity


def test_names_of_engines() -> None:
    assert engine_label({"Version": "20.10.24"}) == "Docker 20.10.24"
    podman = {"Version": "4.3.1\x1b[2J", "Components": [{"Name": "Podman Engine"}]}
    assert engine_label(podman) == "Podman 4.3.1"
