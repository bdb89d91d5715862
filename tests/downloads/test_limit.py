"""The limits of downloads by command, while a worker is at it (D6)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.app import Modelyard
from core.registry.jobs import Job
from core.settings import Settings
from tests.cli.program import done, modelyard
from tests.downloads.inline import working
from tests.downloads.server import FileServer, Served

CONTENT = random.Random(6).randbytes(12_000_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as server:
        server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.02)  # three megabytes per second each
        server.files["other.gguf"] = Served(content=CONTENT[::-1], slow_s=0.02)
        yield server


@pytest.fixture
async def yard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Modelyard]:
    """With a worker."""
    async with Modelyard.open(settings) as yard, working(yard, monkeypatch):
        yield yard


async def limited(*words: str) -> dict[str, object]:
    """What another program is told that sets or shows it."""
    told = await asyncio.to_thread(done, "download", "limit", *words, "--json")
    assert isinstance(told.json(), dict)
    return dict(told.json())


async def begun(yard: Modelyard, url: str) -> Job:
    return await yard.downloads.start(await yard.downloads.look(url))


async def until_has(yard: Modelyard, job: Job, count: int, *, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while (await yard.registry.get_job(job.id)).bytes_done < count:
            await asyncio.sleep(0.05)


async def come(yard: Modelyard, *jobs: Job, in_s: float) -> int:
    """Bytes that come meanwhile."""
    before = [(await yard.registry.get_job(job.id)).bytes_done for job in jobs]
    end = time.monotonic() + in_s
    while time.monotonic() < end:
        await asyncio.sleep(0.05)
    after = [(await yard.registry.get_job(job.id)).bytes_done for job in jobs]
    return sum(after) - sum(before)


async def test_a_download_slows_down_and_speeds_up_again(yard: Modelyard, server: FileServer) -> None:
    """D6: two jobs share the limit that is set meanwhile; without it both come to their end, in one attempt."""
    jobs = [await begun(yard, server.url(name)) for name in ("model.gguf", "other.gguf")]
    for job in jobs:
        await until_has(yard, job, 1_000_000)
    assert (await limited("40kB/s"))["bytes_per_s"] == 40_000
    await come(yard, *jobs, in_s=1)  # what was on its way
    assert await come(yard, *jobs, in_s=1.5) < 1_000_000, "nine megabytes without a limit"
    assert (await limited("off"))["bytes_per_s"] is None
    for job in jobs:
        await until_has(yard, job, len(CONTENT))
    async with asyncio.timeout(20):
        while {(await yard.registry.get_job(job.id)).state for job in jobs} != {"done"}:
            await asyncio.sleep(0.05)
    assert [(await yard.registry.get_job(job.id)).attempts for job in jobs] == [1, 1]
    folder = yard.settings.models_dir / "custom"
    assert [(folder / name).read_bytes() for name in ("model.gguf", "other.gguf")] == [CONTENT, CONTENT[::-1]]


async def test_more_jobs_at_once_from_now_on(yard: Modelyard, server: FileServer) -> None:
    """D6: the limit on jobs is heeded by the worker that runs."""
    await limited("200kB/s", "--jobs", "1")
    jobs = [await begun(yard, server.url(name)) for name in ("model.gguf", "other.gguf")]
    await until_has(yard, jobs[0], 1)
    states = [job.state for job in await yard.downloads.all()]
    assert sorted(states) == ["queued", "running"]
    assert (await limited("--jobs", "2", "--parts", "1")) == {
        **{"bytes_per_s": 200_000, "rate": "200 kB/s"},
        **{"jobs": 2, "parts": 1},
    }
    await until_has(yard, jobs[1], 1)


def test_it_is_shown_and_kept(short_folder: Path) -> None:
    """D6: in the user's own file, for every program from now on."""
    shown = done("download", "limit").out
    assert shown == "Bandwidth: no limit; 2 downloads at once, 4 connections per file at most.\n"
    assert "50 MB/s (50,000,000 bytes/s)" in done("download", "limit", "50MB/s").out
    told = done("download", "limit", "--json").json()
    assert told == {"bytes_per_s": 50_000_000, "rate": "50 MB/s", "jobs": 2, "parts": 4}
    config = short_folder / "config" / "modelyard" / "config.toml"
    assert config.read_text() == "download_bandwidth = 50_000_000\n"


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        (("fast",), "no rate", "Write 50MB/s"),
        (("8Mb",), "bits or bytes", "Mbit/s"),
        (("50",), "from 1 kB/s", "its unit"),
        (("off", "--jobs", "0"), "1<=x<=16", ""),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    short_folder: Path, words: tuple[str, ...], said: str, remedy: str
) -> None:
    """D6: with what to write instead."""
    ended = modelyard("download", "limit", *words, "--json")
    error = ended.error()
    assert (ended.code, said in error["message"], remedy in error["remedy"]) == (2, True, True), error
    assert not (short_folder / "config" / "modelyard" / "config.toml").exists()
