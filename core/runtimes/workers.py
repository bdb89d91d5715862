"""A bounded pool for blocking work that never holds up the end of the program.

`ThreadPoolExecutor` joins its threads when the interpreter exits: an engine that hangs would make Ctrl-C wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """Up to `count` daemon threads, started as work comes."""

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._name = name
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free = threading.Semaphore(0)
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have `work` done; after `close` it is cancelled at once."""
        future: Future[T] = Future()
        if self._closed:
            future.cancel()
            return future
        self._waiting.put(lambda: _do(work, future))
        if not self._free.acquire(blocking=False) and len(self._threads) < self._count:
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns; when this is cancelled, work that has begun goes on unheard."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Let the threads end after what has been handed in; waits for none of them."""
        self._closed = True
        for _ in self._threads:
            self._waiting.put(None)

    def _serve(self) -> None:
        while (job := self._waiting.get()) is not None:
            job()
            self._free.release()


def _do(work: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - belongs to whoever waits for the result
        future.set_exception(error)
