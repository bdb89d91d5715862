"""Which bytes of a file are there, which are under way and which are still to come; threads share it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from core.downloads.partial import Span


@dataclass(kw_only=True, eq=False)
class Part:
    """Bytes [at, end) are still to come over one connection; `begin` is where it began."""

    begin: int
    at: int
    end: int


class Parts:
    """The spans of a file of `size` bytes; halving a part makes none shorter than `least`, and cuts at an `edge`."""

    def __init__(
        self, size: int, *, done: Iterable[Span] = (), todo: Iterable[Span] = (), least: int = 1, edge: int = 1
    ) -> None:
        self.size = size
        self.received = 0  # bytes that came this time
        self._least = least
        self._edge = edge
        self._moved = threading.Condition()
        self._done = list(done)
        self._todo = list(todo)
        self._under_way: list[Part] = []
        self._have = sum(end - begin for begin, end in self._done)
        self._awaited: list[int] = []
        self._stopped = False

    @property
    def have(self) -> int:
        """Bytes that are there."""
        return self._have

    @property
    def is_whole(self) -> bool:
        return self._have >= self.size

    def take(self, start: int | None = None) -> Part | None:
        """The gap at `start`, else the next gap, else half of the longest part that another one fetches."""
        with self._moved:
            if self._stopped:
                return None
            if self._todo:
                index = next((i for i, gap in enumerate(self._todo) if gap[0] == start), 0)
                begin, end = self._todo.pop(index)
            elif (longest := self._longest()) is not None:
                begin, end = longest.at + (longest.end - longest.at) // 2 // self._edge * self._edge, longest.end
                longest.end = begin
            else:
                return None
            part = Part(begin=begin, at=begin, end=end)
            self._under_way.append(part)
            return part

    @property
    def can_share(self) -> bool:
        """Whether there is anything for one more connection."""
        with self._moved:
            return bool(self._todo) or self._longest() is not None

    def advance(self, part: Part, count: int) -> None:
        """`count` more bytes of a part are there."""
        with self._moved:
            part.at += count
            self._have += count
            self.received += count
            if self.is_whole or self._have >= min(self._awaited, default=self.size):
                self._moved.notify_all()

    def put_back(self, part: Part) -> None:
        """Nobody fetches it any more; what it still lacks is a gap again."""
        with self._moved:
            self._under_way.remove(part)
            if part.begin < part.at:
                self._done = joined([*self._done, (part.begin, part.at)])
            if part.at < part.end:
                self._todo.append((part.at, part.end))

    def spans(self) -> list[Span]:
        """What is there, in order."""
        with self._moved:
            return self._spans()

    def front(self) -> int:
        """Where the beginning that is whole so far ends."""
        spans = self.spans()
        return spans[0][1] if spans and spans[0][0] == 0 else 0

    def begin_again(self) -> None:
        """Nothing is there any more."""
        with self._moved:
            self._have, self._done = 0, []

    def stop(self) -> None:
        """No more parts are given, and nobody is kept waiting."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()

    def wait(self, have: int, *, longest_s: float) -> bool:
        """Until so many bytes are there; whether it is over: stopped, or all is there."""
        with self._moved:
            self._awaited.append(have)
            self._moved.wait_for(lambda: self._stopped or self.is_whole or self._have >= have, longest_s)
            self._awaited.remove(have)
            return self._stopped or self.is_whole

    def _longest(self) -> Part | None:
        longest = max(self._under_way, key=lambda part: part.end - part.at, default=None)
        return longest if longest is not None and longest.end - longest.at >= 2 * self._least else None

    def _spans(self) -> list[Span]:
        return joined([*self._done, *((part.begin, part.at) for part in self._under_way if part.begin < part.at)])


def joined(spans: Iterable[Span]) -> list[Span]:
    """In order, and in one where they touch."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and found[-1][1] >= begin:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
