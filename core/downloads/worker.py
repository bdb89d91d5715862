"""The process that does the jobs: one per registry, started by whoever has work, gone when there is none (D6)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.downloads.bandwidth import Bandwidth
from core.downloads.launch import read_settings, the_only_one
from core.downloads.placing import How
from core.downloads.run import DownloadRun
from core.downloads.sources.base import Listing
from core.downloads.tokens import Tokens, channel
from core.downloads.transfer import Cancelled
from core.downloads.values import Limits
from core.errors import ModelyardError, SourceLost
from core.events import EventBus, now
from core.files import installed

if TYPE_CHECKING:
    from core.registry.jobs import Job
    from core.registry.store import Registry
    from core.settings import Settings

_LOOK_S = 0.2  # how soon a pause or a new job is seen
_TELL_S = 0.5  # how often progress is written
_RATE_OVER_S = 5.0
_IDLE_S = 5.0
_RETRIES = 5
_FIRST_RETRY_S, _LONGEST_RETRY_S = 30.0, 600.0


class Worker:
    """Takes jobs by priority, a few at a time, until there is nothing to do."""

    def __init__(self, settings: Settings, registry: Registry, tokens: Tokens) -> None:
        self._settings = settings
        self._registry = registry
        self._tokens = tokens
        self._limits = Limits(connections=settings.download_parts)
        limit = settings.download_bandwidth
        self._bandwidth = Bandwidth(limit) if limit else None
        self._threads = ThreadPoolExecutor(settings.download_jobs, thread_name_prefix="job")
        self._running: dict[str, tuple[DownloadRun, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Until idle."""
        await self._take_back()
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < _IDLE_S:
            if await self._turn():
                idle_since = time.monotonic()
            await asyncio.sleep(_LOOK_S)

    async def _take_back(self) -> None:
        """What a worker that died had under way is queued again."""
        for job in await self._registry.jobs(states=("running", "verifying")):
            await self._registry.edit_job(job.id, {"state": "queued", "lease": None, "rate": 0.0})

    async def _turn(self) -> bool:
        """Heed what is asked for, and start what can be; whether there is anything to do."""
        self._running = {job_id: one for job_id, one in self._running.items() if not one[1].done()}
        waiting = await self._registry.jobs(states=("queued", "running", "paused"), kind="download")
        for job in waiting:
            await self._heed(job)
        ready = [job for job in waiting if self._is_ready(job)]
        for job in ready[: self._settings.download_jobs - len(self._running)]:
            self._start(job)
        return bool(self._running) or any(job.state == "queued" and job.wanted == "run" for job in waiting)

    async def _heed(self, job: Job) -> None:
        under_way = self._running.get(job.id)
        if job.wanted == "run":
            if job.state == "paused":
                await self._registry.edit_job(job.id, {"state": "queued"})
        elif under_way is not None:
            under_way[0].cancel()
        elif job.state in {"queued", "paused"}:
            await self._registry.edit_job(job.id, _ended_as(job.wanted))

    def _is_ready(self, job: Job) -> bool:
        is_due = job.not_before is None or job.not_before <= now()
        return job.state == "queued" and job.wanted == "run" and is_due and job.id not in self._running

    def _start(self, job: Job) -> None:
        listing = Listing.from_dict(job.spec["listing"])
        run = DownloadRun(
            listing,
            Path(job.folder),
            known={file["path"]: file["sha256"] for file in job.files},
            token=self._tokens.of(job.id),
            how=How(job.spec.get("how", "copy")),
            limits=self._limits,
            bandwidth=self._bandwidth,
        )
        self._running[job.id] = (run, asyncio.create_task(self._do(job, listing, run)))

    async def _do(self, job: Job, listing: Listing, run: DownloadRun) -> None:
        began = {"state": "running", "lease": {"pid": os.getpid()}, "attempts": job.attempts + 1, "not_before": None}
        await self._registry.edit_job(job.id, {**began, "started_at": now(), "error": "", "cause": "", "remedy": ""})
        teller = asyncio.create_task(self._tell(job.id, run))
        ended: dict[str, Any]
        try:
            files = await asyncio.get_running_loop().run_in_executor(self._threads, run.run)
            models = self._settings.models_dir
            await asyncio.to_thread(installed.record, models, installed.entry(models, Path(job.folder), listing, files))
            ended = {"state": "done", "finished_at": now(), "result": {"path": job.folder}}
            self._tokens.forget(job.id)
        except Cancelled:
            wanted = (await self._registry.get_job(job.id)).wanted
            ended = _ended_as(wanted if wanted != "run" else "pause")
        except ModelyardError as error:
            ended = _failed(job, error)
        except Exception as error:  # noqa: BLE001 - a job must end, whatever happened; the log has the rest
            sys.stderr.write(f"job {job.id}: {type(error).__name__}\n")
            ended = _failed(job, ModelyardError(f"{job.title} met an error: {type(error).__name__}.", cause=str(error)))
        finally:
            teller.cancel()
        await self._registry.edit_job(job.id, {**_progress(run), "rate": 0.0, "lease": None, **ended})

    async def _tell(self, job_id: str, run: DownloadRun) -> None:
        """Write progress and speed; the files' own lines when there are more of them."""
        history: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        told_files = -1
        while True:
            await asyncio.sleep(_TELL_S)
            history.append((time.monotonic(), run.received))
            while len(history) > 2 and history[-1][0] - history[0][0] > _RATE_OVER_S:
                history.popleft()
            changes = _progress(run) if len(run.finished) != told_files else {"bytes_done": run.bytes_done}
            told_files = len(run.finished)
            await self._registry.edit_job(job_id, {**changes, "rate": _rate(history)})


def _progress(run: DownloadRun) -> dict[str, Any]:
    return {"bytes_done": run.bytes_done, "files": [file.as_dict() for file in run.finished]}


def _rate(history: deque[tuple[float, int]]) -> float:
    (began, before), (ended, after) = history[0], history[-1]
    return (after - before) / (ended - began) if ended > began else 0.0


def _ended_as(wanted: str) -> dict[str, Any]:
    if wanted == "cancel":
        return {"state": "cancelled", "finished_at": now()}
    return {"state": "paused"}


def _failed(job: Job, error: ModelyardError) -> dict[str, Any]:
    """A line that broke is tried again by itself, a little later each time; everything else waits for the user."""
    told = {"error": error.message, "cause": error.cause, "remedy": error.remedy}
    if isinstance(error, SourceLost) and job.attempts < _RETRIES:
        wait_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2**job.attempts)
        return {**told, "state": "queued", "not_before": now() + timedelta(seconds=wait_s)}
    return {**told, "state": "failed", "finished_at": now()}


async def serve(settings: Settings) -> None:
    """Do all there is to do, then end; a job that came while ending is done by whoever looks next."""
    from core.db import Database
    from core.registry.store import Registry

    database = Database(settings.db_path)
    await database.open()
    tokens = Tokens()
    try:
        registry = Registry(database, EventBus(), user_id=settings.user_id)
        async with tokens.taken_at(channel(settings)):
            await Worker(settings, registry, tokens).run()
    finally:
        await database.close()


async def _has_work(settings: Settings) -> bool:
    from core.db import Database
    from core.registry.store import Registry

    database = Database(settings.db_path)
    await database.open()
    try:
        jobs = await Registry(database, EventBus(), user_id=settings.user_id).jobs(states=("queued",), kind="download")
        return any(job.wanted == "run" for job in jobs)
    finally:
        await database.close()


def main() -> None:
    """Read the settings from standard input and work; look once more after letting go of the queue."""
    settings = replace(read_settings(sys.stdin.read()), ephemeral=False)
    while True:
        with the_only_one(settings) as held:
            if not held:
                return
            asyncio.run(serve(settings))
        if not asyncio.run(_has_work(settings)):
            return


if __name__ == "__main__":
    main()
