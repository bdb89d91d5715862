"""The whole worker killed at random moments of a job: the next one goes on, and no file is ever a wrong one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.app import Modelyard
from core.downloads.launch import is_running
from core.downloads.partial import Partial, Span
from core.files import installed
from core.registry.jobs import Job
from core.settings import Settings
from tests.downloads import victim
from tests.downloads.server import FileServer
from tests.downloads.test_faults import ON_THE_WAY, Victims, offered

LARGE = "model.gguf"
BODY = random.Random(21).randbytes(13_000_000)
CONTENTS = {LARGE: BODY, **{f"small/{number}.json": BODY[number : number * 7_000] for number in range(1, 9)}}
SIZE = sum(map(len, CONTENTS.values()))
KILLS, _AT_THE_END = 20, 3
_MOST = 1_500_000  # bytes that come between two kills
_STARTS_S = 0.2  # how long a worker needs to begin, about


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as server:
        yield server


class Workers:
    """The real worker, started by what starts it; it treats a file of this size as it does one of gigabytes."""

    def __init__(self, victims: Victims) -> None:
        self._victims = victims
        self.pids: list[int] = []
        self.is_one_there = False

    def start(self, settings: Settings) -> None:
        """In place of `start_worker`."""
        if not is_running(settings):
            self.pids.append(self._victims.begin_worker(settings))
            self.is_one_there = True

    def kill(self) -> None:
        """The one that is there."""
        if self.is_one_there:
            os.kill(self.pids[-1], signal.SIGKILL)
            self.is_one_there = False
            assert self._victims.ended() == -signal.SIGKILL


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    victims = Victims()
    workers = Workers(victims)
    monkeypatch.setattr("core.downloads.launch.start_worker", workers.start)
    try:
        yield workers
        workers.kill()
    finally:
        victims.close()


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is in a job's folder."""

    folder: Path

    @property
    def large(self) -> Path:
        return self.folder / LARGE

    @property
    def spans(self) -> list[Span]:
        """What need not come again of the large file."""
        note = Partial(self.large).read_note()
        return [(0, len(BODY))] if self.large.exists() else list(note.done) if note else []

    @property
    def bytes(self) -> int:
        """Of all files, what need not come again."""
        small = sum(len(content) for path, content in CONTENTS.items() if path != LARGE and self._came(path))
        return small + sum(end - begin for begin, end in self.spans)

    def _came(self, path: str) -> bool:
        """A small file is whole, with its name or still without."""
        places = (self.folder / path, Partial(self.folder / path).path)
        return any(place.exists() and place.stat().st_size == len(CONTENTS[path]) for place in places)

    def named(self) -> set[str]:
        """The files that have their names, and are right."""
        names = {path for path in CONTENTS if (self.folder / path).exists()}
        for path in names:
            assert (self.folder / path).read_bytes() == CONTENTS[path], path
        return names


class Killer:
    """Starts a job's worker as the program does, and kills it, again and again."""

    def __init__(self, yard: Modelyard, server: FileServer, job: Job, workers: Workers) -> None:
        self._yard = yard
        self._server = server
        self._job_id = job.id
        self._workers = workers
        self.left = Left(folder=Path(job.folder))
        self.again = 0  # bytes that had to come twice

    async def strike(self, moment: Callable[[], bool], *, late_s: float) -> Job:
        """Kill it so long after `moment`; the job as it is then."""
        before, spans, sent, asked = self.left.bytes, self.left.spans, self._server.sent, len(self._server.requests)
        await self._yard.downloads.wake()
        await come(moment)
        await asyncio.sleep(late_s)
        self._workers.kill()
        for start in self._asked(since=asked):
            assert not any(begin <= start < end for begin, end in spans), "asked for what was noted"
        assert self.left.bytes >= before, "a note was lost"
        self.again += self._server.sent - sent - (self.left.bytes - before)
        return await self._yard.registry.get_job(self._job_id)

    def _asked(self, *, since: int) -> list[int]:
        """Where the answers begin that were asked for of the large file."""
        asked = [request for request in self._server.requests[since:] if request.path == f"/{LARGE}"]
        return [int(one.headers.get("Range", "bytes=0-")[6:].partition("-")[0]) for one in asked]


async def come(moment: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not moment():
            await asyncio.sleep(0.01)


def moment(number: int, chance: random.Random, server: FileServer, large: Path) -> tuple[Callable[[], bool], float]:
    """When to kill the next time, and how much later: while it starts, after some bytes, or while it ends."""
    if number % 5 == 4:
        return lambda: True, chance.uniform(0, _STARTS_S)
    if number >= KILLS - _AT_THE_END:
        return large.exists, chance.uniform(0, 2 * _STARTS_S if large.exists() else 0.02)
    until = server.sent + chance.uniform(0, _MOST)
    return lambda: server.sent > until or large.exists(), chance.uniform(0, 0.02)


def told_truly(job: Job, left: Left, pids: Sequence[int], sent: int) -> None:
    """No more than there is, and no failure: nobody but the killer is to blame."""
    named = left.named()
    assert (job.state in {"queued", "running", "done"}, job.wanted, job.error) == (True, "run", "")
    assert job.lease is None if job.state != "running" else job.lease is not None and job.lease["pid"] in pids
    assert job.bytes_done <= min(SIZE, sent)
    assert {file["path"] for file in job.files} <= named
    assert job.state != "done" or named == set(CONTENTS)


async def test_the_worker_is_killed_at_twenty_random_moments(
    server: FileServer, settings: Settings, workers: Workers
) -> None:
    """D6: at each kill, what has a name is right; little is fetched again, and the job is done in the end."""
    chance, listing = random.Random(4), offered(server, CONTENTS, slow_s=0.008)
    async with Modelyard.open(settings) as yard:
        spec = {"listing": listing.as_dict(), "how": "copy", "token": False}
        folder = str(settings.models_dir / listing.folder)
        job = Job(user_id=settings.user_id, title="x", folder=folder, spec=spec, bytes_total=SIZE)
        killer = Killer(yard, server, await yard.registry.add_job(job), workers)
        while job.state != "done" and len(workers.pids) < KILLS:
            when, late_s = moment(len(workers.pids), chance, server, killer.left.large)
            job = await killer.strike(when, late_s=late_s)
            told_truly(job, killer.left, workers.pids, server.sent)
        assert len(workers.pids) > KILLS // 2
        assert killer.again <= len(workers.pids) * (SIZE * 0.01 + victim.PART + ON_THE_WAY)
        await yard.downloads.wake()
        async with aclosing(yard.downloads.follow(job.id)) as changes:
            async for changed in changes:
                job = changed
        told_truly(job, killer.left, workers.pids, server.sent)
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENTS.items()}
    assert (job.state, job.bytes_done) == ("done", SIZE)
    assert {file["path"]: file["sha256"] for file in job.files} == hashes
    assert {path for path in Path(job.folder).rglob("*") if path.is_file()} == {
        killer.left.folder / p for p in CONTENTS
    }
    [entry] = json.loads((settings.models_dir / installed.NAME).read_text())["models"]
    assert {file["path"]: file["sha256"] for file in entry["files"]} == {
        f"{listing.folder}/{path}": sha256 for path, sha256 in hashes.items()
    }
