"""Small files get their names many at once: one flush of the file system instead of two for each of a thousand."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

from core.downloads.partial import Partial, keep_names

_MOST = 128  # files that wait


class Settling:
    """Files below `folder` that are whole and right, and wait for the disk; threads share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: list[tuple[Partial, Callable[[], None]]] = []

    def add(self, partial: Partial, placed: Callable[[], None]) -> None:
        """`placed` is called when the file has its name for good.

        Raises:
            FileProblem: somebody took the name of this file, or of one that was added before.
        """
        with self._lock:
            self._waiting.append((partial, placed))
            is_enough = len(self._waiting) >= _MOST
        if is_enough:
            self.settle()

    def settle(self) -> None:
        """Give all that wait their names.

        Raises:
            FileProblem: somebody took one of them.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        _flush(self._folder, [partial.path for partial, _ in waiting])
        for partial, _ in waiting:
            partial.place()
        for folder in {partial.target.parent for partial, _ in waiting}:
            keep_names(folder)
        for _, placed in waiting:
            placed()


def _flush(folder: Path, paths: list[Path]) -> None:
    """Bring the files to the disk: with all else that waits there, where the system can do that at once."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    for path in [folder] if syncfs is not None else paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if syncfs is None:
                os.fsync(descriptor)
            elif syncfs(descriptor):
                raise OSError(ctypes.get_errno(), f"{folder} can't be brought to the disk")
        finally:
            os.close(descriptor)
