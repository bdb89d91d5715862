"""A limit on bytes per second that all transfers of a program share."""

from __future__ import annotations

import threading
import time


class Bandwidth:
    """Takers wait their turn; a second without taking gives no more than a second's worth at once."""

    def __init__(self, bytes_per_s: int) -> None:
        self._rate = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def take(self, count: int, stopped: threading.Event) -> None:
        """Wait until `count` bytes may pass, or somebody stops."""
        with self._lock:
            present = time.monotonic()
            starts = max(self._free_at, present - 1.0)
            self._free_at = starts + count / self._rate
            wait_s = self._free_at - present
        if wait_s > 0:
            stopped.wait(wait_s)
