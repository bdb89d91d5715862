"""Whether this machine and this user can have test hosts; run as a program, the Debian packages that are missing.

It runs before anything is installed, so it needs nothing but Python.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

from tests.fleet.shell import attempt

PACKAGES = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "dockerd": "docker.io",
    "docker": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "ss": "iproute2",
    "rsync": "rsync",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "curl": "curl",
    "ps": "procps",
    "busybox": "busybox-static",
}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def absent_tools() -> list[str]:
    """The programs that test hosts need and this machine lacks."""
    return sorted(tool for tool in PACKAGES if shutil.which(tool, path=_PATH) is None)


def packages_of(tools: Iterable[str]) -> list[str]:
    """The Debian packages that hold these programs."""
    return sorted({PACKAGES[tool] for tool in tools})


def missing() -> str:
    """Why there can be no test hosts here; empty when there can be."""
    if sys.platform != "linux":
        return "test hosts need Linux"
    if os.geteuid() != 0:
        return "test hosts need root (network and mount namespaces)"
    if absent := absent_tools():
        return f"test hosts need {', '.join(absent)} (Debian packages: {' '.join(packages_of(absent))})"
    probe = attempt(("unshare", "-m", "-u", "-i", "-n", "-p", "-f", "--mount-proc", "ip", "link", "set", "lo", "up"))
    if probe.returncode != 0:
        return f"test hosts need namespaces, which are not allowed here: {probe.stderr.strip()}"
    return ""


if __name__ == "__main__":
    print(*packages_of(absent_tools()), sep="\n")
