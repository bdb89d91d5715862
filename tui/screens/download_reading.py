"""What the Downloads screen reads, and when: jobs often, the folder when it changed, the catalog once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from core.errors import FileProblem, ModelyardError
from core.registry.jobs import UNFINISHED
from tui.screens.download_cards import source_of
from tui.screens.download_catalog import CatalogView, base
from tui.screens.download_checks import CheckReader
from tui.screens.download_file_actions import FileActions
from tui.screens.download_installed import InstalledView, by_source, rows_of, unknown_rows
from tui.screens.download_jobs import JobsView, is_live
from tui.screens.download_views import DownloadsView

if TYPE_CHECKING:
    from core.files.service import FilesService, Usage
    from core.registry.jobs import Job
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
        self._checks = CheckReader()
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
        await self._read_jobs()
        done = frozenset(job.id for job in self.known.jobs if job.state == "done")
        if self._files_stale or done != self._done:
            self._files_stale, self._done = False, done
            await self._read_files(select)
        await self._wake()
        await self.show_rows(select)
        self.show_selected()
        if self._catalog_stale:
            await self._read_catalog()

    async def _read_jobs(self) -> None:
        """Those that are not over; the others only when one came or went."""
        jobs = None if self._jobs_stale else self._merged(await self.yard.registry.jobs(states=UNFINISHED))
        if jobs is None:
            self._jobs_stale = False
            jobs = await self.yard.downloads.all()
        limits = await self.yard.downloads.limits()
        fetching = frozenset(base(source_of(job)) for job in jobs if job.state in UNFINISHED)
        checks = self._checks.read(jobs)
        changed, self.known = checks != self.known.checks, replace(self.known, checks=checks)
        limit = limits.rate if limits.bytes_per_s else ""
        self.known = replace(self.known, jobs=jobs, fetching=fetching - {""}, limit=limit)
        self._fill(JobsView.NAME)
        if changed:  # what a check found is a state to filter by
            await asyncio.to_thread(self._fill, InstalledView.NAME)

    def _merged(self, unfinished: Sequence[Job]) -> Sequence[Job] | None:
        """What is known with these as they are now; None where another is over or gone."""
        fresh = {job.id: job for job in unfinished}
        before = {job.id for job in self.known.jobs if job.state in UNFINISHED}
        return None if before != fresh.keys() else [fresh.get(job.id, job) for job in self.known.jobs]

    async def _wake(self) -> None:
        """A worker that was killed is replaced."""
        if monotonic() - self._woken >= _WAKE_S and self._is_live:
            self._woken = monotonic()
            await self.yard.downloads.wake()

    async def _read_files(self, select: str | None) -> None:
        """What is told of comes at once; what is not, and the sizes, need a look at every file."""
        files = self.yard.files
        try:
            told = [row for row in self.known.files if row.model is None or row.store]
            models = await files.installed()
            rows = rows_of(models)
            await self._take_files([*rows, *told], self.known.usage)
            await self.show_rows(select)
            seen = await files.survey(models)
            untouched = self.known.usage is None and self.list.cursor == 0
            await self._take_files([*rows, *await unknown_rows(files.folder, seen), *rows_of(seen.stores)], seen.usage)
            if untouched and self.view_name == InstalledView.NAME:
                await self.show_rows()
                self.list.move_to(0)
        except (FileProblem, OSError) as error:
            self.files_problem = error if isinstance(error, FileProblem) else _unreadable(files, error)
            await self._take_files([], None)

    async def _take_files(self, rows: Sequence[FileRow], usage: Usage | None) -> None:
        self.files_problem = None if usage or rows else self.files_problem
        unknown = any(row.model is None for row in rows)
        self.known = replace(self.known, files=rows, usage=usage, sources=by_source(rows), has_unknown=unknown)
        await asyncio.to_thread(self._fill, InstalledView.NAME)
        self._fill(CatalogView.NAME)

    async def _read_catalog(self) -> None:
        self._catalog_stale = False
        self.known = replace(self.known, catalog=await self.yard.catalog.weights())
        self._fill(CatalogView.NAME)
        self.say_views()
        if self.view_name == CatalogView.NAME:
            await self.show_rows()

    def _fill(self, name: str) -> None:
        view = self.views[name]
        view.table.fill(view.lines(self.known))


def _unreadable(files: FilesService, error: OSError) -> FileProblem:
    return FileProblem(
        f"The models folder {files.folder} can't be read.", cause=str(error), remedy="Look at its rights."
    )
