"""From the core to the screens: opens Modelyard, and turns what happens there into one Textual message each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from textual.message import Message

from core.errors import ModelyardError
from core.events import Event, now

if TYPE_CHECKING:
    from textual.app import App

    from core.app import Modelyard
    from core.settings import Settings

Opener = Callable[["Settings"], "AbstractAsyncContextManager[Modelyard]"]
_LONG_QUEUE = 100
_WATCH_AGAIN_S = 10.0


class CoreEvent(Message):
    """Something happened in the core."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class YardOpened(Message):
    """The registry is open: `yard` can be used."""

    def __init__(self, yard: Modelyard) -> None:
        super().__init__()
        self.yard = yard


class YardFailed(Message):
    """The registry could not be opened."""

    def __init__(self, error: ModelyardError) -> None:
        super().__init__()
        self.error = error


class WatchFailed(Message):
    """The hosts could not be followed; it is tried again soon."""

    def __init__(self, error: ModelyardError) -> None:
        super().__init__()
        self.error = error


def open_yard(settings: Settings) -> AbstractAsyncContextManager[Modelyard]:
    """The real core; its heavy parts are imported by `Modelyard.open`, off this thread."""
    from core.app import Modelyard

    return Modelyard.open(settings)


async def live(app: App[None], settings: Settings, opener: Opener) -> None:
    """Open the core, follow it until cancelled, and close it; failures become messages."""
    try:
        async with opener(settings) as yard:
            app.post_message(YardOpened(yard))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_watch(app, yard))
                tasks.create_task(_forward(app, yard))
                tasks.create_task(yard.analytics.watch())
    except ModelyardError as error:
        app.post_message(YardFailed(error))


async def _forward(app: App[None], yard: Modelyard) -> None:
    """Events become messages; while the screens are behind, progress is coalesced in the subscription."""
    async with yard.bus.subscribe() as events:
        async for event in events:
            app.post_message(CoreEvent(event))
            while app.message_queue_size > _LONG_QUEUE:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.02)


async def _watch(app: App[None], yard: Modelyard) -> None:
    started = now()
    while True:
        try:
            await yard.deploys.watch()
        except ModelyardError as error:
            app.post_message(WatchFailed(error))
        pause = _WATCH_AGAIN_S - (now() - started).total_seconds()
        await asyncio.sleep(max(pause, 1.0))
        started = now()
