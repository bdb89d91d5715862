"""What OpenSSH's own configuration says of a host, and the words with which ssh is started."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from core.errors import HostUnreachable, InvalidInput
from core.hosts.process import execute
from core.hosts.ssh_errors import explain
from core.text import clean_line

_TARGET = re.compile(r"(?:ssh://)?[\w.+][\w.+:%\[\]@/\\-]*")
_FAST_CIPHER = "aes128-gcm@openssh.com"
_SOCKET = re.compile(r"/[\w.+@/-]+", re.ASCII)

# A dead line is noticed after interval x (count + 1) = 15 seconds.
_ALIVE = ("ServerAliveInterval=5", "ServerAliveCountMax=2")
_ALWAYS = (
    "BatchMode=yes",
    "ConnectionAttempts=1",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "VisualHostKey=no",
    "LogLevel=INFO",
)
_MASTER = (
    *_ALIVE,
    "StrictHostKeyChecking=yes",
    "ExitOnForwardFailure=yes",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
    "ControlMaster=yes",
)


@dataclass(frozen=True, kw_only=True)
class SshTarget:
    """How a host is reached: `target` and `config` (ssh -F, may be empty) as the user gave them; seconds.

    `jumps` are hosts on the way besides those of the configuration, as for ssh -J.
    """

    name: str
    target: str
    config: str = ""
    connect_timeout_s: float = 10.0
    jumps: tuple[str, ...] = ()

    @property
    def login(self) -> str:
        """The ssh command that a user would type."""
        return f"ssh -F {self.config} {self.target}" if self.config else f"ssh {self.target}"

    @property
    def patience_s(self) -> float:
        """How long a whole login may take: ssh's own limit covers only the way up to the first answer."""
        return 2 * self.connect_timeout_s

    def base(self) -> list[str]:
        """ssh with the user's configuration and the options that always hold."""
        config = ["-F", self.config] if self.config else []
        timeout = f"ConnectTimeout={max(1, round(self.connect_timeout_s))}"
        jumps = ["-J", ",".join(self.jumps)] if self.jumps else []
        return ["ssh", *config, *options(*_ALWAYS, timeout), *jumps]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The answer of `ssh -G`: the configuration that holds for a target."""

    hostname: str
    port: int
    user: str
    known_hosts: tuple[str, ...]
    all_known_hosts: tuple[str, ...]
    key_alias: str = ""
    jump: str = ""
    proxy_command: str = ""
    ciphers: tuple[str, ...] = ()

    @property
    def known_as(self) -> str:
        """The name under which known_hosts keeps the host."""
        name = self.key_alias or self.hostname
        return name if self.port == 22 or self.key_alias else f"[{name}]:{self.port}"


def options(*pairs: str) -> list[str]:
    """`-o` words."""
    return [word for pair in pairs for word in ("-o", pair)]


def check_target(target: str) -> str:
    """The target, when it can be handed to ssh.

    Raises:
        InvalidInput: it is empty, looks like an option or holds characters no host has.
    """
    if not target:
        raise InvalidInput({"target": "say user@host, or an alias of your ssh configuration"})
    if not _TARGET.fullmatch(target) or "@-" in target or "//-" in target:
        raise InvalidInput({"target": f"{clean_line(target)!r} is not user@host or an ssh alias"})
    return target


def check_socket(path: str) -> str:
    """The path of an engine's socket on a host, fit for a forward.

    Raises:
        InvalidInput: it is not absolute or holds characters that ssh would read as its own.
    """
    if not _SOCKET.fullmatch(path):
        raise InvalidInput({"docker_socket": "an absolute path of letters, digits and . _ + @ - is needed"})
    return path


def ssh_env() -> dict[str, str]:
    """The environment for ssh: messages in English, and no question by way of another program."""
    return {**os.environ, "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}


def master_command(target: SshTarget, resolved: Resolved, control: Path, *, persist_s: int, log: Path) -> list[str]:
    """Start the one connection: it goes into the background after the login, then exits 0 here."""
    where = (f"ControlPath={escape(str(control))}", f"ControlPersist={persist_s}")
    return [
        *target.base(),
        *options(*_MASTER, *where, *_preferred(resolved.ciphers), *_proxy(target, resolved, log)),
        "-E",
        str(log),
        "-fNT",
        "--",
        target.target,
    ]


def session_command(control: Path) -> list[str]:
    """ssh as a client of the running master; it never connects by itself and reads no configuration."""
    return [
        *("ssh", "-F", "/dev/null", "-T"),
        *options("BatchMode=yes", f"ControlPath={escape(str(control))}", "ControlMaster=no", "ProxyCommand=false"),
        *options("LogLevel=ERROR"),
    ]


def escape(path: str) -> str:
    """A path for an option in which ssh expands % words."""
    return path.replace("%", "%%")


def _proxy(target: SshTarget, resolved: Resolved, log: Path) -> list[str]:
    """The way over jump hosts as ssh would make it, but heard: with ControlPersist it drops what a jump host says.

    The jump hosts get the options that ssh does not hand on: no questions, a limit, strict keys, a sign of life.
    """
    heard = f"2>>{shlex.quote(escape(str(log)))}"
    if resolved.proxy_command:
        return [f"ProxyCommand={resolved.proxy_command} {heard}"]
    if not resolved.jump:
        return []
    *before, last = resolved.jump.split(",")
    words = [*target.base(), *options(*_ALIVE, "StrictHostKeyChecking=yes", "ControlPath=none")]
    words += ["-J", ",".join(before)] if before else []
    words += ["-W", "[%h]:%p", "--", as_url(last)]
    return [f"ProxyCommand={shlex.join(escape(word) if word != '[%h]:%p' else word for word in words)} {heard}"]


def as_url(jump: str) -> str:
    """A word of ProxyJump, whose port only a URL can hold."""
    return jump if jump.startswith("ssh://") else f"ssh://{jump}"


def _preferred(ciphers: tuple[str, ...]) -> list[str]:
    """The user's own list, the fastest first; nothing when the user left it out."""
    if _FAST_CIPHER not in ciphers:
        return []
    return ["Ciphers=" + ",".join([_FAST_CIPHER, *(name for name in ciphers if name != _FAST_CIPHER)])]


async def resolve(target: SshTarget) -> Resolved:
    """Ask ssh what its configuration says.

    Raises:
        HostUnreachable: ssh is missing, or the configuration has an error.
    """
    check_target(target.target)
    try:
        output = await execute([*target.base(), "-G", "--", target.target], timeout_s=10, env=ssh_env())
    except FileNotFoundError as error:
        raise HostUnreachable(
            "The ssh program is not installed on this machine.", remedy="sudo apt install openssh-client"
        ) from error
    except TimeoutError as error:
        raise HostUnreachable(
            f"{target.name}: ssh needs more than 10 s to read its configuration.",
            remedy=f"Look at the Match exec lines of your ssh configuration: {target.login} -G",
        ) from error
    if output.code != 0:
        raise explain(output.errors, target)
    return _parse(output.stdout.decode("utf-8", "replace"))


def _parse(text: str) -> Resolved:
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, value)
    users = tuple(_expanded(found.get("userknownhostsfile", "")))
    return Resolved(
        hostname=found.get("hostname", ""),
        port=int(found.get("port", "22")),
        user=found.get("user", ""),
        known_hosts=users,
        all_known_hosts=(*users, *_expanded(found.get("globalknownhostsfile", ""))),
        key_alias=found.get("hostkeyalias", ""),
        jump=_unless_none(found.get("proxyjump", "")),
        proxy_command=_unless_none(found.get("proxycommand", "")),
        ciphers=tuple(found.get("ciphers", "").split(",")),
    )


def _unless_none(value: str) -> str:
    return "" if value == "none" else value


def _expanded(files: str) -> list[str]:
    return [str(Path(name).expanduser()) for name in files.split() if name not in {"none", "/dev/null"}]
