"""Whether this machine and this user can have test hosts."""

from __future__ import annotations

import os
import shutil
import sys

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


def missing() -> str:
    """Why there can be no test hosts here; empty when there can be."""
    if sys.platform != "linux":
        return "test hosts need Linux"
    if os.geteuid() != 0:
        return "test hosts need root (network and mount namespaces)"
    absent = sorted(tool for tool in PACKAGES if shutil.which(tool, path=_PATH) is None)
    if absent:
        packages = " ".join(sorted({PACKAGES[tool] for tool in absent}))
        return f"test hosts need {', '.join(absent)} (Debian packages: {packages})"
    probe = attempt(("unshare", "-m", "-u", "-i", "-n", "-p", "-f", "--mount-proc", "ip", "link", "set", "lo", "up"))
    if probe.returncode != 0:
        return f"test hosts need namespaces, which are not allowed here: {probe.stderr.strip()}"
    return ""
