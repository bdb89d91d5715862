"""The accounts of a test host: root, one who may use the container engine and one who may not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKER_GID = 4100


@dataclass(frozen=True, kw_only=True)
class Account:
    """Someone who may log in by key."""

    name: str
    uid: int
    home: str
    in_docker_group: bool


ACCOUNTS = (
    Account(name="root", uid=0, home="/root", in_docker_group=False),
    Account(name="op", uid=4001, home="/home/op", in_docker_group=False),
    Account(name="deployer", uid=4002, home="/home/deployer", in_docker_group=True),
)


def write_users(folder: Path, *, hostname: str) -> None:
    """Write the host's own passwd, group, shadow, hosts and hostname, and make the homes."""
    extra = [account for account in ACCOUNTS if account.uid]
    passwd = _without(Path("/etc/passwd"), extra)
    passwd += [f"{one.name}:x:{one.uid}:{one.uid}::{one.home}:/bin/bash" for one in extra]
    _write(folder, "passwd", passwd)
    _write(folder, "group", [*_groups(extra), *(f"{one.name}:x:{one.uid}:" for one in extra)])
    _write(folder, "shadow", ["root:*:19000:0:99999:7:::", *(f"{one.name}:*:19000:0:99999:7:::" for one in extra)])
    _write(folder, "hosts", ["127.0.0.1 localhost", f"127.0.1.1 {hostname}"])
    (folder / "etc" / "shadow").chmod(0o640)
    if Path("/etc/hostname").exists():
        _write(folder, "hostname", [hostname])
    for account in ACCOUNTS:
        _make_home(folder, account)


def write_authorized_keys(folder: Path, account: Account, text: str) -> None:
    """Who may log in as `account`."""
    path = _home(folder, account) / ".ssh" / "authorized_keys"
    path.write_text(text)
    path.chmod(0o600)
    os.chown(path, account.uid, account.uid)


def _groups(extra: list[Account]) -> list[str]:
    known = [line for line in _without(Path("/etc/group"), extra) if not line.startswith("docker:")]
    members = ",".join(account.name for account in extra if account.in_docker_group)
    return [*known, f"docker:x:{_DOCKER_GID}:{members}"]


def _without(path: Path, accounts: list[Account]) -> list[str]:
    names = {account.name for account in accounts}
    return [line for line in path.read_text().splitlines() if line.split(":")[0] not in names]


def _write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / "etc" / name).write_text("\n".join(lines) + "\n")


def _home(folder: Path, account: Account) -> Path:
    return folder / account.home.lstrip("/")


def _make_home(folder: Path, account: Account) -> None:
    home = _home(folder, account)
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    (home / ".bashrc").touch()
    for path in (home, home / ".ssh", home / ".bashrc"):
        os.chown(path, account.uid, account.uid)
    home.chmod(0o700)
