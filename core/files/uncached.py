"""Writing past the page cache: a third of the processor's time, and the cache is left to those who serve models.

Whole blocks go to the disk from memory that begins at a page; where a file system has no such way, there is none.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

BLOCK = 4096  # bytes: a multiple of what disks and file systems ask for
_NO_SUCH_WAY = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}


def buffer(size: int) -> memoryview:
    """Memory that begins at a page; it takes room when it is first written.

    Of large pages where the system has them: the kernel looks every page up when it writes past the cache, and a fifth
    of the time went there.
    """
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


class UncachedFile:
    """A second way to write to a file that is there; `write` takes what can go past the cache. Threads share it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _opened(path)
        self._is_refused = False

    def write(self, piece: memoryview, at: int) -> int:
        """The bytes that were written: 0 if these can't go this way.

        Raises:
            OSError: the disk refuses them.
        """
        whole = len(piece) // BLOCK * BLOCK
        if self._descriptor is None or self._is_refused or at % BLOCK or not whole:
            return 0
        try:
            return os.pwrite(self._descriptor, piece[:whole], at)
        except OSError as error:
            if error.errno not in _NO_SUCH_WAY:
                raise
            self._is_refused = True
            return 0

    def close(self) -> None:
        """The descriptor is gone."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def _opened(path: Path) -> int | None:
    if hasattr(os, "O_DIRECT"):
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC | os.O_NOFOLLOW)
    return None
