"""What the Downloads screen reads, and when: jobs often, the folder when it changed, the catalog once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from time import monotonic
from typing import TYPE_CHECKING

from core.errors import FileProblem, ModelyardError
from core.events import now
from core.registry.jobs import UNFINISHED
from core.registry.values import LOCAL_HOST
from tui.screens.download_catalog import CatalogView, base
from tui.screens.download_checks import CheckReader
from tui.screens.download_file_actions import FileActions
from tui.screens.download_installed import InstalledView, by_source, rows_of, unknown_rows, without_gone
from tui.screens.download_jobs import JobsView, is_live
from tui.screens.download_views import DownloadsView
from tui.show import moment

if TYPE_CHECKING:
    from datetime import datetime

    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles, Usage
    from core.registry.jobs import ListedJob
    from tui.screens.download_cards import FileRow

    Told = tuple[Sequence[InstalledModel], Sequence[FileRow]]

VIEWS: tuple[type[DownloadsView], ...] = (CatalogView, InstalledView, JobsView)
_FIRST = InstalledView.NAME
_REST, _LONGEST_REST_S = 9, 3.0  # times what looking took; one slow look is no reason to stand still
_WAKE_S = 10.0


@dataclass(frozen=True)
class Look:
    """What was seen last of a host's models; `problem` tells why it couldn't be seen since."""

    rows: Sequence[FileRow] = ()
    usage: Usage | None = None
    problem: ModelyardError | None = None
    at: datetime = field(default_factory=now)

    @property
    def old(self) -> str:
        """Since when it is not known better; "" where this is how it is now."""
        return f"as of {moment(self.at)}" if self.problem and self.rows else ""


class DownloadReading(FileActions):
    """The tabs' rows, kept up to date; the screen shows them."""

    def __init__(self) -> None:
        super().__init__()
        self.views = {view.NAME: view() for view in VIEWS}
        self.view_name = _FIRST
        self.looks: dict[str, Look] = {}  # by host
        self.stale = {LOCAL_HOST}  # hosts whose files are to be read
        self._jobs_stale = self._catalog_stale = True
        self._done: frozenset[str] = frozenset()
        self._woken = -_WAKE_S
        self._checks = CheckReader(lambda: self.yard.registry)
        self._rest_until = 0.0

    @property
    def view(self) -> DownloadsView:
        return self.views[self.view_name]

    async def show_rows(self, select: str | None = None) -> None:
        """Those that match the search and the filters."""
        raise NotImplementedError

    def say_views(self) -> None:
        """The tabs, with how many rows each has."""
        raise NotImplementedError

    # When

    @property
    def _is_live(self) -> bool:
        return any(is_live(job) for job in self.known.jobs)

    @property
    def is_due(self) -> bool:
        """Whether something is under way, and the last look is long enough ago for what it took."""
        return self._is_live and monotonic() >= self._rest_until

    def all_stale(self) -> None:
        """The next time everything is read."""
        self._jobs_stale = self._catalog_stale = True
        self.stale |= {LOCAL_HOST, *self.looks}

    def files_changed(self, host: str) -> None:
        self.stale.add(host)
        self.reload_soon()

    def jobs_changed(self) -> None:
        self._jobs_stale = True
        self.reload_soon()

    # Reading

    async def load(self, select: str | None) -> None:
        began = monotonic()
        await self._load(select)
        self._rest_until = monotonic() + min(_REST * (monotonic() - began), _LONGEST_REST_S)

    async def _load(self, select: str | None) -> None:
        jobs = asyncio.create_task(self._read_jobs())
        try:
            told = await self.told(self.yard.files) if LOCAL_HOST in self.stale else None
            await jobs
        finally:
            jobs.cancel()
        self._note_done()
        if told is not None or LOCAL_HOST in self.stale:
            self.stale.discard(LOCAL_HOST)
            await self.read_files(self.yard.files, told or await self.told(self.yard.files), select)
        await self._wake()
        await self.show_rows(select)
        self.show_selected()
        if self._catalog_stale:
            await self._read_catalog()

    def _note_done(self) -> None:
        """A job that is done changed the files of its host."""
        done = {job.id: job.host for job in self.known.jobs if job.state == "done"}
        self.stale.update(host for job_id, host in done.items() if job_id not in self._done)
        self._done = frozenset(done)

    async def _read_jobs(self) -> None:
        """Those that are not over; the others only when one came or went."""
        jobs = None if self._jobs_stale else self._merged(await self.yard.registry.listed_jobs(states=UNFINISHED))
        if jobs is None:
            self._jobs_stale = False
            jobs = await self.yard.registry.listed_jobs()
        limits = await self.yard.downloads.limits()
        fetching = frozenset(base(job.source) for job in jobs if job.state in UNFINISHED)
        checks = await self._checks.read(jobs, self.known.host)
        changed, self.known = checks != self.known.checks, replace(self.known, checks=checks)
        limit = limits.rate if limits.bytes_per_s else ""
        self.known = replace(self.known, jobs=jobs, fetching=fetching - {""}, limit=limit)
        self._fill(JobsView.NAME)
        if changed:  # what a check found is a state to filter by
            await asyncio.to_thread(self._fill, InstalledView.NAME)

    def _merged(self, unfinished: Sequence[ListedJob]) -> Sequence[ListedJob] | None:
        """What is known with these as they are now; None where another is over or gone."""
        fresh = {job.id: job for job in unfinished}
        before = {job.id for job in self.known.jobs if job.state in UNFINISHED}
        return None if before != fresh.keys() else [fresh.get(job.id, job) for job in self.known.jobs]

    async def _wake(self) -> None:
        """A worker that was killed is replaced."""
        if monotonic() - self._woken >= _WAKE_S and self._is_live:
            self._woken = monotonic()
            await self.yard.downloads.wake()

    async def told(self, files: ModelFiles) -> Told | ModelyardError:
        """What the folder's file tells of."""
        try:
            models = await files.installed()
            return models, await asyncio.to_thread(rows_of, models)
        except ModelyardError as problem:
            return problem
        except OSError as error:
            return _unreadable(files, error)

    async def read_files(self, files: ModelFiles, told: Told | ModelyardError, select: str | None) -> None:
        """What is told of comes at once; what is not, and the sizes, need a look at every file."""
        if isinstance(told, ModelyardError):
            await self.no_files(files.host, told)
            return
        models, rows = told
        before = self.looks.get(files.host, Look())
        rows = without_gone(rows, {row.path: row.gone for row in before.rows if row.gone})
        others = [row for row in before.rows if row.model is None or row.store]
        await self._take_files(files.host, Look([*rows, *others], before.usage))
        await self.show_rows(select)
        await asyncio.to_thread(self.views[InstalledView.NAME].table.make_lines)
        try:
            seen = await files.survey(models)
        except ModelyardError as problem:
            await self.no_files(files.host, problem)
            return
        except OSError as error:
            await self.no_files(files.host, _unreadable(files, error))
            return
        untouched = before.usage is None and self.list.cursor == 0
        rows = without_gone(told[1], seen.gone)
        found = await asyncio.to_thread(unknown_rows, seen)
        await self._take_files(files.host, Look([*rows, *found, *rows_of(seen.stores)], seen.usage))
        if untouched and (self.view_name, self.known.host) == (InstalledView.NAME, files.host):
            await self.show_rows()
            self.list.move_to(0)

    async def no_files(self, host: str, problem: ModelyardError) -> None:
        """They can't be read. What a host told before is shown on: it may be away for a moment."""
        before = Look() if host == LOCAL_HOST else self.looks.get(host, Look())
        await self._take_files(host, replace(before, problem=problem))

    async def _take_files(self, host: str, look: Look) -> None:
        self.looks[host] = look
        if host == self.known.host:
            await self.show_look()
        if host == LOCAL_HOST:
            self.known = replace(self.known, free=look.usage.free if look.usage else None)
            self._fill_catalog()

    async def show_look(self) -> None:
        """What was read last of the host that is shown, in the installed tab."""
        look, before = self.looks.get(self.known.host, Look()), self.known.files
        unknown = any(row.model is None for row in look.rows)
        self.known = replace(self.known, files=look.rows, usage=look.usage, has_unknown=unknown, old=look.old)
        if len(before) != len(look.rows) or not all(map(is_, before, look.rows)):
            await asyncio.to_thread(self._fill, InstalledView.NAME)

    async def _read_catalog(self) -> None:
        self._catalog_stale = False
        self.known = replace(self.known, catalog=await self.yard.catalog.weights())
        self._fill_catalog()
        self.say_views()
        if self.view_name == CatalogView.NAME:
            await self.show_rows()

    def _fill_catalog(self) -> None:
        """Which of its offers are here is looked up by where they come from."""
        offered = {base(row.source) for row in self.known.catalog}
        here = self.looks.get(LOCAL_HOST, Look()).rows
        self.known = replace(self.known, sources=by_source(here, offered))
        self._fill(CatalogView.NAME)

    def _fill(self, name: str) -> None:
        """Where rows are looked for, their lines are made at once."""
        view = self.views[name]
        view.fill(self.known)
        if view.table.is_narrowed:
            view.table.make_lines()


def _unreadable(files: ModelFiles, error: OSError) -> FileProblem:
    return FileProblem(
        f"The models folder {files.folder} can't be read.", cause=str(error), remedy="Look at its rights."
    )
