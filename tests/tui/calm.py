"""When the screens have nothing left to do: known from their queues, not guessed from the processor's load.

Textual's pilot sleeps 20 ms several times for each key until the process uses little processor time; that is slow
where nothing happens and too short where other programs hold the processor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from textual.app import App
from textual.pilot import Pilot

_SOON_S = 0.06  # a timer that draws or asks so soon belongs to what was begun
_TURN_S = 0.001
_CALM_TURNS, _MOST_TURNS = 2, 20
_DEADLINE_S = 30.0


@contextmanager
def quick(pilot: Pilot[Any]) -> Iterator[None]:
    """Within it, the pilot waits like this: after each of several keys for what it does, at the end for the drawing."""

    async def between_keys(*_: float) -> None:
        await _quiet(pilot.app, _deadline())

    async def at_the_end(*_: float) -> bool:
        await calm(pilot)
        return True

    with (
        patch("textual.app.wait_for_idle", between_keys),
        patch("textual.pilot.wait_for_idle", at_the_end),
        patch.object(pilot, "_wait_for_screen", at_the_end),
    ):
        yield


async def calm(pilot: Pilot[Any]) -> None:
    """Wait until every widget waits for a message, no timer is about to fire, and what is due is drawn."""
    app, deadline = pilot.app, _deadline()
    turns = 0
    for _ in range(_MOST_TURNS):
        await _quiet(app, deadline)
        if not app.screen_stack or app._exception is not None:
            return
        turns = 0 if _is_due(app) else turns + 1
        if turns > _CALM_TURNS:
            break
        app.screen._on_timer_update()
        await asyncio.sleep(_TURN_S)
    await _quiet(app, deadline)


def _is_due(app: App[Any]) -> bool:
    """Whether a layout or a drawing is still to come, of which no message tells."""
    return bool(app.screen._layout_required or app.screen._dirty_widgets)


def _deadline() -> float:
    return asyncio.get_running_loop().time() + _DEADLINE_S


async def _quiet(app: App[Any], deadline: float) -> None:
    await asyncio.sleep(0)
    while any(map(_works, list(app._registry))) and app._exception is None:
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(_TURN_S)
    await _processed(app)


async def _processed(app: Any) -> None:
    """The application's own messages so far."""
    done, failed = asyncio.Event(), app._exception_event
    if app.call_later(done.set):
        waiting = [asyncio.create_task(event.wait()) for event in (done, failed)]
        await asyncio.wait(waiting, timeout=_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def _works(pump: Any) -> bool:
    task = pump._task
    if task is None or task.done():
        return False
    if not pump._message_queue.empty() or not _waits_for_a_message(task.get_coro()):
        return True
    return bool(pump._timers) and any(map(_fires_soon, list(pump._timers)))


def _fires_soon(timer: Any) -> bool:
    task = timer._task
    running = task is not None and not task.done() and timer._active.is_set()
    return bool(running and timer._repeat is not None and timer._interval <= _SOON_S)


def _waits_for_a_message(coroutine: Any) -> bool:
    while coroutine is not None:
        if getattr(coroutine, "__name__", "") == "_get_message":
            return True
        coroutine = getattr(coroutine, "cr_await", None)
    return False
