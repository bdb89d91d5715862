"""The hashes of files, in one loop for all who need them: large pieces of one buffer, each shown to who asks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 20  # bytes read at once: it stays in the processor's cache until it is hashed


def sha256(path: Path, *, each: Callable[[memoryview], None] | None = None) -> str:
    """Of a whole file; `each` sees every piece when it is hashed, and may raise to stop. Blocks.

    Raises:
        OSError: it can't be read.
    """
    return _digest(path, hashlib.sha256(), each)


def git_sha1(path: Path) -> str:
    """The hash by which git knows a file's content. Blocks."""
    return _digest(path, git_digest(path.stat().st_size), None)


def git_digest(size: int) -> hashlib._Hash:
    """The beginning of git's hash of a file of `size` bytes."""
    return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)


def git_sha1_of(content: bytes | bytearray) -> str:
    """The same of content that is here."""
    digest = git_digest(len(content))
    digest.update(content)
    return digest.hexdigest()


def _digest(path: Path, digest: hashlib._Hash, each: Callable[[memoryview], None] | None) -> str:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        buffer = memoryview(bytearray(max(1, min(PIECE, size + 1))))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            if each is not None:
                each(buffer[:count])
    return digest.hexdigest()
