"""Who works on a server now: a program that is alive is not disturbed, one that was killed is cleaned up after."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import psutil


def take(kind: str) -> dict[str, Any]:
    """What to write into `Server.operation` while this process works on it."""
    return {
        "kind": kind,
        "token": secrets.token_hex(8),
        "pid": os.getpid(),
        "since": _start_time(os.getpid()),
        "machine": socket.gethostname(),
    }


def is_alive(operation: Mapping[str, Any] | None) -> bool:
    """Whether the process that took it still runs; a recycled pid has another start time."""
    return bool(operation) and _is_same(operation)


def _is_same(operation: Mapping[str, Any] | None) -> bool:
    assert operation is not None
    if operation.get("machine") != socket.gethostname():
        return False
    return _start_time(int(operation["pid"])) == operation.get("since")


def _start_time(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
