"""The private folder of sockets: ours, mode 0700, short enough for Unix socket paths."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from core.errors import NotAllowed

# sun_path holds 107 bytes, and ssh makes its control socket under a name 17 bytes longer first.
_LONGEST_FOLDER = 107 - 17 - len("/0123456789.ctl")
_POLL_S = 0.05


def ensure_private(folder: Path) -> Path:
    """The folder, made when missing.

    Raises:
        NotAllowed: it is a link, someone else's, open to others, or its path is too long for sockets.
    """
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise NotAllowed(
            f"The path of the folder for sockets is too long: {folder}",
            cause=f"it may have {_LONGEST_FOLDER} bytes at most",
            remedy="Set XDG_RUNTIME_DIR to a short path, such as /run/user/$(id -u).",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NotAllowed(
            f"{folder} is not a folder of yours: someone else may read what goes through it.",
            cause=f"owner {found.st_uid}, mode {stat.filemode(found.st_mode)}",
            remedy=f"Remove it, or set XDG_RUNTIME_DIR to a folder of your own: ls -ld {folder}",
        )
    if found.st_mode & 0o077:
        raise NotAllowed(
            f"{folder} is open to other users.",
            cause=f"mode {stat.filemode(found.st_mode)}",
            remedy=f"chmod 700 {folder}",
        )
    return folder


@asynccontextmanager
async def locked(path: Path, *, timeout_s: float) -> AsyncIterator[None]:
    """Hold the lock file against other programs of ours.

    Raises:
        TimeoutError: another one held it all the time.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(timeout_s):
            while not _try_lock(descriptor):  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
