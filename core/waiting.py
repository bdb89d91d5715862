"""Turns between programs: a lock file that is waited for, never for ever; blocking, called on threads."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ModelyardError

_POLL_S = 0.01


@contextmanager
def locked_file(path: Path, *, what: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of `path` against other programs and threads of ours.

    Raises:
        ModelyardError: another one held it all the time.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ModelyardError(
                    f"Another program has been working on {what} for {timeout_s:.0f} s.",
                    remedy=f"Try again; fuser {path} tells which program it is.",
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
