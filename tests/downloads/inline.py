"""The worker in the test's own process: as quick as the test looks, and gone with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.app import Modelyard
from core.downloads.launch import the_only_one
from core.downloads.tokens import Tokens, channel
from core.downloads.worker import Worker


@asynccontextmanager
async def working(yard: Modelyard, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Jobs are done while the context lasts; then what is under way is let go as if the worker was killed."""
    monkeypatch.setattr("core.downloads.worker._IDLE_S", float("inf"))
    for name, seconds in (("worker._LOOK_S", 0.05), ("worker._TELL_S", 0.1), ("service._LOOK_S", 0.05)):
        monkeypatch.setattr(f"core.downloads.{name}", seconds)
    tokens = Tokens()
    with the_only_one(yard.settings) as held:  # so that programs that the test runs start none
        assert held
        async with tokens.taken_at(channel(yard.settings)):
            task = asyncio.create_task(Worker(yard.settings, yard.registry, tokens, yard.hosts).run())
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
