"""Hosts as they really fail: each failure its own clear error, nothing hangs, and a cut line comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from core.app import Modelyard
from core.errors import (
    CommandFailed,
    EngineMissing,
    HostKeyChanged,
    HostKeyUnknown,
    HostSilent,
    HostUnreachable,
    InvalidInput,
    LoginRefused,
    ModelyardError,
    SocketDenied,
)
from core.findings import Severity
from core.hosts.doctor import diagnose
from core.hosts.host_keys import accept_host_key, shown_keys
from core.hosts.ssh import SshConnection
from core.registry.records import Host
from core.settings import Settings
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost

Connect = Callable[..., SshConnection]


@pytest.fixture
async def connect(fleet: Fleet, settings: Settings) -> AsyncIterator[Connect]:
    """Makes connections that are ended, masters included, after the test."""
    made: list[SshConnection] = []

    def make(target: str = "gpu1", *, config: Path | None = None, within_s: float = 10) -> SshConnection:
        record = Host(name=target, target=target, ssh_config=str(config or fleet.ssh_config))
        made.append(SshConnection(record, replace(settings, connect_timeout_s=within_s)))
        return made[-1]

    yield make
    for connection in made:
        await connection.end()


async def refused(action: Awaitable[object], kind: type[ModelyardError]) -> ModelyardError:
    """The one error that is expected, which has to tell why and what to do."""
    with pytest.raises(ModelyardError) as failure:
        await action
    assert type(failure.value) is kind, f"{failure.value!r}: {failure.value.cause}"
    assert failure.value.remedy
    return failure.value


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.1)


def masters() -> list[psutil.Process]:
    """The ssh processes of this test that hold a connection."""
    folder = os.environ["XDG_RUNTIME_DIR"]
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == "ssh" and "-fNT" in words and any(folder in word for word in words):
            found.append(process)
    return found


# the five errors


async def test_a_refused_login(host: FleetHost, connect: Connect) -> None:
    host.refuse_key()
    connection = connect()
    error = await refused(connection.connect(), LoginRefused)
    assert "Permission denied (publickey)" in error.cause
    assert error.exit_code == 4


async def test_a_refused_login_is_not_tried_again_until_asked(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    with host.refuse_key():
        await refused(connection.connect(), LoginRefused)
        before = host.log("sshd").read_text().count("Connection from")
        for _ in range(3):
            await refused(connection.run(["true"]), LoginRefused)
        assert host.log("sshd").read_text().count("Connection from") == before
    connection.forget_refusal()
    assert (await connection.run(["true"])).code == 0


async def test_a_changed_host_key(host: FleetHost, connect: Connect) -> None:
    host.change_host_key()
    error = await refused(connect().connect(), HostKeyChanged)
    assert "has changed" in error.cause
    assert "@@@" not in error.cause


async def test_a_changed_key_is_not_accepted_by_its_fingerprint(host: FleetHost, connect: Connect) -> None:
    host.change_host_key()
    before = host.plan.known_hosts.read_bytes()
    await refused(accept_host_key(connect().target, host.fingerprint), HostKeyChanged)
    assert host.plan.known_hosts.read_bytes() == before


async def test_a_silent_host(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    host.cut()
    started = asyncio.get_running_loop().time()
    await refused(connection.connect(), HostSilent)
    assert asyncio.get_running_loop().time() - started < 11


async def test_ten_callers_wait_for_a_silent_host_only_once(host: FleetHost, connect: Connect) -> None:
    connection = connect(within_s=3)
    host.cut()
    started = asyncio.get_running_loop().time()
    found = await asyncio.gather(*(connection.run(["true"]) for _ in range(10)), return_exceptions=True)
    assert {type(error) for error in found} == {HostSilent}
    assert asyncio.get_running_loop().time() - started < 6


async def test_no_ssh_server(host: FleetHost, connect: Connect) -> None:
    host.take_down_sshd()
    error = await refused(connect().connect(), HostSilent)
    assert "Connection refused" in error.cause


async def test_a_host_that_hangs_in_the_login(host: FleetHost, settings: Settings, fleet: Fleet) -> None:
    quick = replace(settings, connect_timeout_s=2)
    connection = SshConnection(Host(name="gpu1", target="gpu1", ssh_config=str(fleet.ssh_config)), quick)
    servers = [process for process in host.processes() if process.name() == "sshd"]
    for server in servers:
        server.send_signal(signal.SIGSTOP)
    try:
        started = asyncio.get_running_loop().time()
        await refused(connection.connect(), HostSilent)
        assert asyncio.get_running_loop().time() - started < 6
    finally:
        for server in servers:
            server.send_signal(signal.SIGCONT)
            if (parent := server.parent()) and parent.name() == "nsenter":  # it stops with its child
                parent.send_signal(signal.SIGCONT)


async def test_an_unknown_name(connect: Connect) -> None:
    error = await refused(connect("no-such-host.invalid").connect(), HostSilent)
    assert "resolve" in error.cause


async def test_no_engine(fleet: Fleet, connect: Connect) -> None:
    assert fleet.bastion
    await refused(connect("bastion").docker_socket(), EngineMissing)


async def test_an_engine_that_was_killed(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    assert await connection.docker_socket()
    host.kill_dockerd()
    error = await refused(connection.docker_socket(), EngineMissing)
    assert "restart docker" in error.remedy
    host.repair_dockerd()
    assert await connection.docker_socket()


async def test_a_socket_without_rights(host: FleetHost, connect: Connect) -> None:
    error = await refused(connect("gpu1-op").docker_socket(), SocketDenied)
    assert "usermod -aG docker op" in error.remedy


async def test_rights_given_meanwhile_need_no_restart(host: FleetHost, connect: Connect) -> None:
    connection = connect("gpu1-op")
    await refused(connection.docker_socket(), SocketDenied)
    group = host.exec(["cat", "/etc/group"])
    host.exec(["sh", "-c", "cat > /etc/group"], stdin=group.replace("deployer", "deployer,op", 1))
    try:
        assert await connection.docker_socket()
    finally:
        host.exec(["sh", "-c", "cat > /etc/group"], stdin=group)


# the first contact


async def test_the_first_contact(host: FleetHost, fleet: Fleet, connect: Connect, tmp_path: Path) -> None:
    known = tmp_path / "ssh" / "known_hosts"
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=known)
    connection = connect(config=config)
    with pytest.raises(HostKeyUnknown) as failure:
        await connection.connect()
    assert failure.value.fingerprints == [f"{host.fingerprint} (ED25519)"]
    with pytest.raises(HostKeyUnknown) as failure:
        await accept_host_key(connection.target, "SHA256:" + "A" * 43)
    assert failure.value.fingerprints == [f"{host.fingerprint} (ED25519)"]
    assert not known.exists()
    await accept_host_key(connection.target, failure.value.fingerprints[0])
    assert known.read_text().count("\n") == 1
    assert known.stat().st_mode & 0o777 == 0o600
    assert (await connection.run(["hostname"])).stdout == "gpu1\n"
    await accept_host_key(connection.target, host.fingerprint)
    assert known.read_text().count("\n") == 1


async def test_a_key_is_added_after_a_line_without_its_end(
    host: FleetHost, fleet: Fleet, connect: Connect, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("# mine")
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=known, extra=["HashKnownHosts yes"])
    connection = connect("gpu1-other-port", config=config)
    await accept_host_key(connection.target, host.fingerprint)
    first, second = known.read_text().splitlines()
    assert (first, second[:3]) == ("# mine", "|1|")
    assert (await connection.run(["true"])).code == 0


async def test_a_key_of_another_kind_is_no_first_contact(
    host: FleetHost, fleet: Fleet, connect: Connect, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    os.system(f"ssh-keygen -q -t ecdsa -N '' -f {tmp_path}/other")
    known.write_text(f"{host.address} {' '.join((tmp_path / 'other.pub').read_text().split()[:2])}\n")
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=known)
    await refused(connect(config=config).connect(), HostKeyChanged)


# ways


async def test_another_port(connect: Connect) -> None:
    assert (await connect("gpu1-other-port").run(["hostname"])).stdout == "gpu1\n"


async def test_behind_a_jump_host(fleet: Fleet, connect: Connect) -> None:
    assert fleet.inner
    connection = connect("inner")
    assert (await connection.run(["hostname"])).stdout == "inner\n"
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(await connection.docker_socket())), base_url="http://docker"
    ) as client:
        assert (await client.get("/info")).json()["Name"] == "inner"


async def test_the_first_contact_behind_a_jump_host(fleet: Fleet, connect: Connect, tmp_path: Path) -> None:
    inner, bastion = fleet.inner, fleet.bastion
    known = tmp_path / "known_hosts"
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=known)
    for met in (bastion, inner):
        connection = connect("inner", config=config)
        with pytest.raises(HostKeyUnknown) as failure:
            await connection.connect()
        assert failure.value.fingerprints == [f"{met.fingerprint} (ED25519)"]
        assert ("jump host" in failure.value.message) == (met is bastion)
        with pytest.raises(HostKeyUnknown):
            await accept_host_key(connection.target, "SHA256:another")
        await accept_host_key(connection.target, met.fingerprint)
    assert (await connect("inner", config=config).run(["hostname"])).stdout == "inner\n"
    assert len(known.read_text().splitlines()) == 2


async def test_a_jump_host_that_is_cut_off(fleet: Fleet, connect: Connect) -> None:
    assert fleet.inner
    connection = connect("inner", within_s=3)
    fleet.bastion.cut()
    started = asyncio.get_running_loop().time()
    await refused(connection.connect(), HostSilent)
    assert asyncio.get_running_loop().time() - started < 7


async def test_options_of_the_users_configuration_do_not_get_in_the_way(
    fleet: Fleet, connect: Connect, tmp_path: Path
) -> None:
    extra = ["RemoteCommand echo mine", "RequestTTY force", "LocalForward 1 127.0.0.1:1", "LogLevel QUIET"]
    extra += ["ControlMaster auto", "ControlPath /nowhere/%h", "ForwardAgent yes"]
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=fleet.known_hosts, extra=extra)
    connection = connect(config=config)
    assert (await connection.run(["hostname"])).stdout == "gpu1\n"
    assert "SSH_AUTH_SOCK" not in (await connection.run(["env"])).stdout


async def test_a_broken_configuration(fleet: Fleet, connect: Connect, tmp_path: Path) -> None:
    config = fleet.write_ssh_config(tmp_path / "config", known_hosts=fleet.known_hosts, extra=["NoSuchOption 1"])
    error = await refused(connect(config=config).connect(), HostUnreachable)
    assert "NoSuchOption" in error.cause or "nosuchoption" in error.cause


@pytest.mark.parametrize("target", ["-oProxyCommand=x", "a b", "", "x;y", "root@-x", "$(id)", "a\nb"])
def test_targets_that_are_none(target: str, settings: Settings) -> None:
    with pytest.raises(InvalidInput):
        SshConnection(Host(name="x", target=target), settings)


# one line, shared


async def test_two_programs_share_one_master(connect: Connect) -> None:
    first, second = connect(), connect()
    await asyncio.gather(first.connect(), second.connect())
    assert (len(masters()), (await first.run(["true"])).code) == (1, 0)
    paths = await asyncio.gather(first.docker_socket(), second.docker_socket())
    assert paths[0] == paths[1]
    await first.close()
    assert (await second.run(["echo", "still"])).stdout == "still\n"
    assert await second.docker_socket()


async def test_a_killed_master_is_replaced(connect: Connect) -> None:
    connection = connect()
    socket = await connection.docker_socket()
    masters()[0].kill()
    await until(_gone)
    assert (await connection.run(["true"])).code == 0
    assert await _ping(socket), "the forwarded socket is there again, without asking for it"


async def _gone() -> bool:
    return not masters()


async def _ping(socket: Path) -> bool:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://d") as client:
        return (await client.get("/_ping")).text == "OK"


async def test_a_cut_line_is_noticed_and_comes_back(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    socket = await connection.docker_socket()
    started = asyncio.get_running_loop().time()
    with host.cut():
        error = await refused(connection.run(["sleep", "100"], timeout_s=100), HostSilent)
        assert "not responding" in error.cause
        assert asyncio.get_running_loop().time() - started < 20
        await refused(connection.read("/etc/hostname", length=9), HostSilent)
    assert (await connection.run(["hostname"])).stdout == "gpu1\n"
    assert await _ping(socket)


async def test_a_short_cut_is_not_even_noticed(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    await connection.connect()
    command = asyncio.create_task(connection.run(["sh", "-c", "sleep 3; echo done"]))
    with host.cut():
        await asyncio.sleep(2)
    assert (await command).stdout == "done\n"


async def test_a_stream_over_a_cut_line_ends(host: FleetHost, connect: Connect) -> None:
    lines = connect().stream(["sh", "-c", "echo up; sleep 100"])
    assert await anext(lines) == "up"
    host.cut()
    await refused(anext(lines), HostSilent)


async def test_a_rebooted_host_is_reached_again(host: FleetHost, connect: Connect) -> None:
    connection = connect()
    await connection.docker_socket()
    host.reboot()

    async def works() -> bool:
        try:
            return (await connection.run(["true"])).code == 0
        except HostUnreachable:
            return False

    await until(works)
    assert await _ping(await connection.docker_socket())


async def test_a_tunnel_to_a_server(connect: Connect) -> None:
    connection = connect()
    server = "import http.server as h\ns=h.HTTPServer(('127.0.0.1',0),h.SimpleHTTPRequestHandler)\n"
    server += "print(s.server_port,flush=True)\ns.serve_forever()\n"
    stream = connection.stream(["python3", "-c", server])
    port = int(await anext(stream))
    transport = httpx.AsyncHTTPTransport(uds=str(await connection.tunnel(port)))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        assert (await client.get("/")).status_code == 200
    await stream.aclose()


async def test_secrets_stay_off_the_command_line(connect: Connect) -> None:
    connection = connect()
    secret = f"canary-{os.getpid()}"
    command = asyncio.create_task(connection.run(["sh", "-c", "sleep 1; cat"], stdin=secret.encode()))
    seen = ""
    while not command.done():
        seen += "".join(str(process.info["cmdline"]) for process in psutil.process_iter(["cmdline"]))
        await asyncio.sleep(0.02)
    assert (await command).stdout == secret
    assert secret not in seen


# copies


async def test_a_copy_onto_a_full_disk_goes_on_when_there_is_room(
    host: FleetHost, connect: Connect, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    source.write_bytes(os.urandom(40_000_000))
    connection = connect()
    with host.fill_disk(leave=10_000_000):
        error = await refused(_copy(connection, source, "/srv/models/big"), CommandFailed)
        assert "disk is full" in error.message
    await _copy(connection, source, "/srv/models/big")
    assert (host.models_folder / "big").read_bytes() == source.read_bytes()


async def test_a_copy_over_a_line_that_is_cut(host: FleetHost, connect: Connect, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(os.urandom(1 << 20) * 600)
    connection = connect()
    await connection.connect()
    copying = asyncio.create_task(_copy(connection, source, "/srv/models/cut/model"))

    async def under_way() -> bool:
        return sum(path.stat().st_size for path in host.models_folder.glob("cut/.*") if path.is_file()) > 0

    await until(under_way)
    with host.cut():
        await refused(copying, HostSilent)
    assert not (host.models_folder / "cut" / "model").exists()
    await _copy(connection, source, "/srv/models/cut/model")
    assert (host.models_folder / "cut" / "model").read_bytes() == source.read_bytes()


async def test_a_copy_where_it_may_not_write(connect: Connect, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(b"x")
    error = await refused(_copy(connect("gpu1-op"), source, "/etc/model"), CommandFailed)
    assert "Permission denied" in error.cause


async def test_a_copy_without_rsync_there(host: FleetHost, connect: Connect, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(b"x")
    bashrc = host.plan.folder / "home" / "deployer" / ".bashrc"
    host.exec(["sh", "-c", "mkdir -p /tmp/bin && ln -sf /usr/bin/* /tmp/bin && rm /tmp/bin/rsync"])
    bashrc.write_text("PATH=/tmp/bin\n")
    try:
        error = await refused(_copy(connect("gpu1-deployer"), source, "/srv/models/x"), CommandFailed)
        assert "apt install rsync" in error.remedy
    finally:
        bashrc.write_text("")


async def _copy(connection: SshConnection, source: Path, target: str) -> None:
    async for _ in connection.copy_to(source, target):
        pass


# the doctor


async def test_the_doctor_on_a_sound_host(host: FleetHost, connect: Connect, fleet: Fleet) -> None:
    record = Host(name="gpu1", target="gpu1", ssh_config=str(fleet.ssh_config), models_dir="/srv/models")
    found = {finding.check: finding for finding in await diagnose(connect(), record)}
    assert {name for name, finding in found.items() if finding.severity is Severity.ERROR} == set()
    assert {"ssh", "python3", "engine", "engine-socket", "rsync", "models-dir", "disk", "clock"} <= set(found)
    assert found["engine"].reason.startswith("Docker ")


async def test_the_doctor_tells_what_is_missing(connect: Connect) -> None:
    record = Host(name="gpu1", target="gpu1-op", models_dir="/srv/none/models")
    found = {finding.check: finding for finding in await diagnose(connect("gpu1-op"), record)}
    assert found["engine-socket"].severity is Severity.ERROR
    assert "SocketDenied" in found["engine-socket"].reason
    assert found["models-dir"].severity is Severity.WARNING
    assert "does not exist" in found["models-dir"].reason


async def test_the_doctor_at_a_closed_door(host: FleetHost, connect: Connect) -> None:
    host.refuse_key()
    (finding,) = await diagnose(connect(), Host(name="gpu1", target="gpu1"))
    assert (finding.severity, finding.check) == (Severity.ERROR, "ssh")
    assert finding.reason.startswith("LoginRefused")


async def test_all_kinds_of_keys_are_shown(host: FleetHost, connect: Connect) -> None:
    assert [str(key) for key in await shown_keys(connect().target)] == [f"{host.fingerprint} (ED25519)"]


# the service, with real records


@pytest.fixture
async def yard(settings: Settings) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(settings) as opened:
        yield opened


async def test_a_host_is_added_looked_at_and_removed(yard: Modelyard, host: FleetHost, fleet: Fleet) -> None:
    added = await yard.hosts.add("box", target="gpu1-deployer", ssh_config=str(fleet.ssh_config))
    assert (added.models_dir, added.docker_socket) == ("/srv/models", "/var/run/docker.sock")
    seen = await yard.hosts.overview("box")
    assert (seen.reachable, seen.problem, seen.gpus) == (True, "", ())
    assert seen.engine.startswith("Docker ")
    assert seen.disk is not None
    assert seen.disk.total == host.plan.models_size
    await yard.hosts.remove("box")
    assert [one.name for one in await yard.registry.hosts()] == ["local"]


async def test_a_models_folder_of_ones_own(yard: Modelyard, fleet: Fleet) -> None:
    added = await yard.hosts.add("box", target="gpu1-op", ssh_config=str(fleet.ssh_config), models_dir="~/my models")
    assert added.models_dir == "/home/op/my models"
    seen = await yard.hosts.overview("box")
    assert seen.reachable
    assert "no rights" in seen.problem
    assert "usermod" in seen.remedy


async def test_the_first_contact_through_the_service(
    yard: Modelyard, host: FleetHost, fleet: Fleet, tmp_path: Path
) -> None:
    config = str(fleet.write_ssh_config(tmp_path / "config", known_hosts=tmp_path / "known_hosts"))
    with pytest.raises(HostKeyUnknown) as failure:
        await yard.hosts.add("gpu1", ssh_config=config)
    assert [one.name for one in await yard.registry.hosts()] == ["local"]
    (fingerprint,) = failure.value.fingerprints
    assert (await yard.hosts.add("gpu1", ssh_config=config, accept_host_key=fingerprint)).target == "gpu1"


async def test_a_host_that_went_away_and_came_back(yard: Modelyard, host: FleetHost, fleet: Fleet) -> None:
    await yard.hosts.add("gpu1", ssh_config=str(fleet.ssh_config))
    with host.take_down_sshd():
        seen = await yard.hosts.overview("gpu1")
        assert (seen.reachable, bool(seen.problem), bool(seen.remedy)) == (False, True, True)
        assert (await yard.registry.get_host("gpu1")).unreachable_since is not None
    assert (await yard.hosts.overview("gpu1")).reachable
    known = await yard.registry.get_host("gpu1")
    assert (known.unreachable_since, known.problem) == (None, "")
