"""Whether a folder of this machine can take a download, told before the first byte (D12)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core import text
from core.downloads.partial import part_of
from core.errors import DiskFull, FileProblem

if TYPE_CHECKING:
    from core.downloads.sources.base import SourceFile

SPARE = 64 << 20  # bytes that stay free on the disk


def to_come(place: Path, files: Iterable[SourceFile]) -> int:
    """Bytes that files below `place` still want: those that are there, or begun, have taken their room already."""
    names_in = cache(_names_in)
    missing = 0
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if not {name, part_of(name)} & names_in(place / folder):
            missing += file.size or 0
    return missing


def _names_in(folder: Path) -> set[str]:
    """All at once: a repository may have thousands of files, and most folders are not there yet."""
    try:
        return {one.name for one in folder.iterdir()}
    except OSError:
        return set()


def check_room(place: Path, title: str, size: int) -> None:
    """See that files can be written to `place` and that `size` bytes fit, with some to spare; nothing is made.

    Raises:
        FileProblem: nothing can be written there. DiskFull.
    """
    try:
        there = next(one for one in (place, *place.parents) if os.path.lexists(one))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise not_writable(place, f"{there} is {'read-only' if there.is_dir() else 'no folder'}.")
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise not_writable(place, str(error)) from error
    if size and free < size + SPARE:
        raise DiskFull(
            f"{title} needs {text.size(size)} and {text.size(free)} are free in {there}, "
            f"of which {text.size(SPARE)} are left free.",
            remedy="Free some room, or choose another models folder; what has come is kept.",
        )


def no_room_there(host: str, folder: str, needed: int, free: int) -> DiskFull:
    """The error for a host's disk: told before the first byte."""
    command = f"modelyard files base-dir FOLDER --host {host}"
    return DiskFull(
        f"{host}: {text.size(needed)} are needed and {text.size(free)} are free in {text.clean_line(folder)}.",
        remedy=f"Free some room there, or give the host another models folder ({command}).",
    )


def make_folder(place: Path) -> None:
    """The folder, with those above it.

    Raises:
        FileProblem: it can't be made.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(place, str(error)) from error


def not_writable(place: Path, cause: str) -> FileProblem:
    """The error for a folder that takes no files."""
    return FileProblem(
        f"Nothing can be written to {place}.",
        cause=cause,
        remedy="Look at its rights and its disk, or choose another models folder: modelyard files base-dir FOLDER",
    )
