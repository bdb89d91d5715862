"""The process that does the jobs: one per registry, started by whoever has work, gone when there is none (D6)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.downloads.launch import read_settings, the_only_one
from core.downloads.limits import LimitsFile, without_choices
from core.downloads.speed import Speed
from core.downloads.tokens import Tokens, channel
from core.downloads.values import Cancelled
from core.downloads.workshop import Workshop
from core.errors import HostSilent, HostUnreachable, ModelyardError, SourceLost
from core.events import EventBus, now
from core.registry.jobs import LONGEST_WAIT, UNFINISHED

if TYPE_CHECKING:
    from core.downloads.work import Work
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.store import Registry
    from core.settings import Settings

_LOOK_S = 0.2  # how soon a pause or a new job is seen
_TELL_S = 0.5  # how often progress is written
_SILENT_S = 5.0  # after which it is told that nothing comes
_TELL_FILE_S = 0.001  # and for each file, when there are many
_IDLE_S = 5.0
_RETRIES = 5
_FIRST_WAIT = timedelta(seconds=30)
_TAKEN_BACK = {"state": "queued", "lease": None, "rate": 0.0, "doing": ""}
_AT_ONCE = {"copy": 8, "direct": 8, "verify": 2}  # those of downloads are a setting


@dataclass(frozen=True, kw_only=True)
class _UnderWay:
    """A job that somebody works on."""

    job: Job
    work: Work
    task: asyncio.Task[None]


class Worker:
    """Takes jobs by priority, a few of each kind at a time, until there is nothing to do."""

    def __init__(self, settings: Settings, registry: Registry, tokens: Tokens, hosts: HostService) -> None:
        self._registry = registry
        self._tokens = tokens
        self._workshop = Workshop(settings, registry, tokens, hosts)
        self._limits = LimitsFile(settings)
        self._at_once = dict(_AT_ONCE)
        self._running: dict[str, _UnderWay] = {}

    async def run(self) -> None:
        """Until idle; when it is cancelled, what is under way is kept as if it was killed."""
        await self._take_back()
        idle_since, taken = time.monotonic(), 0
        with self._workshop:
            try:
                while time.monotonic() - idle_since < _IDLE_S or taken != self._tokens.taken:
                    if await self._turn() or taken != self._tokens.taken:
                        idle_since, taken = time.monotonic(), self._tokens.taken
                    await asyncio.sleep(_LOOK_S)
            finally:
                await self._let_go()

    async def _let_go(self) -> None:
        for one in self._running.values():
            one.work.cancel()
            one.task.cancel()
        await asyncio.gather(*(one.task for one in self._running.values()), return_exceptions=True)

    async def _take_back(self) -> None:
        """What a worker that died had under way is queued again."""
        for job in await self._registry.jobs(states=("running", "verifying")):
            await self._registry.edit_job(job.id, _TAKEN_BACK)

    async def _turn(self) -> bool:
        """Heed what is asked for, and start what can be; whether there is anything to do."""
        await self._keep_limits()
        self._running = {job_id: one for job_id, one in self._running.items() if not one.task.done()}
        waiting = await self._registry.jobs(states=UNFINISHED)
        for job in waiting:
            await self._heed(job)
        for job in waiting:
            if self._is_ready(job):
                self._start(job)
        return bool(self._running) or any(job.state == "queued" and job.wanted == "run" for job in waiting)

    async def _keep_limits(self) -> None:
        """As the user has them now."""
        limits = await asyncio.to_thread(self._limits.now)
        self._at_once["download"] = limits.jobs
        self._workshop.limit_to(limits)

    async def _heed(self, job: Job) -> None:
        under_way = self._running.get(job.id)
        if job.state in {"running", "verifying"} and under_way is None:  # its end could not be written
            await self._registry.edit_job(job.id, _TAKEN_BACK)
        elif job.wanted == "run":
            if job.state == "paused":
                await self._registry.edit_job(job.id, {"state": "queued"})
        elif under_way is not None:
            under_way.work.cancel()
        elif job.state in {"queued", "paused"} and not _must_stop_there(job):
            await self._registry.edit_job(job.id, _ended_as(job.wanted))

    def _is_ready(self, job: Job) -> bool:
        """Its turn has come; one that may still go on at a host is taken up even to be ended."""
        is_wanted = (job.wanted == "run" and job.is_due) or _must_stop_there(job)
        busy = sum(one.job.kind == job.kind for one in self._running.values())
        is_free = job.id not in self._running and busy < self._at_once.get(job.kind, 0)
        return job.state == "queued" and is_wanted and is_free and not self._is_waiting_for_files(job)

    def _is_waiting_for_files(self, job: Job) -> bool:
        """Another job is fetching some of its files: one that is begun twice, or tried again beside a newer one."""
        place, files = (job.host, job.folder), _paths(job)
        return any(
            (one.job.host, one.job.folder) == place and files & _paths(one.job) for one in self._running.values()
        )

    def _start(self, job: Job) -> None:
        try:
            work = self._workshop.make(job)
        except ModelyardError as error:  # what was kept of it can't be used
            work = _Broken(error)
        self._running[job.id] = _UnderWay(job=job, work=work, task=asyncio.create_task(self._do(job, work)))

    async def _do(self, job: Job, work: Work) -> None:
        began = {"state": "running", "lease": {"pid": os.getpid()}, "attempts": job.attempts + 1, "not_before": None}
        told = {"error": "", "error_code": "", "cause": "", "remedy": ""}
        await self._registry.edit_job(job.id, {**began, **told, "started_at": now()})
        over = asyncio.Event()
        teller = asyncio.create_task(self._tell(job, work, over))
        ended: dict[str, Any]
        try:
            result = await work.run()
            await self._registry.edit_job(job.id, work.told(files=True))
            await asyncio.to_thread(work.tidy)
            ended = {"state": "done", **result, "finished_at": now()}
            self._tokens.forget(job.id)
        except Cancelled:
            wanted = (await self._registry.get_job(job.id)).wanted
            ended = _ended_as(wanted if wanted != "run" else "pause")
        except ModelyardError as error:
            ended = _failed(job, error, moved=work.received > 0)
        except Exception as error:  # noqa: BLE001 - a job must end, whatever happened; the log has the rest
            sys.stderr.write(f"job {job.id}: {type(error).__name__}\n")
            unknown = ModelyardError(f"{job.title} met an error: {type(error).__name__}.", cause=str(error))
            ended = _failed(job, unknown, moved=False)
        finally:
            over.set()
        await teller
        await self._close(job, {**work.told(files=True), **ended})

    async def _close(self, job: Job, ended: dict[str, Any]) -> None:
        """Write how it ended; if that can't be, that it failed: it must not seem to go on for ever."""
        still = {"rate": 0.0, "lease": None, "doing": ""}
        try:
            await self._registry.edit_job(job.id, {**ended, **still})
        except Exception as error:  # noqa: BLE001 - whatever the reason
            sys.stderr.write(f"job {job.id} could not be written: {type(error).__name__}\n")
            unknown = ModelyardError(f"How {job.title} ended could not be written.", cause=str(error)[:300])
            await self._registry.edit_job(job.id, {**still, **_failed(job, unknown, moved=False)})

    async def _tell(self, job: Job, work: Work, over: asyncio.Event) -> None:
        """Write progress and speed; the files' own lines when there are more of them."""
        speed = Speed(time.monotonic(), work.received)
        told_files, next_files = -1, 0.0
        while not await _within(_TELL_S, over):
            present = time.monotonic()
            rate = speed.after(present, work.received)
            files = work.files_done != told_files and present >= next_files
            changes = _with_silence(work.told(files=files), speed.still_s)
            if files:
                told_files, next_files = work.files_done, present + _TELL_FILE_S * work.files_done
            try:
                moved = {"rate": rate, "is_early": speed.is_early(job.bytes_total)}
                await self._registry.edit_job(job.id, {**changes, **moved})
            except Exception as error:  # noqa: BLE001 - progress that can't be written ends no job
                sys.stderr.write(f"progress of {job.id}: {type(error).__name__}\n")


def _with_silence(told: dict[str, Any], still_s: float) -> dict[str, Any]:
    """A transfer that says nothing of why nothing comes: that alone is told."""
    if told.get("doing") == "" and still_s >= _SILENT_S:
        return {**told, "doing": f"waiting: nothing has come for {still_s:.0f} s"}
    return told


class _Broken:
    """In place of a work that can't be made."""

    received = files_done = 0

    def __init__(self, error: ModelyardError) -> None:
        self._error = error

    def told(self, *, files: bool) -> dict[str, Any]:
        del files
        return {}

    def cancel(self) -> None:
        """It ends at once anyway."""

    def tidy(self) -> None:
        """There is nothing."""

    async def run(self) -> dict[str, Any]:
        raise self._error


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _paths(job: Job) -> set[str]:
    """The files of a download, below its folder."""
    return {str(file["path"]) for file in job.spec.get("listing", {}).get("files", ())}


def _must_stop_there(job: Job) -> bool:
    """Whether it may go on without us: the host has to be told to stop."""
    return job.kind == "direct" and job.wanted != "run" and job.state == "queued" and job.started_at is not None


def _ended_as(wanted: str) -> dict[str, Any]:
    if wanted == "cancel":
        return {"state": "cancelled", "finished_at": now()}
    return {"state": "paused"}


def _failed(job: Job, error: ModelyardError, *, moved: bool) -> dict[str, Any]:
    """A line that broke is tried again by itself, a little later each time; everything else waits for the user."""
    told = {"error": error.message, "error_code": error.code, "cause": error.cause, "remedy": _remedy(job, error)}
    attempts = 1 if moved else job.attempts + 1
    if isinstance(error, (SourceLost, HostSilent)) and attempts <= _RETRIES:
        wait = min(LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempts - 1))
        return {**told, "attempts": attempts, "state": "queued", "not_before": now() + wait}
    return {**told, "state": "failed", "finished_at": now()}


def _remedy(job: Job, error: ModelyardError) -> str:
    """A worker has no terminal: what has to be asked is asked by a program that has one."""
    if isinstance(error, HostUnreachable) and not isinstance(error, HostSilent):
        how = f"A job can't ask questions: modelyard hosts check {job.host} logs in, then go on."
        return f"{error.remedy} {how}".strip()
    return error.remedy


async def serve(settings: Settings) -> None:
    """Do all there is to do, then end; a job that came while ending is done by whoever looks next."""
    from core.db import Database
    from core.hosts.service import HostService
    from core.registry.store import Registry

    database, bus = Database(settings.db_path), EventBus()
    await database.open()
    registry, tokens = Registry(database, bus, user_id=settings.user_id), Tokens()
    hosts = HostService(settings, registry, bus)
    try:
        async with tokens.taken_at(channel(settings)):
            await Worker(settings, registry, tokens, hosts).run()
    finally:
        await hosts.close_all()
        await database.close()


async def _has_work(settings: Settings) -> bool:
    from core.db import Database
    from core.registry.store import Registry

    database = Database(settings.db_path)
    await database.open()
    try:
        jobs = await Registry(database, EventBus(), user_id=settings.user_id).jobs(states=("queued",))
        return any(job.wanted == "run" for job in jobs)
    finally:
        await database.close()


def main() -> None:
    """Read the settings from standard input and work; look once more after letting go of the queue."""
    settings = without_choices(replace(read_settings(sys.stdin.read()), ephemeral=False))
    while True:
        with the_only_one(settings) as held:
            if not held:
                return
            asyncio.run(serve(settings))
        if not asyncio.run(_has_work(settings)):
            return


if __name__ == "__main__":
    main()
