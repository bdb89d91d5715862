"""What ssh wrote when it failed, translated into what happened, the likely cause and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import HostKeyChanged, HostKeyUnknown, HostSilent, HostUnreachable, LoginRefused
from core.text import clean_line

if TYPE_CHECKING:
    from core.hosts.ssh_config import SshTarget

_NOISE = re.compile(r"^(@+|@ .* @|Warning: Permanently added .*|\*\* .*|debug\d: .*)$")
_BEHIND_JUMP = "UNKNOWN port 65535"


def _key_unknown(message: str, *, cause: str, remedy: str) -> HostUnreachable:
    error = HostKeyUnknown(message, fingerprints=[], remedy=remedy)
    error.cause = cause
    return error


@dataclass(frozen=True)
class _Rule:
    """`pattern` in stderr means `error`; {who}, {name}, {target}, {login} and the pattern's groups may be used."""

    pattern: re.Pattern[str]
    error: Callable[..., HostUnreachable]
    message: str
    remedy: str


def _rule(pattern: str, error: Callable[..., HostUnreachable], message: str, remedy: str) -> _Rule:
    return _Rule(re.compile(pattern, re.MULTILINE), error, message, remedy)


# The order matters: a failed login also says that the connection was closed, and a jump's error comes first.
_RULES = (
    _rule(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed|REVOKED HOST KEY",
        HostKeyChanged,
        "{who} shows another host key than the known one: someone may be in between, or it was reinstalled.",
        "Ask who runs the host. If the new key is right, remove the old one yourself "
        "(ssh-keygen -R with the name in the lines above) and add the host's key again.",
    ),
    _rule(
        r"(?s)Host key verification failed.*UNKNOWN port 65535",
        _key_unknown,
        "The key of a jump host on the way to {name} is not known yet.",
        "Log in to the jump host once by hand, compare its fingerprint and accept it; then try again.",
    ),
    _rule(
        r"No (?P<kind>\S+) host key is known for (?P<host>.+?) and you have requested strict checking",
        _key_unknown,
        "The host key of {name} is not known yet.",
        "Compare the fingerprint with the one that the host's administrator gives, then accept it.",
    ),
    _rule(
        r"Host key verification failed",
        _key_unknown,
        "The host key of {name} could not be checked.",
        "Log in once by hand and look at what ssh says: {login}",
    ),
    _rule(
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions: ignore key",
        LoginRefused,
        "{who} did not accept the login, and ssh ignored a key that others can read.",
        "Make the key private (chmod 600 on the file named above), then try {login}",
    ),
    _rule(
        r"Too many authentication failures",
        LoginRefused,
        "{who} gave up after too many keys were offered.",
        "Name the right key in ~/.ssh/config: IdentityFile and IdentitiesOnly yes.",
    ),
    _rule(
        r"signing failed|agent refused operation",
        LoginRefused,
        "The agent did not sign the login to {name}.",
        "Unlock or touch the key and check with ssh-add -l, then try {login}",
    ),
    _rule(
        r"Permission denied \((?P<methods>[^)]*)\)|Authentication failed|no more authentication methods",
        LoginRefused,
        "{who} answers and does not accept the user or the key.",
        "Try {login} by hand. Put your public key there with ssh-copy-id, or name the user and key in "
        "~/.ssh/config. A key with a passphrase has to be in the agent: ssh-add",
    ),
    _rule(
        r"Could not resolve hostname (?P<host>\S+?):?\s",
        HostSilent,
        "The name of {name} does not resolve: {target}",
        "Check the spelling, your DNS or VPN, and the HostName line in ~/.ssh/config.",
    ),
    _rule(
        r"timed out|Timeout, server .* not responding|Connection to \S+ timed out",
        HostSilent,
        "{who} does not answer.",
        "Is it on, and is the way there (VPN, jump host, firewall) open? Try {login}",
    ),
    _rule(
        r"No route to host|Network is unreachable|Host is down",
        HostSilent,
        "There is no way to {name} in the network.",
        "Check the address, the VPN and the route: ip route get ADDRESS",
    ),
    _rule(
        r"Connection refused",
        HostSilent,
        "{who} is there, and no SSH server answers at that port.",
        "Check the port (Port in ~/.ssh/config) and, on the host, sudo systemctl status ssh",
    ),
    _rule(
        r"Unable to negotiate|no matching (?:host key type|cipher|key exchange method|MAC)",
        HostUnreachable,
        "{name} and this machine's ssh share no method of encryption.",
        "Update the older side, or allow the method for this host alone in ~/.ssh/config.",
    ),
    _rule(
        r"Bad configuration option|bad configuration options|Bad owner or permissions|garbage at end|"
        r"Can't open user config file|keyword .* extra arguments|[Mm]issing argument|unsupported option",
        HostUnreachable,
        "The ssh configuration for {name} can't be used.",
        "Correct the file and line named above; ssh -G shows what holds for a host.",
    ),
    _rule(
        r"Connection closed by|Connection reset by|kex_exchange_identification|banner exchange|Broken pipe",
        HostSilent,
        "{who} closed the connection before the login.",
        "Its SSH server may be overloaded (MaxStartups), block this address (fail2ban), or the port is not SSH's. "
        "Try {login}",
    ),
)


def explain(stderr: str, target: SshTarget) -> HostUnreachable:
    """The error that ssh's own words mean; its real text is the cause."""
    who = f"A jump host on the way to {target.name}" if _BEHIND_JUMP in stderr else target.name
    words = {"who": who, "name": target.name, "target": target.target, "login": target.login}
    for rule in _RULES:
        if rule.pattern.search(stderr):
            return rule.error(rule.message.format(**words), cause=cause_of(stderr), remedy=rule.remedy.format(**words))
    return HostSilent(
        f"The SSH connection to {target.name} failed.",
        cause=cause_of(stderr) or "ssh gave no reason",
        remedy=f"Try it by hand, with the reasons: {target.login.replace('ssh ', 'ssh -v ', 1)}",
    )


def is_unknown_key(stderr: str) -> bool:
    """Whether the key of the host, or of a jump host before it, is not known."""
    return "host key is known for" in stderr


def cause_of(stderr: str, *, longest: int = 400) -> str:
    """What matters of ssh's words, as one harmless line."""
    kept = [clean_line(line).strip() for line in stderr.splitlines()]
    told = [line for line in kept if line and not _NOISE.match(line)]
    if len(told) > 1:  # what the pipe to a jump host says of itself only repeats
        told = [line for line in told if _BEHIND_JUMP not in line] or told
    text = "; ".join(dict.fromkeys(told))
    return text if len(text) <= longest else "… " + text[-longest:]
