"""What only containers have: isolation, GPUs, the engine's own refusals, and an engine that goes away."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import requests

from core.engines.base import API_KEY_FILE
from core.errors import (
    EngineMissing,
    EngineRefused,
    EngineUnavailable,
    HostSilent,
    HostUnreachable,
    NotAllowed,
    NotFound,
)
from core.hosts.ssh import SshConnection
from core.registry.records import Host
from core.runtimes.base import BindMount, Phase
from core.runtimes.docker import DockerRuntime
from core.settings import Settings
from tests.contract.runtime_places import LABELS, DockerPlace, closable, docker_place, until
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost

SECRET = b"canary-7f3e91c2"
pytestmark = pytest.mark.usefixtures("busybox_image")


@pytest.fixture
async def place(clean_hosts: Fleet) -> AsyncIterator[DockerPlace]:
    made = docker_place(clean_hosts.hosts[0])
    yield made
    await made.runtime.close()


@pytest.fixture
def host(place: DockerPlace) -> FleetHost:
    return place.host


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests made from now on, as "METHOD path"."""
    made: list[str] = []
    send: Callable[..., requests.Response] = requests.Session.send

    def noted(session: requests.Session, request: requests.PreparedRequest, **more: object) -> requests.Response:
        made.append(f"{request.method} {request.path_url}")
        return send(session, request, **more)

    monkeypatch.setattr(requests.Session, "send", noted)
    return made


def details(host: FleetHost, server_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(host.docker("inspect", server_id))
    return found[0]


async def test_nothing_is_privileged_and_nothing_is_open(place: DockerPlace, host: FleetHost) -> None:
    mount = BindMount(source=host.models_dir, target="/models")
    spec = place.web_spec(
        port=21500, mounts=(mount,), writable=("/root/.cache",), memory_limit=2**28, cpus=0.5, shm_size=2**27
    )
    server_id = await place.runtime.create(spec, files={API_KEY_FILE: SECRET})
    await place.runtime.start(server_id)
    container = details(host, server_id)
    limits = container["HostConfig"]
    assert (limits["Privileged"], limits["CapDrop"], limits["CapAdd"]) == (False, ["ALL"], None)
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert limits["Binds"] is None
    assert (limits["Memory"], limits["NanoCpus"], limits["ShmSize"], limits["PidsLimit"]) == (
        2**28,
        500_000_000,
        2**27,
        4096,
    )
    assert limits["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "20m"}}
    mounted = {entry["Destination"]: entry for entry in container["Mounts"]}
    assert mounted["/models"]["RW"] is False
    assert mounted["/root/.cache"]["Type"] == "volume"
    assert "docker.sock" not in json.dumps(container["Mounts"])
    assert SECRET.decode() not in json.dumps(container)
    assert SECRET.decode() not in host.docker("history", "--no-trunc", place.image)
    assert place.listeners(21500) == {"127.0.0.1"}
    assert "CapEff:\t0000000000000000" in host.docker("exec", server_id, "cat", "/proc/1/status")
    volume = mounted["/root/.cache"]["Name"]
    await place.runtime.remove(server_id)
    assert volume not in host.docker("volume", "ls", "-q")


@pytest.mark.parametrize(("user", "owner"), [("", "0"), ("1234:99", "1234"), ("root", "0")])
async def test_secret_belongs_to_the_user_of_the_server(place: DockerPlace, user: str, owner: str) -> None:
    spec = place.spec(f"cat {API_KEY_FILE} >/dev/null && ls -ln {API_KEY_FILE}; ls -ld /run/secrets", user=user)
    server_id = await place.runtime.create(spec, files={API_KEY_FILE: SECRET})
    await place.runtime.start(server_id)
    ended = await place.phase(server_id, Phase.EXITED)
    lines = [line async for _, line in place.runtime.logs(server_id)]
    assert ended.exit_code == 0
    assert lines[0].split()[:3] == ["-r--------", "1", owner]
    assert lines[1].startswith("drwxr-xr-x")


async def test_secret_for_a_user_that_the_image_does_not_know(place: DockerPlace) -> None:
    with pytest.raises(EngineRefused, match="ghost"):
        await place.runtime.create(place.spec("true", user="ghost"), files={API_KEY_FILE: SECRET})
    assert await place.runtime.list() == []


async def test_creating_and_starting_takes_three_requests(place: DockerPlace, sent: list[str]) -> None:
    await place.runtime.info()
    assert await place.runtime.has_image(place.image)
    sent.clear()
    server_id = await place.runtime.create(place.spec("exec sleep 60"), files={API_KEY_FILE: SECRET})
    await place.runtime.start(server_id)
    assert len(sent) in {3, 4}, "stop, list, the one that changed; one that was just started may be looked at again"


async def test_looking_again_takes_one_request(place: DockerPlace, sent: list[str]) -> None:
    for number in range(5):
        server_id = await place.runtime.create(place.spec("exec sleep 60", name=f"vllm-model-{number}"))
        if number:
            await place.runtime.start(server_id)
    first = await place.runtime.list()
    assert len(first) == 5

    async def settled() -> bool:
        sent.clear()
        await place.runtime.list()
        return len(sent) == 1

    await until(settled, what="a list costs one request", within_s=6)
    assert await place.runtime.list() == first
    sent.clear()
    await place.runtime.stop(first[0].id, timeout_s=0)
    changed = await place.runtime.list()
    assert changed[0].phase is Phase.EXITED
    assert len([request for request in sent if first[0].id in request]) == 2, sent  # stop, and what became of it
    assert len([request for request in sent if "/containers/json" in request]) == 1, sent


async def test_a_restart_between_two_looks_is_noticed(place: DockerPlace, host: FleetHost) -> None:
    server_id = await place.runtime.create(place.spec("exec sleep 60"))
    await place.runtime.start(server_id)
    (before,) = await place.runtime.list()
    host.docker("restart", "-t", "0", server_id)
    (after,) = await place.runtime.list()
    assert before.started_at is not None
    assert after.started_at is not None
    assert after.started_at > before.started_at


async def test_missing_image(place: DockerPlace) -> None:
    assert not await place.runtime.has_image("modelyard-test/none:1")
    with pytest.raises(NotFound, match="image") as missing:
        await place.runtime.create(place.spec("true", image="modelyard-test/none:1"))
    assert "docker load" in missing.value.remedy


async def test_image_that_can_not_be_fetched(place: DockerPlace) -> None:
    with pytest.raises(EngineRefused) as refused:
        _ = [step async for step in place.runtime.pull("127.0.0.1:1/modelyard-test/none:1")]
    assert "registry" in str(refused.value)
    assert refused.value.remedy


async def test_program_that_the_image_lacks(place: DockerPlace) -> None:
    ended = await place.run_to_end(place.spec("true", argv=("/app/llama-server", "--port", "1")))
    assert ended.exit_code == 127
    assert "/app/llama-server failed: No such file" in "".join([line async for _, line in place.runtime.logs(ended.id)])


async def test_gpus_without_a_toolkit_are_refused_with_a_remedy(place: DockerPlace) -> None:
    server_id = await place.runtime.create(place.spec("true", gpus=("GPU-0aa0",)))
    with pytest.raises(EngineRefused) as refused:
        await place.runtime.start(server_id)
    assert "nvidia-container-toolkit" in refused.value.remedy
    found = await place.runtime.inspect(server_id)
    assert found is not None
    assert found.gpus == ("GPU-0aa0",)


async def test_port_taken_by_a_program_of_the_host(place: DockerPlace, host: FleetHost) -> None:
    holder = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{host.plan.netns}", "busybox", "httpd", "-f", "-p", "127.0.0.1:21600"]
    )
    try:

        async def held() -> bool:
            return bool(place.listeners(21600))

        await until(held, what="the port is taken")
        server_id = await place.runtime.create(place.web_spec(port=21600))
        with pytest.raises(EngineRefused) as refused:
            await place.runtime.start(server_id)
        assert "port already in use" in refused.value.cause
    finally:
        holder.kill()
        holder.wait()


async def test_address_that_the_host_does_not_have(place: DockerPlace) -> None:
    server_id = await place.runtime.create(place.web_spec(port=21601, bind="203.0.113.9"))
    with pytest.raises(EngineRefused, match="no network interface"):
        await place.runtime.start(server_id)


async def test_missing_mount_makes_no_folder_on_the_host(place: DockerPlace, host: FleetHost) -> None:
    missing = f"{host.models_dir}/not-there"
    with pytest.raises(EngineRefused):
        await place.runtime.create(place.spec("true", mounts=(BindMount(source=missing, target="/m"),)))
    assert not (host.models_folder / "not-there").exists()


async def test_foreign_containers_are_neither_listed_nor_removed(place: DockerPlace, host: FleetHost) -> None:
    foreign = host.docker("run", "-d", "--name", "theirs", "--label", "modelyard.model=m", place.image, "sleep", "60")
    assert await place.runtime.list() == []
    with pytest.raises(NotAllowed):
        await place.runtime.remove("theirs")
    with pytest.raises(NotAllowed):
        await place.runtime.remove(foreign)
    assert details(host, foreign)["State"]["Running"]
    found = await place.runtime.inspect("theirs")
    assert found is not None
    assert "modelyard.managed" not in found.labels


async def test_servers_of_other_programs_with_our_label_are_listed(place: DockerPlace, host: FleetHost) -> None:
    labels = [word for name, value in LABELS.items() for word in ("--label", f"{name}={value}")]
    host.docker("run", "-d", "--name", "llamacpp-model-x", *labels, place.image, "sh", "-c", "exit 4")

    async def ended() -> bool:
        return [server.exit_code for server in await place.runtime.list()] == [4]

    await until(ended, what="it is listed with its exit code")


async def test_killed_engine_ends_followers_with_an_error(place: DockerPlace, host: FleetHost) -> None:
    server_id = await place.runtime.create(place.spec("while true; do echo tick; sleep 0.1; done"))
    await place.runtime.start(server_id)

    async def read_log() -> None:
        async for _ in place.runtime.logs(server_id, follow=True):
            log_read.set()

    async def read_events() -> None:
        async for _ in place.runtime.happenings():
            events_read.set()

    log_read, events_read = asyncio.Event(), asyncio.Event()
    readers = [asyncio.create_task(read_log()), asyncio.create_task(read_events())]
    other = await place.runtime.create(place.spec("true", name="vllm-model-other"))
    await log_read.wait()

    async def event_seen() -> bool:
        await place.runtime.start(other)
        return events_read.is_set()

    await until(event_seen, what="events arrive")
    with host.kill_dockerd():
        async with asyncio.timeout(5):
            errors = await asyncio.gather(*readers, return_exceptions=True)
        assert [type(error) for error in errors] == [EngineMissing, EngineMissing]
        with pytest.raises(EngineMissing) as missing:
            await place.runtime.list()
        assert missing.value.remedy
    assert server_id in [server.id for server in await place.runtime.list()]


async def test_moved_socket_is_asked_for_once(host: FleetHost, short_folder: Path) -> None:
    asked: list[Path] = []

    async def moving() -> Path:
        asked.append(short_folder / "gone.sock" if not asked else host.docker_socket)
        return asked[-1]

    runtime = DockerRuntime(moving, host_name="gpu1")
    assert await runtime.list() == []
    assert len(asked) == 2
    await runtime.list()
    assert len(asked) == 2
    await runtime.close()


async def test_lost_host_is_told_from_a_lost_engine(host: FleetHost, place: DockerPlace) -> None:
    lost = False

    async def socket() -> Path:
        if lost:
            raise HostSilent("gpu1 does not answer")
        return host.docker_socket

    runtime = DockerRuntime(socket, host_name="gpu1")
    server_id = await runtime.create(place.spec("echo one; exec sleep 60"))
    await runtime.start(server_id)
    async with aclosing(closable(runtime.logs(server_id, follow=True))) as lines:
        await anext(lines)
        lost = True
        with host.kill_dockerd(), pytest.raises(HostSilent):
            await anext(lines)
    await runtime.close()


async def test_engine_that_does_not_answer_is_given_up(short_folder: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    path = short_folder / "silent.sock"
    server = await asyncio.start_unix_server(silent, path)

    async def socket() -> Path:
        return path

    runtime = DockerRuntime(socket, host_name="gpu1", answer_within_s=0.5)
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="in time"):
        await runtime.list()
    assert time.monotonic() - began < 5
    await runtime.close()
    server.close()


async def test_something_else_behind_the_socket(short_folder: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J")
        writer.close()

    path = short_folder / "other.sock"
    server = await asyncio.start_unix_server(babble, path)

    async def socket() -> Path:
        return path

    runtime = DockerRuntime(socket, host_name="gpu1")
    with pytest.raises(EngineUnavailable) as useless:
        await runtime.info()
    assert useless.value.remedy
    assert "\x1b" not in str(useless.value.as_dict())
    await runtime.close()
    server.close()


async def test_server_killed_for_its_memory_says_so(place: DockerPlace) -> None:
    spec = place.spec("x=x; while true; do x=$x$x; done", memory_limit=16 * 2**20)
    assert (await place.run_to_end(spec)).oom_killed


async def test_over_ssh_and_after_a_lost_connection(clean_hosts: Fleet, place: DockerPlace, settings: Settings) -> None:
    host = clean_hosts.hosts[0]
    connection = SshConnection(Host(name="gpu1", target="gpu1", ssh_config=str(clean_hosts.ssh_config)), settings)
    runtime = DockerRuntime(connection.docker_socket, host_name="gpu1")
    try:
        server_id = await runtime.create(place.spec("echo one; exec sleep 60"), files={API_KEY_FILE: SECRET})
        await runtime.start(server_id)
        async with asyncio.timeout(30), aclosing(closable(runtime.logs(server_id, follow=True))) as lines:
            assert await anext(lines) == ("stdout", "one")
            with host.take_down_sshd():
                with pytest.raises(HostUnreachable):
                    await anext(lines)
                with pytest.raises(HostUnreachable):
                    await runtime.list()
        assert [server.phase for server in await runtime.list()] == [Phase.UP]
        assert await runtime.read_file(server_id, API_KEY_FILE) == SECRET
        with host.kill_dockerd(), pytest.raises(EngineMissing):
            await runtime.list()
        assert len(await runtime.list()) == 1
    finally:
        await runtime.close()
        await connection.end()


_IMPATIENT = """
import asyncio, sys
from pathlib import Path
from core.runtimes.docker import DockerRuntime

async def path():
    return Path(sys.argv[1])

async def main():
    runtime = DockerRuntime(path, host_name="gpu1")
    try:
        async with asyncio.timeout(0.5):
            await runtime.list()
    except TimeoutError:
        print("gave up")
    await runtime.close()

asyncio.run(main())
"""


async def test_program_ends_while_an_engine_hangs(short_folder: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    path = short_folder / "silent.sock"
    server = await asyncio.start_unix_server(silent, path)
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _IMPATIENT, str(path), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(8):
        output, _ = await program.communicate()
    assert output == b"gave up\n"
    server.close()
