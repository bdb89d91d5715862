"""The network of the test hosts: one bridge in a free 10.x net, one namespace and one cable for each host."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.shell import FleetError, run

NETNS = Path("/run/netns")
BACK_CABLE = "eth1"  # of the bastion
_LOCK = Path("/run/lock/modelyard-fleet.lock")


@contextmanager
def network_lock() -> Iterator[None]:
    """Held while names and nets are chosen, so that sessions started at once don't choose the same."""
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_tag() -> str:
    """Four hexadecimal digits that no network device and no namespace of this machine carries yet."""
    devices = [link["ifname"] for link in json.loads(run("ip", "-json", "link"))]
    spaces = [path.name for path in NETNS.iterdir()] if NETNS.is_dir() else []
    for _ in range(100):
        tag = secrets.token_hex(2)
        if not any(name.startswith(f"my{tag}") for name in [*devices, *spaces]):
            return tag
    raise FleetError("no free name for a network namespace")


def free_nets(count: int) -> list[ipaddress.IPv4Network]:
    """`count` /24 nets below 10.128.0.0/9 that no route of this machine touches."""
    taken = [_network(route["dst"]) for route in json.loads(run("ip", "-json", "route", "show", "table", "all"))]
    used = [net for net in taken if net is not None and net.prefixlen > 0]
    found: list[ipaddress.IPv4Network] = []
    for _ in range(1000):
        net = ipaddress.IPv4Network(f"10.{128 + secrets.randbelow(127)}.{secrets.randbelow(256)}.0/24")
        if not any(net.overlaps(other) for other in [*used, *found]):
            found.append(net)
        if len(found) == count:
            return found
    raise FleetError("no free net below 10.128.0.0/9")


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class Network:
    """One session's bridge in the root namespace, and the net that only its bastion reaches."""

    tag: str
    front: ipaddress.IPv4Network
    back: ipaddress.IPv4Network

    @classmethod
    def make(cls) -> Network:
        """Choose free names and nets and put up the bridge; the caller holds `network_lock`."""
        front, back = free_nets(2)
        network = cls(tag=free_tag(), front=front, back=back)
        run("ip", "link", "add", network.bridge, "type", "bridge")
        run("ip", "address", "add", f"{front[1]}/24", "dev", network.bridge)
        run("ip", "link", "set", network.bridge, "up")
        run("ip", "route", "add", "unreachable", str(back))
        network._allow_forwarding()
        return network

    @property
    def bridge(self) -> str:
        return f"my{self.tag}br"

    def namespace(self, name: str) -> str:
        """The name of the namespace of the host `name`."""
        return f"my{self.tag}-{name}"

    def cable(self, number: int) -> str:
        """The root namespace's end of the cable of host `number`."""
        return f"my{self.tag}v{number}"

    def plug(self, name: str, number: int) -> str:
        """Make the namespace of a host with a cable to the bridge; its address is returned."""
        space, cable, address = self.namespace(name), self.cable(number), str(self.front[10 + number])
        run("ip", "netns", "add", space)
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "link", "set", cable, "master", self.bridge, "up")
        _configure(space, "eth0", address)
        run("ip", "-n", space, "route", "add", "default", "via", str(self.front[1]))
        return address

    def plug_behind(self, name: str, jump: str) -> str:
        """Make the namespace of a host whose only cable goes to the host `jump`; its address is returned."""
        space, jump_space = self.namespace(name), self.namespace(jump)
        run("ip", "netns", "add", space)
        run("ip", "-n", jump_space, "link", "add", BACK_CABLE, "type", "veth", "peer", "name", "eth0", "netns", space)
        _configure(jump_space, BACK_CABLE, str(self.back[1]))
        address = str(self.back[10])
        _configure(space, "eth0", address)
        return address

    def _allow_forwarding(self) -> None:
        """Let hosts talk to each other where a container engine of this machine filters bridged packets."""
        if shutil.which("iptables"):
            run("iptables", "-w", "-I", "FORWARD", *_between(self.bridge), check=False)


def _between(bridge: str) -> tuple[str, ...]:
    return ("-i", bridge, "-o", bridge, "-j", "ACCEPT")


def _configure(space: str, device: str, address: str) -> None:
    run("ip", "-n", space, "address", "add", f"{address}/24", "dev", device)
    run("ip", "-n", space, "link", "set", device, "up")
    run("ip", "-n", space, "link", "set", "lo", "up")


def namespaces(tag: str) -> list[str]:
    """The network namespaces of a session."""
    return [path.name for path in NETNS.glob(f"my{tag}-*")]


def remove_network(tag: str, *, back: str) -> None:
    """Take down the namespaces, cables, bridge and routes of the session `tag`."""
    for space in namespaces(tag):
        run("ip", "netns", "delete", space, check=False)
    for device in [link["ifname"] for link in json.loads(run("ip", "-json", "link"))]:
        if device.startswith(f"my{tag}"):
            run("ip", "link", "delete", device, check=False)
    run("ip", "route", "delete", "unreachable", back, check=False)
    if shutil.which("iptables"):
        run("iptables", "-w", "-D", "FORWARD", *_between(f"my{tag}br"), check=False)
