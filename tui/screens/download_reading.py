"""What the Downloads screen reads, and when: jobs often, the folder when it changed, the catalog once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from operator import is_
from time import monotonic
from typing import TYPE_CHECKING

from core.errors import FileProblem, ModelyardError
from core.registry.jobs import UNFINISHED
from tui.screens.download_catalog import CatalogView, base
from tui.screens.download_checks import CheckReader
from tui.screens.download_file_actions import FileActions
from tui.screens.download_installed import InstalledView, by_source, rows_of, unknown_rows
from tui.screens.download_jobs import JobsView, is_live
from tui.screens.download_views import DownloadsView

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.service import FilesService, Usage
    from core.registry.jobs import ListedJob
    from tui.screens.download_cards import FileRow

VIEWS: tuple[type[DownloadsView], ...] = (CatalogView, InstalledView, JobsView)
_FIRST = InstalledView.NAME
_REST = 9  # times what looking took
_WAKE_S = 10.0


class DownloadReading(FileActions):
    """The tabs' rows, kept up to date; the screen shows them."""

    def __init__(self) -> None:
        super().__init__()
        self.views = {view.NAME: view() for view in VIEWS}
        self.view_name = _FIRST
        self.files_problem: ModelyardError | None = None
        self._jobs_stale = self._files_stale = self._catalog_stale = True
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
        self._jobs_stale = self._files_stale = self._catalog_stale = True

    def files_changed(self) -> None:
        self._files_stale = True
        self.reload_soon()

    def jobs_changed(self) -> None:
        self._jobs_stale = True
        self.reload_soon()

    # Reading

    async def load(self, select: str | None) -> None:
        began = monotonic()
        await self._load(select)
        self._rest_until = monotonic() + _REST * (monotonic() - began)

    async def _load(self, select: str | None) -> None:
        jobs = asyncio.create_task(self._read_jobs())
        try:
            told = await self._told() if self._files_stale else None
            await jobs
        finally:
            jobs.cancel()
        done = frozenset(job.id for job in self.known.jobs if job.state == "done")
        if told is not None or done != self._done:
            self._files_stale, self._done = False, done
            await self._read_files(told or await self._told(), select)
        await self._wake()
        await self.show_rows(select)
        self.show_selected()
        if self._catalog_stale:
            await self._read_catalog()

    async def _read_jobs(self) -> None:
        """Those that are not over; the others only when one came or went."""
        jobs = None if self._jobs_stale else self._merged(await self.yard.registry.listed_jobs(states=UNFINISHED))
        if jobs is None:
            self._jobs_stale = False
            jobs = await self.yard.registry.listed_jobs()
        limits = await self.yard.downloads.limits()
        fetching = frozenset(base(job.source) for job in jobs if job.state in UNFINISHED)
        checks = await self._checks.read(jobs)
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

    async def _told(self) -> tuple[Sequence[InstalledModel], Sequence[FileRow]] | FileProblem:
        """What the folder's file tells of."""
        try:
            models = await self.yard.files.installed()
            return models, await asyncio.to_thread(rows_of, models)
        except FileProblem as problem:
            return problem
        except OSError as error:
            return _unreadable(self.yard.files, error)

    async def _read_files(
        self, told: tuple[Sequence[InstalledModel], Sequence[FileRow]] | FileProblem, select: str | None
    ) -> None:
        """What is told of comes at once; what is not, and the sizes, need a look at every file."""
        if isinstance(told, FileProblem):
            await self._no_files(told)
            return
        files, (models, rows) = self.yard.files, told
        try:
            others = [row for row in self.known.files if row.model is None or row.store]
            await self._take_files([*rows, *others], self.known.usage)
            await self.show_rows(select)
            await asyncio.to_thread(lambda: self.views[InstalledView.NAME].table.lines)
            seen = await files.survey(models)
            untouched = self.known.usage is None and self.list.cursor == 0
            await self._take_files([*rows, *await unknown_rows(files.folder, seen), *rows_of(seen.stores)], seen.usage)
            if untouched and self.view_name == InstalledView.NAME:
                await self.show_rows()
                self.list.move_to(0)
        except FileProblem as problem:
            await self._no_files(problem)
        except OSError as error:
            await self._no_files(_unreadable(files, error))

    async def _no_files(self, problem: FileProblem) -> None:
        self.files_problem = problem
        await self._take_files([], None)

    async def _take_files(self, rows: Sequence[FileRow], usage: Usage | None) -> None:
        self.files_problem = None if usage or rows else self.files_problem
        unknown = any(row.model is None for row in rows)
        before, self.known = self.known.files, replace(self.known, files=rows, usage=usage, has_unknown=unknown)
        if len(before) != len(rows) or not all(map(is_, before, rows)):
            await asyncio.to_thread(self._fill, InstalledView.NAME)
        self._fill_catalog()

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
        self.known = replace(self.known, sources=by_source(self.known.files, offered))
        self._fill(CatalogView.NAME)

    def _fill(self, name: str) -> None:
        """Where rows are looked for, their lines are made at once."""
        view = self.views[name]
        view.fill(self.known)
        if view.table.is_narrowed:
            _ = view.table.lines


def _unreadable(files: FilesService, error: OSError) -> FileProblem:
    return FileProblem(
        f"The models folder {files.folder} can't be read.", cause=str(error), remedy="Look at its rights."
    )
