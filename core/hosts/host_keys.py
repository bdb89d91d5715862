"""First contact: which keys a host shows, and adding exactly the accepted one to the user's known_hosts."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import HostKeyChanged, HostKeyUnknown, HostUnreachable, NotAllowed
from core.hosts.process import execute
from core.hosts.ssh_config import Resolved, SshTarget, as_url, escape, options, resolve, ssh_env
from core.hosts.ssh_errors import cause_of, explain

_MOST_JUMPS = 16
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


@dataclass(frozen=True, kw_only=True)
class ShownKey:
    """A key as the host showed it: the line for known_hosts, and how people compare it."""

    line: str
    fingerprint: str  # SHA256:…
    kind: str  # ED25519

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.kind})"


async def shown_keys(target: SshTarget) -> list[ShownKey]:
    """The keys that the host shows now, asked with the user's whole configuration, jump hosts included.

    Raises:
        HostUnreachable: it shows none.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        files = [Path(folder) / kind for kind in _KINDS]
        told = await asyncio.gather(*(_ask(target, kind, file) for kind, file in zip(_KINDS, files, strict=True)))
        lines = [line for file in files if file.exists() for line in file.read_text("utf-8").splitlines()]
    keys = [key for line in dict.fromkeys(lines) if (key := parse_line(line))]
    if not keys:
        raise explain(next((text for text in told if text), ""), target)
    return keys


async def _ask(target: SshTarget, kind: str, file: Path) -> str:
    """Let ssh itself write the key to `file`, without logging in; returns what it said."""
    chosen = options(
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={escape(str(file))}",
        "GlobalKnownHostsFile=/dev/null",
        f"HostKeyAlgorithms={kind}",
        "PreferredAuthentications=none",
        "UpdateHostKeys=no",
        "ControlPath=none",
    )
    # The first value of an option holds, so ours stand before those of the configuration.
    argv = ["ssh", *chosen, *target.base()[1:], "-T", "--", target.target, "true"]
    try:
        output = await execute(argv, timeout_s=target.patience_s, env=ssh_env())
    except TimeoutError:
        return f"ssh: {kind}: timed out"
    return output.errors


def parse_line(line: str) -> ShownKey | None:
    """A line of known_hosts as a key; None when it is none."""
    words = line.split()
    if len(words) < 3 or words[0].startswith(("#", "@")):
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")
    kind = words[1].removeprefix("ssh-").split("-")[0].upper()
    return ShownKey(line=line, fingerprint=f"SHA256:{digest}", kind=kind)


async def unknown_key(target: SshTarget, stderr: str) -> HostUnreachable:
    """The error for the first host on the way whose key is not known: with its fingerprints.

    When all are known, the target shows a key of another kind than the known one.
    """
    try:
        met = await _first_unknown(target)
        if met is None:
            return _another_kind(target, stderr)
        error = _first_contact(met, await shown_keys(met))
    except HostUnreachable as problem:
        return problem
    error.cause = cause_of(stderr)
    return error


def _first_contact(met: SshTarget, shown: list[ShownKey]) -> HostKeyUnknown:
    return HostKeyUnknown(
        f"The host key of {met.name} is not known yet.",
        fingerprints=[str(key) for key in shown],
        remedy="Compare a fingerprint with what the host's administrator gives (on the host: "
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then accept it: --accept-host-key FINGERPRINT",
        host=met.name,
    )


async def _first_unknown(target: SshTarget) -> SshTarget | None:
    for met in await way(target):
        if not await _known_keys(await resolve(met)):
            return met
    return None


async def way(target: SshTarget) -> list[SshTarget]:
    """The jump hosts of the user's configuration in the order they are met, then the target itself."""
    names = [] if target.jumps else [name for name in (await resolve(target)).jump.split(",") if name]
    hops = [
        replace(target, name=f"the jump host {name}", target=as_url(name), jumps=tuple(names[:at]))
        for at, name in enumerate(names[:_MOST_JUMPS])
    ]
    return [*(await way(hops[0]) if hops else ()), *hops[1:], target]


def _another_kind(target: SshTarget, stderr: str) -> HostKeyChanged:
    return HostKeyChanged(
        f"{target.name} shows a key of another kind than the known ones: someone may be in between.",
        cause=cause_of(stderr),
        remedy="Ask who runs the host. If its keys were replaced, remove the old ones with ssh-keygen -R "
        "and add the new one.",
    )


async def accept_host_key(target: SshTarget, fingerprint: str) -> ShownKey:
    """Add the key with this fingerprint, which the first unknown host on the way must show now, to known_hosts.

    Raises:
        HostKeyUnknown: the host shows other keys. HostKeyChanged: other keys of it are known already.
        NotAllowed: the configuration names no file for known hosts. HostUnreachable: it shows no key.
    """
    target = await _first_unknown(target) or target
    resolved = await resolve(target)
    if not resolved.known_hosts:
        raise NotAllowed(
            f"The ssh configuration for {target.name} keeps no known hosts.",
            remedy="Set UserKnownHostsFile to a file in ~/.ssh/config.",
        )
    shown = await shown_keys(target)
    key = _chosen(shown, fingerprint)
    if key is None:
        raise HostKeyUnknown(
            f"{target.name} shows no key with the fingerprint {fingerprint}.",
            fingerprints=[str(key) for key in shown],
            remedy="Compare the fingerprints again; when none is right, someone may be in between.",
            host=target.name,
        )
    known = await _known_keys(resolved)
    if known and _key_of(key.line) not in known:
        raise _another_kind(target, "")
    if not known:
        await asyncio.to_thread(_append, Path(resolved.known_hosts[0]), key.line)
    return key


def _chosen(shown: list[ShownKey], fingerprint: str) -> ShownKey | None:
    words = fingerprint.split()
    wanted = words[0] if words else ""
    return next((key for key in shown if wanted and key.fingerprint == wanted.rstrip("=")), None)


async def _known_keys(resolved: Resolved) -> set[str]:
    """All keys that the user's and the system's files have for this host."""
    known: set[str] = set()
    for file in resolved.all_known_hosts:
        found = await execute(["ssh-keygen", "-F", resolved.known_as, "-f", file], timeout_s=10, env=ssh_env())
        known |= {_key_of(line) for line in found.stdout.decode("utf-8", "replace").splitlines()}
    return known - {""}


def _key_of(line: str) -> str:
    words = line.split()
    return words[2] if len(words) > 2 and not words[0].startswith(("#", "@")) else ""


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "r+b", buffering=0)) as known:
        size = known.seek(0, os.SEEK_END)
        known.seek(max(0, size - 1))
        gap = b"" if size == 0 or known.read(1) == b"\n" else b"\n"
        known.write(gap + line.encode("utf-8") + b"\n")
        os.fsync(known.fileno())
