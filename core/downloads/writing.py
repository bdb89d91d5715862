"""Pieces on their way to the disk, while their readers fetch the next ones."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.downloads.hashing import Buffers, Hashing
    from core.downloads.parts import Part, Parts
    from core.downloads.sink import Sink


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The first `count` bytes of a buffer, for `at`; they continue their part."""

    part: Part
    at: int
    buffer: memoryview
    count: int
    home: Buffers


class Writing:
    """One thread writes what all readers of a file bring, then it counts as there and goes to the hash."""

    def __init__(self, sink: Sink, parts: Parts, hashing: Hashing) -> None:
        self._sink = sink
        self._parts = parts
        self._hashing = hashing
        self._changed = threading.Condition()
        self._waiting: deque[Piece] = deque()
        self._under_way = 0
        self._ended = False

    def put(self, piece: Piece) -> None:
        """Write it soon."""
        with self._changed:
            if not self._ended:
                self._waiting.append(piece)
                self._under_way += 1
                self._changed.notify_all()
                return
        piece.home.give_back(piece.buffer)

    def drain(self) -> None:
        """Until all that was put is written, or nothing will be any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not self._under_way)

    def end(self) -> None:
        """Nothing more comes; what waits is dropped."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def run(self) -> None:
        """A thread's work.

        Raises:
            DiskFull: there is no room for a piece.
        """
        try:
            while (piece := self._next()) is not None:
                self._write(piece)
        finally:
            self.end()
            for piece in self._waiting:
                piece.home.give_back(piece.buffer)

    def _next(self) -> Piece | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._waiting)
            return None if self._ended else self._waiting.popleft()

    def _write(self, piece: Piece) -> None:
        try:
            self._sink.write(piece.buffer[: piece.count], piece.at)
        except BaseException:
            piece.home.give_back(piece.buffer)
            raise
        self._parts.advance(piece.part, piece.count)
        self._hashing.offer(piece.at, piece.buffer, piece.count, piece.home)
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()
