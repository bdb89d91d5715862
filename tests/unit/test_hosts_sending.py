"""Files given to a program's standard input within a limit that others share."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import pytest

from core.downloads.bandwidth import Bandwidth
from core.hosts.process import Output
from core.hosts.sending import Part, send

SIZE = 1_500_000


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def part(tmp_path: Path) -> Part:
    path = tmp_path / "from"
    path.write_bytes(os.urandom(SIZE))
    return Part(path=path, offset=0, length=SIZE)


async def given(part: Part, target: Path, pool: ThreadPoolExecutor, pace: Bandwidth | None) -> list[int]:
    """How many bytes were given, each time it was told."""
    told: list[int] = []
    async with aclosing(send(["dd", f"of={target}"], part, pool=pool, pace=pace)) as reports:
        async for report in reports:
            if isinstance(report, Output):
                assert report.code == 0, report.errors
            else:
                told.append(report)
    assert target.read_bytes() == part.path.read_bytes()
    return told


async def test_two_share_a_limit_and_go_on_smoothly(part: Part, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """D6: neither waits for the other's whole file."""
    limit, began = Bandwidth(SIZE), time.monotonic()
    first, second = await asyncio.gather(*(given(part, tmp_path / name, pool, limit) for name in "ab"))
    assert time.monotonic() - began >= 1.9
    assert [len(set(told)) >= 3 for told in (first, second)] == [True, True], (first, second)


@pytest.mark.parametrize("pace", [None, Bandwidth(100 * SIZE)])
async def test_a_limit_that_is_not_met_holds_nothing_up(
    part: Part, tmp_path: Path, pool: ThreadPoolExecutor, pace: Bandwidth | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where the kernel can't move bytes by itself."""
    assert await given(part, tmp_path / "a", pool, pace)
    monkeypatch.delattr(os, "splice")
    assert await given(part, tmp_path / "b", pool, pace)


async def test_another_limit_is_taken_in_the_middle_of_a_file(
    part: Part, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """D6: at the first one it would take ten minutes."""
    limit = Bandwidth(SIZE // 600)
    sending = asyncio.create_task(given(part, tmp_path / "to", pool, limit))
    async with asyncio.timeout(20):
        while not limit._taken:
            await asyncio.sleep(0.01)
        limit.limit_to(10 * SIZE)
        await sending


async def test_a_stop_does_not_wait_for_its_turn(part: Part, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    limit = Bandwidth(10_000)
    limit._turn_of(600_000)  # somebody else's: a minute
    target, began = tmp_path / "to", time.monotonic()
    async with aclosing(send(["dd", f"of={target}"], part, pool=pool, pace=limit)) as reports:
        assert await anext(reports) == 0
    await asyncio.to_thread(pool.shutdown)  # when its thread has ended
    assert time.monotonic() - began < 30
    assert not target.exists() or target.stat().st_size <= limit.piece
