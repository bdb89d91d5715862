"""Questions to servers that may never answer: the program ends without waiting for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """What `work` returns, done on a thread of its own; when this is cancelled, it goes on unheard."""
    future: Future[T] = Future()
    threading.Thread(target=_do, args=(work, future), name="source", daemon=True).start()
    return await asyncio.wrap_future(future)


def _do(work: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - belongs to whoever waits for the result
        future.set_exception(error)
