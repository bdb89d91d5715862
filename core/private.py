"""Files and folders that are one user's alone: made so, and refused when others can get at them."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

from core.errors import Refused


def make_folder(folder: Path) -> Path:
    """The folder, mode 0700; those above it that are missing are made as the user's umask says.

    Raises:
        Refused: it is there, and it is no folder, someone else's, or open to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return check_folder(folder)


def check_folder(folder: Path) -> Path:
    """A folder of this user with mode 0700; a missing one passes.

    Raises:
        Refused: with the command that mends it.
    """
    _check(folder, "folder", stat.S_ISDIR, "700")
    return folder


def check_file(path: Path, what: str) -> Path:
    """A regular file of this user that nobody else can read or change; a missing one passes.

    Raises:
        Refused: with the command that mends it.
    """
    _check(path, what, stat.S_ISREG, "600")
    return path


def check_shared_folder(folder: Path) -> Path:
    """A folder that someone else may read but not put files into: a place for a private file.

    Raises:
        Refused: with the command that mends it.
    """
    found = folder.stat()
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise Refused(
            f"Other users may replace files in the folder {folder}.",
            cause=_seen(found),
            remedy=f"chmod go-w {shlex.quote(str(folder))}",
        )
    return folder


def _check(path: Path, what: str, kind: Callable[[int], bool], mode: str) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    shown = shlex.quote(str(path))
    if not kind(found.st_mode):
        raise Refused(f"The {what} {path} is something else.", cause=_seen(found), remedy=f"ls -ld {shown}")
    if found.st_uid != os.geteuid():
        raise Refused(
            f"The {what} {path} belongs to another user.",
            cause=f"{_seen(found)}; this program runs as user {os.geteuid()}",
            remedy=f"sudo chown {os.geteuid()} {shown}, or run Modelyard as its owner.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(
            f"The {what} {path} can be read or changed by other users of this machine.",
            cause=_seen(found),
            remedy=f"chmod {mode} {shown}",
        )


def _seen(found: os.stat_result) -> str:
    return f"owner {found.st_uid}, mode {stat.filemode(found.st_mode)}"
