"""A limit on bytes per second that all downloads and copies of a program share."""

from __future__ import annotations

import threading
import time

_LARGEST = 1 << 20  # bytes


class Bandwidth:
    """Takers wait their turn; a second without taking gives no more than a second's worth at once."""

    def __init__(self, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self.piece = max(1, min(_LARGEST, bytes_per_s // 10))  # bytes: who takes no more at once goes on smoothly
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def take(self, count: int, stopped: threading.Event) -> None:
        """Wait until `count` bytes may pass, or somebody stops."""
        wait_s = self.turn_s(count)
        if wait_s > 0:
            stopped.wait(wait_s)

    def turn_s(self, count: int) -> float:
        """The turn of `count` bytes is taken: seconds until they may pass."""
        with self._lock:
            present = time.monotonic()
            starts = max(self._free_at, present - 1.0)
            self._free_at = starts + count / self.bytes_per_s
            return max(0.0, self._free_at - present)
