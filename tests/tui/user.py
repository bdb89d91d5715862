"""Driving the screens as a person does: press, wait until the program is idle, look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from tests.tui.calm import calm, quick
from tests.tui.fake import Yard
from tui.app import ModelyardApp

_LONG = {"core", "logs", "deploy", "answer", "copy", "there"}  # workers that end when the test lets them
_DEADLINE_S = 30.0
_MOMENT_S = 0.5
_TURN_S = 0.005


async def until(pilot: Pilot[None], true: Callable[[], bool], what: str = "", *, within_s: float = _DEADLINE_S) -> None:
    """Wait until it is true; fail at the deadline with what is on the screen.

    What comes with it comes a moment later: a title tells the new order before the rows have it. Work that a test
    holds is not waited for.
    """
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what or true}\n{screen_text(pilot)}")
        await pilot.pause(0.02)
    await settle(pilot, within_s=_MOMENT_S)


async def settle(pilot: Pilot[None], *, within_s: float = _DEADLINE_S) -> None:
    """Wait until no short work and no drawing is pending, or the time is over."""
    turns, end = 0, time.monotonic() + within_s
    while turns < 2 and time.monotonic() < end:
        await calm(pilot)
        turns = 0 if _busy(pilot) else turns + 1
        await asyncio.sleep(0 if turns else _TURN_S)


def _busy(pilot: Pilot[None]) -> bool:
    return any(worker.group not in _LONG and worker.is_running and _is_short(worker) for worker in pilot.app.workers)


def _is_short(worker: Any) -> bool:
    """A worker that waits for an answer in a dialog is not work."""
    return not any("push_screen_wait" in str(frame) for frame in _stack(worker))


def _stack(worker: Any) -> list[Any]:
    task: asyncio.Task[Any] | None = worker._task
    if task is None:
        return []
    names: list[Any] = []
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        names.append(getattr(coroutine, "__qualname__", repr(coroutine)))
        coroutine = getattr(coroutine, "cr_await", None)
    return names


async def start(pilot: Pilot[None]) -> None:
    """Wait until the core is open and the first list is there."""
    app = pilot.app
    assert isinstance(app, ModelyardApp)
    await until(pilot, lambda: app.yard is not None, "the core is open")
    await settle(pilot)


def screen_text(pilot: Pilot[None]) -> str:
    """What is on the screen now, as lines of plain text."""
    from textual.strip import Strip

    strips: list[Strip] = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


@asynccontextmanager
async def session(yard: Yard, *, size: tuple[int, int] = (120, 36), **more: Any) -> AsyncIterator[Pilot[None]]:
    """The program running over this core, its first list shown."""
    app = ModelyardApp(yard.settings, opener=yard.opener, **more)
    async with app.run_test(size=size, notifications=True) as pilot:
        with quick(pilot):
            await start(pilot)
            yield pilot


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, waiting for the program after each."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Type."""
    await pilot.press(*("space" if char == " " else char for char in text))
    await settle(pilot)


def rows(pilot: Pilot[None]) -> list[str]:
    """The first column of the list in view."""
    listing: Any = pilot.app.screen_stack[0].query_one("#list")
    found = (listing.row_at(index) for index in range(listing.count))
    return [listing.cells(row)[0].text for row in found if row is not None]


def selected(pilot: Pilot[None]) -> str:
    """The first column of the selected line."""
    listing: Any = pilot.app.screen.query_one("#list")
    return str(listing.cells(listing.selected)[0].text)


async def select(pilot: Pilot[None], name: str) -> None:
    """Go to the line of this name, by keys."""
    await press(pilot, "home")
    for _ in range(len(rows(pilot))):
        if any(cell.text == name for cell in _cells(pilot)):
            return
        await press(pilot, "down")
    raise AssertionError(f"no line {name}\n{screen_text(pilot)}")


def _cells(pilot: Pilot[None]) -> Any:
    listing: Any = pilot.app.screen.query_one("#list")
    return listing.cells(listing.selected)


def toasts(pilot: Pilot[None]) -> list[str]:
    """The texts of the toasts there are."""
    return [note.message for note in pilot.app._notifications]
