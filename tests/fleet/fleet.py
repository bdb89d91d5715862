"""Several test hosts on this machine, made for one session and removed after it, whatever happened to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from tests.fleet import network
from tests.fleet.host import FleetHost
from tests.fleet.machine import OTHER_PORT, Blueprint
from tests.fleet.network import BACK_CABLE, Network, network_lock
from tests.fleet.shell import run, wait_until
from tests.fleet.users import ACCOUNTS

STATE = Path("/var/tmp/modelyard-fleet")


class Fleet:
    """The hosts `gpu1`, `gpu2`, ... and, once asked for, `bastion` and the host `inner` behind it."""

    def __init__(self, *, count: int = 2) -> None:
        remove_leftovers()
        with network_lock():
            self.network = Network.make()
            self.folder = STATE / self.network.tag
            self.folder.mkdir(parents=True)
            _record(self.folder, self.network)
        self.identity = self.folder / "id_ed25519"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "modelyard-tests", "-f", self.identity)
        self.ssh_config = self.folder / "ssh_config"
        self.known_hosts = self.folder / "known_hosts"
        self._count = count
        self._all: dict[str, FleetHost] = {}

    @property
    def hosts(self) -> tuple[FleetHost, ...]:
        """Those on the bridge that have a container engine."""
        return tuple(self._all[name] for name in self._names)

    def start(self) -> None:
        """Make and boot the hosts, side by side."""
        self._boot([self._make(name, number) for number, name in enumerate(self._names)])

    def host(self, name: str) -> FleetHost:
        """One of the hosts by its name."""
        return self._all[name]

    @property
    def bastion(self) -> FleetHost:
        """A host without a container engine that can be reached directly."""
        if "bastion" not in self._all:
            self._boot([self._make("bastion", 90, has_docker=False)])
        return self._all["bastion"]

    @property
    def inner(self) -> FleetHost:
        """A whole host that only the bastion reaches; its alias in `ssh_config` has the ProxyJump."""
        if "inner" not in self._all:
            jump = self.bastion.name
            address = self.network.plug_behind("inner", jump)
            self._boot([self._add("inner", address=address, cable=BACK_CABLE, jump=jump)])
        return self._all["inner"]

    def heal(self) -> None:
        """Undo all faults of all hosts."""
        for host in self._all.values():
            host.heal()

    def remove_containers(self) -> None:
        """Leave no container on any host."""
        for host in self._all.values():
            if host.plan.has_docker and (found := host.docker("ps", "-aq").split()):
                host.docker("rm", "-f", "-v", *found)

    def close(self) -> None:
        """End the hosts and remove everything that was made for them."""
        try:
            for host in self._all.values():
                host.power_off()
        finally:
            remove_session(self.folder)

    def write_ssh_config(self, path: Path, *, known_hosts: Path, extra: Sequence[str] = ()) -> Path:
        """An OpenSSH client configuration with an alias for each host and account, that trusts `known_hosts`.

        Aliases: `gpu1` (root), `gpu1-op`, `gpu1-deployer`, and `gpu1-other-port`.
        """
        lines = [line for host in self._all.values() for line in self._aliases(host)]
        common = (
            "Host *",
            f"  IdentityFile {self.identity}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            "  UpdateHostKeys no",
            *(f"  {line}" for line in extra),
        )
        path.write_text("\n".join([*lines, *common]) + "\n")
        path.chmod(0o600)
        return path

    @property
    def _names(self) -> list[str]:
        return [f"gpu{number + 1}" for number in range(self._count)]

    def _make(self, name: str, number: int, *, has_docker: bool = True) -> FleetHost:
        address = self.network.plug(name, number)
        return self._add(name, address=address, cable=self.network.cable(number), has_docker=has_docker)

    def _add(self, name: str, *, address: str, cable: str, has_docker: bool = True, jump: str = "") -> FleetHost:
        plan = Blueprint(
            name=name,
            address=address,
            netns=self.network.namespace(name),
            cable=cable,
            folder=self.folder / name,
            identity=self.identity,
            ssh_config=self.ssh_config,
            known_hosts=self.known_hosts,
            has_docker=has_docker,
            jump=jump,
            jump_netns=self.network.namespace(jump) if jump else "",
        )
        host = FleetHost(plan=plan)
        host.prepare()
        self._all[name] = host
        return host

    def _boot(self, hosts: Sequence[FleetHost]) -> None:
        self.known_hosts.write_text("".join(_known_hosts(host) for host in self._all.values()))
        self.write_ssh_config(self.ssh_config, known_hosts=self.known_hosts)
        with ThreadPoolExecutor(max_workers=max(len(hosts), 1)) as pool:
            for booting in [pool.submit(host.boot) for host in hosts]:
                booting.result()

    @staticmethod
    def _aliases(host: FleetHost) -> list[str]:
        jump = [f"  ProxyJump {host.plan.jump}"] if host.plan.jump else []
        lines: list[str] = []
        for account in ACCOUNTS:
            alias = host.name if account.uid == 0 else f"{host.name}-{account.name}"
            lines += [f"Host {alias}", f"  HostName {host.address}", f"  User {account.name}", *jump]
        other = [f"Host {host.name}-other-port", f"  HostName {host.address}", f"  Port {OTHER_PORT}", "  User root"]
        return [*lines, *other, *jump]


def _known_hosts(host: FleetHost) -> str:
    key = " ".join(host.host_key.with_suffix(".pub").read_text().split()[:2])
    return f"{host.address},[{host.address}]:{OTHER_PORT} {key}\n"


def _record(folder: Path, made: Network) -> None:
    own = psutil.Process()
    record = {"pid": own.pid, "started": own.create_time(), "tag": made.tag, "back": str(made.back)}
    (folder / "session.json").write_text(json.dumps(record))


def remove_leftovers() -> None:
    """Remove the hosts of sessions whose process is gone."""
    for folder in sorted(STATE.glob("*")):
        with network_lock():
            if folder.is_dir() and not _is_alive(folder):
                remove_session(folder)


def _is_alive(folder: Path) -> bool:
    try:
        record = json.loads((folder / "session.json").read_text())
        return bool(psutil.Process(record["pid"]).create_time() == record["started"])
    except (OSError, ValueError, KeyError, psutil.Error):
        return False


def remove_session(folder: Path) -> None:
    """End what runs on a session's hosts; remove its network, mounts, control groups and files."""
    tag = folder.name
    for space in network.namespaces(tag):
        _end_processes(space)
    back = _recorded_net(folder)
    network.remove_network(tag, back=back)
    for mount in _mounts_below(folder):
        run("umount", "-l", mount, check=False)
    for group in Path("/sys/fs/cgroup").glob(f"**/my{tag}-*"):
        _remove_group(group)
    shutil.rmtree(folder, ignore_errors=True)


def _end_processes(space: str) -> None:
    pids = [int(pid) for pid in run("ip", "netns", "pids", space, check=False).split()]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    wait_until(lambda: not any(is_running(pid) for pid in pids), what=f"the processes in {space} end")


def is_running(pid: int) -> bool:
    """Whether a process is there and not only its exit status, which is taken where it is ours to take."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _recorded_net(folder: Path) -> str:
    try:
        return str(json.loads((folder / "session.json").read_text())["back"])
    except (OSError, ValueError, KeyError):
        return "255.255.255.255/32"


def _mounts_below(folder: Path) -> list[str]:
    found = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((path for path in found if Path(path).is_relative_to(folder)), reverse=True)


def _remove_group(group: Path) -> None:
    for child in sorted(group.rglob("*"), reverse=True):
        if child.is_dir():
            with suppress(OSError):
                child.rmdir()
    with suppress(OSError):
        group.rmdir()
