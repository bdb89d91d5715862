"""A limit on bytes per second that all downloads and copies of a program share, and that may change meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time

_LARGEST = 1 << 20  # bytes
_LOOK_S = 0.2  # how soon those who wait see another limit


class Bandwidth:
    """Takers wait their turn; a second without taking gives no more than a second's worth at once.

    With a limit of 0 nobody waits. Who waits when the limit changes goes on at the new one.
    """

    def __init__(self, bytes_per_s: int = 0) -> None:
        self._lock = threading.Lock()
        self._bytes_per_s = max(0, bytes_per_s)
        self._taken = 0  # bytes that were asked for
        self._passed = 0.0  # bytes of them that might pass by now; more after a rest
        self._at = time.monotonic()

    @property
    def bytes_per_s(self) -> int:
        """The limit; 0 is none."""
        return self._bytes_per_s

    @property
    def piece(self) -> int:
        """Bytes: who takes no more at once goes on smoothly."""
        limit = self._bytes_per_s
        return max(1, min(_LARGEST, limit // 10)) if limit else _LARGEST

    def limit_to(self, bytes_per_s: int) -> None:
        """Another limit, from now on."""
        with self._lock:
            self._advance()
            self._bytes_per_s = max(0, bytes_per_s)

    def take(self, count: int, stopped: threading.Event) -> None:
        """Wait until `count` bytes may pass, or somebody stops."""
        if not self._bytes_per_s:
            return
        turn = self._turn_of(count)
        while (wait_s := self._wait_s(turn)) > 0:
            if stopped.wait(min(wait_s, _LOOK_S)):
                self._give_back(count)
                return

    async def turn(self, count: int) -> None:
        """The same without a thread; who is cancelled has taken nothing."""
        turn = self._turn_of(count)
        try:
            wait_s = self._wait_s(turn)
            while wait_s > 0:
                await asyncio.sleep(min(wait_s, _LOOK_S))
                wait_s = self._wait_s(turn)
        except asyncio.CancelledError:
            self._give_back(count)
            raise

    def _turn_of(self, count: int) -> int:
        with self._lock:
            self._advance()
            self._taken += count
            return self._taken

    def _wait_s(self, turn: int) -> float:
        with self._lock:
            self._advance()
            return (turn - self._passed) / self._bytes_per_s if turn > self._passed else 0.0

    def _give_back(self, count: int) -> None:
        """Others need not wait for what does not come."""
        with self._lock:
            self._passed += count

    def _advance(self) -> None:
        present = time.monotonic()
        limit = self._bytes_per_s
        passed = self._passed + (present - self._at) * limit
        self._passed = min(passed, self._taken + limit) if limit else self._taken
        self._at = present
