"""Each fault of a test host does what it says, and is undone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fleet import fleet as fleet_module
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.shell import FleetError, attempt, wait_until


def test_a_cut_host_is_silent_and_comes_back(fleet: Fleet, host: FleetHost) -> None:
    with host.cut():
        assert host.ssh("true").returncode == 255
        assert fleet.hosts[1].ssh("true").returncode == 0
        assert host.docker("ps", "-q") == "", "the host itself runs on"
    assert host.ssh("true").returncode == 0


def test_a_killed_engine_refuses_and_comes_back(clean_hosts: Fleet, host: FleetHost, busybox_image: str) -> None:
    name = host.docker("run", "-d", "--restart", "always", busybox_image, "sleep", "1000")
    with host.kill_dockerd():
        assert host.docker_socket.is_socket()
        seen = host.ssh("docker", "ps")
        assert (seen.returncode, "Cannot connect to the Docker daemon" in seen.stderr) == (1, True)
        assert "sleep 1000" in host.exec(["ps", "-eo", "args"]), "containers outlive their engine"
    wait_until(lambda: host.docker("inspect", "-f", "{{.State.Running}}", name) == "true", what="the container is back")


def test_a_reboot_ends_everything_and_keeps_the_disks(clean_hosts: Fleet, host: FleetHost, busybox_image: str) -> None:
    (host.models_folder / "kept").touch()
    host.exec(["touch", "/run/gone"])
    gone = host.docker("run", "-d", busybox_image, "sleep", "1000")
    back = host.docker("run", "-d", "--restart", "always", busybox_image, "sleep", "2000")
    before = {process.pid for process in host.processes()}
    host.reboot()
    assert not before & {process.pid for process in host.processes()}
    assert host.ssh("ls", "/srv/models/kept", "/run/gone").stdout == "/srv/models/kept\n"
    wait_until(lambda: host.docker("inspect", "-f", "{{.State.Running}}", back) == "true", what="the container is back")
    assert host.docker("inspect", "-f", "{{.State.Running}}", gone) == "false"


def test_a_graceful_reboot_stops_containers_first(clean_hosts: Fleet, host: FleetHost, busybox_image: str) -> None:
    script = "trap 'echo stopped; exit 7' TERM; while :; do sleep 0.1; done"
    name = host.docker("run", "-d", busybox_image, "sh", "-c", script)
    wait_until(lambda: "sleep" in host.exec(["ps", "-eo", "args"]), what="the container runs")
    host.reboot(gracefully=True)
    assert host.docker("inspect", "-f", "{{.State.ExitCode}}", name) == "7"
    assert host.docker("logs", name) == "stopped"


def test_a_crashed_host_is_gone_until_repaired(host: FleetHost) -> None:
    with host.crash():
        assert not host.is_up
        assert host.ssh("true").returncode == 255
        with pytest.raises(FleetError, match="is down"):
            host.exec(["true"])
    assert host.ssh("true").returncode == 0


def test_a_full_disk_takes_nothing_more(host: FleetHost) -> None:
    with host.fill_disk(leave=1 << 20):
        full = host.ssh("dd if=/dev/zero of=/srv/models/more bs=1M count=2")
        assert (full.returncode, "No space left on device" in full.stderr) == (1, True)
        assert (host.models_folder / "more").stat().st_size <= 1 << 20
    (host.models_folder / "more").unlink()
    assert shutil.disk_usage(host.models_folder).free > 100 << 20


def test_a_refused_key_is_refused_for_all_users(host: FleetHost) -> None:
    with host.refuse_key():
        for user in ("", "op", "deployer"):
            refused = host.ssh("true", user=user)
            assert (refused.returncode, "Permission denied (publickey)" in refused.stderr) == (255, True)
    assert host.ssh("true").returncode == 0


def test_a_changed_host_key_is_noticed(host: FleetHost) -> None:
    known = host.fingerprint
    with host.change_host_key():
        assert host.fingerprint != known
        seen = host.ssh("true")
        assert (seen.returncode, "REMOTE HOST IDENTIFICATION HAS CHANGED" in seen.stderr) == (255, True)
        assert host.fingerprint in seen.stderr
    assert host.fingerprint == known
    assert host.ssh("true").returncode == 0


def test_an_unknown_host_key_is_not_trusted(fleet: Fleet, host: FleetHost, tmp_path: Path) -> None:
    nobody = fleet.write_ssh_config(tmp_path / "config", known_hosts=tmp_path / "empty")
    seen = attempt(("ssh", "-F", nobody, "-o", "BatchMode=yes", host.name, "true"))
    assert (seen.returncode, "Host key verification failed" in seen.stderr) == (255, True)


def test_a_stopped_sshd_refuses_connections(host: FleetHost) -> None:
    with host.take_down_sshd():
        seen = host.ssh("true")
        assert (seen.returncode, "Connection refused" in seen.stderr) == (255, True)
    assert host.ssh("true").returncode == 0


@pytest.mark.parametrize(("sessions", "ends"), [(True, True), (False, False)])
def test_a_stopped_sshd_takes_its_sessions_along_only_if_told(host: FleetHost, sessions: bool, ends: bool) -> None:
    session = subprocess.Popen(
        ["ssh", "-F", host.ssh_config, host.name, "echo in; cat; echo out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert session.stdout is not None
    assert session.stdout.readline() == "in\n"
    with host.take_down_sshd(sessions=sessions):
        rest, _ = session.communicate("", timeout=20)
    assert (session.returncode == 255, rest == "") == (ends, ends)


def test_the_engines_socket_is_for_its_group(host: FleetHost) -> None:
    denied, allowed = (host.ssh("docker", "version", user=user) for user in ("op", "deployer"))
    assert (denied.returncode, "permission denied" in denied.stderr) == (1, True)
    assert allowed.returncode == 0
    assert host.ssh("id -un; pwd", user="op").stdout.split() == ["op", "/home/op"]


def test_another_port_leads_to_the_same_host(host: FleetHost) -> None:
    assert host.ssh("hostname", user="other-port").stdout == f"{host.name}\n"


def test_the_inner_host_is_reached_only_through_the_bastion(fleet: Fleet) -> None:
    inner = fleet.inner
    direct = inner.ssh("hostname", options=("-o", "ProxyJump=none"))
    assert direct.returncode == 255
    assert inner.ssh("hostname").stdout == "inner\n"
    with fleet.bastion.cut():
        assert inner.ssh("true").returncode == 255
    with inner.cut():
        assert inner.ssh("true").returncode == 255
    assert inner.ssh("docker", "ps", "-q").returncode == 0


def test_what_was_left_broken_is_healed(host: FleetHost) -> None:
    host.cut()
    host.kill_dockerd()
    host.refuse_key()
    host.change_host_key()
    host.fill_disk()
    host.crash()
    host.heal()
    assert host.ssh("docker", "ps", "-q").returncode == 0
    assert shutil.disk_usage(host.models_folder).free > 0


_SESSION = """
from tests.fleet.fleet import Fleet
fleet = Fleet(count=1)
fleet.start()
fleet.hosts[0].docker("ps")
print(fleet.folder, *(process.pid for process in fleet.hosts[0].processes()), flush=True)
input()
"""


def test_a_killed_sessions_hosts_are_removed_by_the_next(fleet: Fleet) -> None:
    command = [sys.executable, "-c", _SESSION]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        folder, *pids = other.stdout.readline().split()
        fleet_module.remove_leftovers()
        assert psutil.pid_exists(int(pids[0])), "a living session is left alone"
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert psutil.pid_exists(int(pids[0])), "hosts outlive a killed session"
    fleet_module.remove_leftovers()
    assert not Path(folder).exists()
    assert [pid for pid in pids if fleet_module.is_running(int(pid))] == []
    tag = Path(folder).name
    for listing in (["ip", "link"], ["ip", "netns"], ["ip", "route"], ["cat", "/proc/mounts"], ["ip", "address"]):
        assert f"my{tag}" not in attempt(listing).stdout
        assert folder not in attempt(listing).stdout
    assert fleet.hosts[0].ssh("true").returncode == 0
