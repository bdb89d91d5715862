"""The SHA-256 of a file while it comes: pieces whose turn it is from memory, the others later from the page cache."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from core.files import uncached

_BUFFERS = 4  # one is filled, one is written, and the others wait for the hash
_CACHED = 1 << 20  # bytes read from the page cache at once


class Buffers:
    """Those of one reader; a reader that is faster than the hash waits here."""

    def __init__(self, size: int) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(uncached.buffer(size))

    @property
    def are_out(self) -> bool:
        """Whether the next one has to be waited for: disk or hash are slower than the line."""
        return self._free.empty()

    def get(self) -> memoryview:
        """A free one, sooner or later."""
        return self._free.get()

    def give_back(self, buffer: memoryview) -> None:
        """It may be filled again."""
        self._free.put(buffer)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """The first `count` bytes of a buffer that goes back when they are hashed."""

    buffer: memoryview
    count: int
    home: Buffers


class Hashing:
    """Follows the beginning of the file that is whole; `front` tells where that ends."""

    def __init__(self, descriptor: int, *, front: Callable[[], int]) -> None:
        self._descriptor = descriptor
        self._front = front
        self._digest = hashlib.sha256()
        self._more = threading.Condition()
        self._pieces: list[_Piece] = []
        self._next = 0  # all before is hashed, or is taken for it
        self._ended = self._dropped = False

    def offer(self, at: int, buffer: memoryview, count: int, home: Buffers) -> None:
        """`count` bytes that were written at `at`."""
        with self._more:
            if at == self._next and not self._ended:
                self._next += count
                self._pieces.append(_Piece(buffer=buffer, count=count, home=home))
                self._more.notify()
                return
        home.give_back(buffer)

    def look(self) -> None:
        """The front may have moved without a piece: a part is complete."""
        with self._more:
            self._more.notify()

    def end(self, *, drop: bool = False) -> None:
        """Nothing more will come; `run` returns when what is there is hashed, with `drop` at once."""
        with self._more:
            self._ended = True
            self._dropped = self._dropped or drop
            self._more.notify()

    def run(self) -> None:
        """A thread's work."""
        buffer = memoryview(bytearray(_CACHED))
        try:
            while (found := self._wait()) is not None:
                pieces, begin, end = found
                for piece in pieces:
                    self._digest.update(piece.buffer[: piece.count])
                    piece.home.give_back(piece.buffer)
                self._read(buffer, begin, end)
        finally:
            self._give_all_back()

    def hexdigest(self) -> str:
        """Of all that was there when it ended."""
        return self._digest.hexdigest()

    def _wait(self) -> tuple[list[_Piece], int, int] | None:
        """Pieces, and the span to read from the page cache after them; None at the end."""
        with self._more:
            while not self._dropped:
                begin, front = self._next, self._front()
                pieces, self._pieces = self._pieces, []
                self._next = max(begin, front)
                if pieces or front > begin:
                    return pieces, begin, self._next
                if self._ended:
                    break
                self._more.wait()
            return None

    def _read(self, buffer: memoryview, begin: int, end: int) -> None:
        while begin < end and not self._dropped:
            got = os.preadv(self._descriptor, [buffer[: min(_CACHED, end - begin)]], begin)
            if not got:
                raise OSError(errno.EIO, "somebody made the part shorter")
            self._digest.update(buffer[:got])
            begin += got

    def _give_all_back(self) -> None:
        """No reader is kept waiting by a hash that nobody counts."""
        with self._more:
            self._ended = True
            for piece in self._pieces:
                piece.home.give_back(piece.buffer)
            self._pieces = []
