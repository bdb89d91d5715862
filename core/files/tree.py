"""Which files a models folder of this machine holds, looked at once for everybody who asks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.files.leftovers import HiddenFile, is_hidden_work
from core.files.paths import stays_inside


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Bytes of files by their path below the folder, and of everything that is there.

    Of hidden ones, those of this user that transfers left.
    """

    files: Mapping[str, int]
    total: int
    hidden: Sequence[HiddenFile] = ()


def look(folder: Path, keep: Callable[[str], bool]) -> Tree:
    """The files whose path is to be kept; links to folders are not followed, links are not counted. Blocks.

    Raises:
        OSError: the folder itself can't be read.
    """
    files: dict[str, int] = {}
    hidden: list[HiddenFile] = []
    total, start, left = 0, len(str(folder)) + 1, [(str(folder), True)]
    while left:
        base, is_shown = left.pop()
        for entry in _entries(base, is_top=len(base) < start):
            shown = is_shown and not entry.name.startswith(".")
            if entry.is_dir(follow_symlinks=False):
                left.append((entry.path, shown))
                continue
            size = _size(entry)
            total += 0 if entry.is_symlink() else size or 0
            path = entry.path[start:]
            if not shown:
                if is_hidden_work(path) and (ours := _ours(entry, path)):
                    hidden.append(ours)
            elif size is not None and stays_inside(path) and keep(path):
                files[path] = size
    return Tree(files=files, total=total, hidden=hidden)


def _ours(entry: os.DirEntry[str], path: str) -> HiddenFile | None:
    """A plain file of this user's."""
    with suppress(OSError):
        seen = entry.stat(follow_symlinks=False)
        if entry.is_file(follow_symlinks=False) and seen.st_uid == os.geteuid():
            return HiddenFile(path=path, size=seen.st_size, age_s=time.time() - seen.st_mtime)
    return None


def _entries(base: str, *, is_top: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(base) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError:
        if is_top:
            raise
        return []  # another user's, such as lost+found


def _size(entry: os.DirEntry[str]) -> int | None:
    """Of a file, or what a link leads to; None for anything else, and for what is gone by now."""
    with suppress(OSError):
        return entry.stat().st_size if entry.is_file() else None
    return None
