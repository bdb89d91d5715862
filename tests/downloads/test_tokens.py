"""The private channel to the worker: a token is held until its job is there, or refused, never lost (D11)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from core.app import Modelyard
from core.downloads.tokens import Tokens, channel, hand_over
from core.downloads.worker import Worker
from core.settings import Settings


async def test_a_worker_that_is_ending_takes_no_token_and_another_one_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D11: it would end with the token, and the job would fail for want of it."""
    settings.ensure_folders()
    ending, fresh = Tokens(), Tokens()
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()

        def start_worker(_: Settings) -> None:
            asyncio.run_coroutine_threadsafe(
                stack.enter_async_context(fresh.taken_at(channel(settings))), loop
            ).result()

        monkeypatch.setattr("core.downloads.launch.start_worker", start_worker)
        monkeypatch.setattr("core.downloads.tokens._START_AGAIN_S", 0.0)
        async with ending.taken_at(channel(settings)):
            reader, writer = await asyncio.open_unix_connection(channel(settings))
            await asyncio.sleep(0)
        writer.write(b'{"job": "one", "token": "late"}\n')
        assert await reader.readline() == b""
        await hand_over(settings, "one", "in time")
    assert (ending.of("one"), fresh.of("one")) == ("", "in time")


async def test_an_idle_worker_waits_for_the_job_of_a_token(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """D11: the token comes first; a worker about to end stays as if it had something to do."""
    monkeypatch.setattr("core.downloads.worker._IDLE_S", 0.5)
    monkeypatch.setattr("core.downloads.worker._LOOK_S", 0.01)
    tokens, time = Tokens(), asyncio.get_running_loop().time
    async with Modelyard.open(settings) as yard, tokens.taken_at(channel(settings)):
        worker = asyncio.create_task(Worker(settings, yard.registry, tokens, yard.hosts).run())
        until = time() + 1.5
        while time() < until:
            await hand_over(settings, "one", "some")
            assert not worker.done()
            await asyncio.sleep(0.05)
        await asyncio.wait_for(worker, 10)
