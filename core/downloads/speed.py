"""How fast bytes move now, and whether that says anything of the time that is left."""

from __future__ import annotations

from collections import deque

_OVER_S = 5.0
_STEADY_S, _STEADY_SHARE = 3.0, 0.05  # of data; of all the bytes


class Speed:
    """Bytes per second over the last seconds: the wait for the first byte, and for the first after a pause, is none."""

    def __init__(self, present: float, count: int = 0) -> None:
        self._seen: deque[tuple[float, int]] = deque([(present, count)])
        self._begun: tuple[float, int] | None = None  # since when bytes move
        self._last = (present, count)  # when the newest byte moved

    def after(self, present: float, count: int) -> float:
        """The speed at `present` (seconds), when `count` bytes have moved."""
        if count != self._last[1]:
            self._last = (present, count)
        self._seen.append((present, count))
        while len(self._seen) > 2 and present - self._seen[0][0] > _OVER_S:
            self._seen.popleft()
        if self._begun is None and self._moved(self._seen[-2][1]):
            self._begun = self._seen[-2]
            self._seen = deque([self._begun, (present, count)])
        elif not self._moved(self._seen[0][1]):
            self._begun = None
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (end - start)) if end > start else 0.0

    @property
    def still_s(self) -> float:
        """For how long nothing had moved at the last look."""
        return self._seen[-1][0] - self._last[0]

    def is_early(self, total: int | None) -> bool:
        """Whether too little has moved of `total` bytes for a time left: it would be days for a start of seconds."""
        if self._begun is None:
            return True
        (present, count), (since, first) = self._seen[-1], self._begun
        return present - since < _STEADY_S and count - first < (total or 0) * _STEADY_SHARE

    def _moved(self, before: int) -> bool:
        return self._seen[-1][1] > before
