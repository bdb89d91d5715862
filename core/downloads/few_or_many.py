"""Many small pieces of work in threads: as many at once as the line makes them wait, and no more.

Where the line is quick, more threads only take turns at the interpreter, which doubles the processor's time for each.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
_LOOK_EVERY = 2  # pieces of work by one thread: both have to wait, so that a pause of the machine does not count
_WAITS_S = 0.008  # that one piece of work waits: a line, not only another thread or a disk with a cache


class FewOrMany(Generic[T]):
    """`work` for each item in turn, in at most `most` threads of `pool`.

    It begins with one. `spare` is called once, by one of them: when they wait for the line, so that there is time for
    other work, or when nothing is left to take.
    """

    def __init__(
        self, pool: ThreadPoolExecutor, work: Callable[[T], None], *, most: int, spare: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._work = work
        self._most = most
        self._spare: Callable[[], None] | None = spare
        self._todo: deque[T] = deque()
        self._lock = threading.Lock()
        self._running: list[Future[None]] = []

    def begin(self, items: Iterable[T]) -> None:
        """Start on all of them."""
        self._todo.extend(items)
        if self._todo:
            self._add()
        else:
            self._has_time()

    def running(self) -> list[Future[None]]:
        """Those that work now; there may be more the next time."""
        with self._lock:
            return list(self._running)

    def stop(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._spare = None
        self._todo.clear()

    def _add(self) -> None:
        with self._lock:
            if len(self._running) < self._most and self._todo:
                self._running.append(self._pool.submit(self._chain))

    def _has_time(self) -> None:
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare()

    def _chain(self) -> None:
        waits_s: list[float] = []
        while (item := self._next()) is not None:
            began, worked = time.perf_counter(), time.thread_time()
            self._work(item)
            waits_s.append(time.perf_counter() - began - (time.thread_time() - worked))
            if len(waits_s) == _LOOK_EVERY:
                if min(waits_s) > _WAITS_S:
                    self._has_time()
                    self._add()
                waits_s.clear()
        self._has_time()

    def _next(self) -> T | None:
        try:
            return self._todo.popleft()
        except IndexError:
            return None
