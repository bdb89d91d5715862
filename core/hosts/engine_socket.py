"""The socket of a host's container engine: where it is, whether this user may use it, why it does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import EngineMissing, EngineUnavailable, SocketDenied
from core.hosts.process import Output
from core.hosts.remote import script
from core.hosts.unix_http import NoAnswer, get
from core.text import clean_line

Run = Callable[[Sequence[str]], Awaitable[Output]]
DEFAULT_SOCKET = "/var/run/docker.sock"

_LOOK = """
export LC_ALL=C
if [ -S "$1" ]; then
  echo kind socket
  [ -w "$1" ] && echo allowed yes
  echo group "$(stat -L -c %G -- "$1" 2>/dev/null)"
elif [ -e "$1" ]; then echo kind other
fi
user=$(id -un); echo user "$user"
echo now "$(id -Gn)"
echo later "$(id -Gn "$user" 2>/dev/null)"
for p in dockerd podman docker; do command -v $p >/dev/null 2>&1 && { echo program $p; break; }; done
if command -v curl >/dev/null 2>&1; then
  echo there "$(curl -s -m 4 --unix-socket "$1" http://modelyard/_ping 2>/dev/null | head -c 20)"
fi
exit 0
"""

_DISCOVER = """
run=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
case $DOCKER_HOST in unix://*) set -- "${DOCKER_HOST#unix://}";; esac
for p in "$@" /var/run/docker.sock "$run/docker.sock" "$run/podman/podman.sock" /run/podman/podman.sock; do
  [ -S "$p" ] && [ -w "$p" ] && { printf '%s' "$p"; exit 0; }
done
for p in "$@" /var/run/docker.sock /run/podman/podman.sock; do
  [ -S "$p" ] && { printf '%s' "$p"; exit 0; }
done
exit 0
"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What stands at the socket's path, seen from the host."""

    kind: str = ""  # "socket", "other" or "" for nothing
    allowed: bool = False
    group: str = ""
    user: str = ""
    groups_now: frozenset[str] = frozenset()
    groups_at_next_login: frozenset[str] = frozenset()
    program: str = ""
    answers_there: bool = False

    @property
    def stale_login(self) -> bool:
        """The user has got the socket's group since this connection was made."""
        return not self.allowed and self.group in self.groups_at_next_login - self.groups_now


async def answers(socket: Path, *, timeout_s: float = 5.0) -> str:
    """Empty when a container engine answers; else how it failed."""
    try:
        status, _ = await get(socket, "/_ping", timeout_s=timeout_s)
    except NoAnswer as problem:
        return str(problem)
    return "" if status == 200 else f"status {status}"


async def look(run: Run, path: str) -> Look:
    """Ask the host about the socket at `path`."""
    output = await run(script(_LOOK, path))
    facts: dict[str, str] = {}
    for line in output.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        facts[key] = value.strip()
    return Look(
        kind=facts.get("kind", ""),
        allowed="allowed" in facts,
        group=facts.get("group", ""),
        user=facts.get("user", ""),
        groups_now=frozenset(facts.get("now", "").split()),
        groups_at_next_login=frozenset(facts.get("later", "").split()),
        program=facts.get("program", ""),
        answers_there=facts.get("there", "") == "OK",
    )


async def discover(run: Run) -> str:
    """The path of the engine's socket: one that this user may use is preferred, rootless ones included."""
    output = await run(script(_DISCOVER))
    return output.stdout.decode("utf-8", "replace") or DEFAULT_SOCKET


def explain(seen: Look, *, host: str, path: str, problem: str) -> EngineUnavailable:
    """Why the engine can't be used, from what was seen on the host and how the socket failed here."""
    if seen.kind != "socket":
        return _missing(seen, host, path)
    if not seen.allowed:
        return _denied(seen, host, path)
    if seen.answers_there:
        return EngineUnavailable(
            f"{host}: the container engine answers there, but not through the SSH connection.",
            cause=problem,
            remedy="sshd on the host needs AllowStreamLocalForwarding yes (and no restrict on your key).",
        )
    return EngineMissing(
        f"{host}: {path} is there, and no container engine answers at it.",
        cause=problem,
        remedy="On the host: sudo systemctl restart docker, then sudo journalctl -u docker -n 50",
    )


def _missing(seen: Look, host: str, path: str) -> EngineMissing:
    if seen.kind == "other":
        return EngineMissing(
            f"{host}: {path} is not a socket.", remedy=f"Set the right socket with: modelyard hosts edit {host}"
        )
    if seen.program in {"dockerd", "podman"}:
        start = "docker" if seen.program == "dockerd" else "podman.socket"
        return EngineMissing(
            f"{host}: the container engine does not run; there is no {path}.",
            cause=f"{seen.program} is installed",
            remedy=f"On the host: sudo systemctl enable --now {start}",
        )
    return EngineMissing(
        f"{host}: no container engine is installed; there is no {path}.",
        remedy="On the host: sudo apt install docker.io",
    )


def _denied(seen: Look, host: str, path: str) -> SocketDenied:
    user, group = clean_line(seen.user), clean_line(seen.group)
    command = "sudo usermod -aG docker" if group in {"", "root"} else f"sudo usermod -aG {group}"
    return SocketDenied(
        f"{host}: the user {user} has no rights on the container engine's socket {path}.",
        cause=f"the socket belongs to the group {group}, and {user} is not in it",
        remedy=f"On the host: {command} {user} (this user can then act as root there)",
    )
