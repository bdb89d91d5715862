"""Which files a models folder of this machine holds, looked at once for everybody who asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.files.paths import stays_inside


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Bytes of files by their path below the folder, hidden ones left out, and of everything that is there."""

    files: Mapping[str, int]
    total: int


def look(folder: Path, keep: Callable[[str], bool]) -> Tree:
    """The files whose path is to be kept; links to folders are not followed, links are not counted. Blocks.

    Raises:
        OSError: the folder itself can't be read.
    """
    files: dict[str, int] = {}
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
            if shown and size is not None and stays_inside(path) and keep(path):
                files[path] = size
    return Tree(files=files, total=total)


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
