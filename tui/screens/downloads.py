"""Downloads and the models folder (D6 to D9): what is installed, what is fetched, and what the disk has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widget import Widget

from core.errors import FileProblem, ModelyardError
from core.events import Event, RecordChanged
from tui.keys import bindings
from tui.screens.base import ListScreen
from tui.screens.download_actions import DownloadActions
from tui.screens.download_cards import FileRow
from tui.screens.download_views import VIEWS, DownloadsView, is_live, offers
from tui.screens.head_views import Snapshot
from tui.show import plural, size, toned
from tui.widgets.card import Card
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.files.service import FilesService

_LOOK_S = 0.5
_WAKE_S = 10.0
_MOST_FAMILIES = 6


class DownloadsScreen(DownloadActions):
    """One view at a time; while something is fetched it is looked at twice a second, else never."""

    PLACE = "downloads"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("downloads")]
    CSS_PATH: ClassVar = ["downloads.tcss"]

    def __init__(self) -> None:
        super().__init__()
        self.views = {name: view() for name, view in VIEWS.items()}
        self.view_name = next(iter(VIEWS))
        self.chosen_group = ""
        self._files_stale = True
        self._catalog_stale = True
        self._files_problem: ModelyardError | None = None
        self._done: frozenset[str] = frozenset()
        self._woken = -_WAKE_S

    @property
    def view(self) -> DownloadsView:
        """The view that is shown."""
        return self.views[self.view_name]

    def above(self) -> Iterable[Widget]:
        with Horizontal(id="filters"):
            yield Plain(id="views")
            yield Plain("/", id="search-mark")
            yield TextField(placeholder="search", id="search")
            yield Plain(id="count")
        yield Plain(id="disk")

    def make_list(self) -> PagedList[Any]:
        return self.view.make_list(lambda: self.known)

    def on_mount(self) -> None:
        self._say_views()
        self.set_interval(_LOOK_S, self._look)
        super().on_mount()

    # When to load

    def _look(self) -> None:
        """Nothing is asked and nothing is drawn while nothing is under way."""
        if self.is_current and any(is_live(job) for job in self.known.jobs):
            self.reload_soon()

    def _tick(self) -> None:
        """Another program may have begun something."""
        if self.is_current:
            self._files_stale = self._files_stale or any(is_live(job) for job in self.known.jobs)
            self.reload_soon()

    def on_core(self, event: Event | None) -> None:
        """Only what is told here is read again."""
        if event is None or (isinstance(event, RecordChanged) and event.kind == "job"):
            self.reload_soon()

    def on_screen_resume(self) -> None:
        """Back from another screen or a dialog."""
        if self.modelyard.yard is not None:
            self.reload_soon()

    def action_reload(self) -> None:
        """The folder and the catalog, too."""
        self._files_stale = self._catalog_stale = True
        super().action_reload()

    async def _ask_hosts(self) -> None:
        """Nothing here is of other hosts."""

    def files_changed(self) -> None:
        self._files_stale = True
        self.reload_soon()

    # Loading

    async def load(self, select: str | None) -> None:
        jobs = await self.yard.downloads.all()
        done = frozenset(job.id for job in jobs if job.state == "done")
        self.known = replace(self.known, jobs=jobs)
        if self._files_stale or done != self._done:
            self._files_stale, self._done = False, done
            await self._read_files()
        await self._wake()
        await self.show_rows(select)
        await self._read_catalog()

    async def _wake(self) -> None:
        """A worker that was killed is replaced."""
        if monotonic() - self._woken >= _WAKE_S and any(is_live(job) for job in self.known.jobs):
            self._woken = monotonic()
            await self.yard.downloads.wake()

    async def _read_files(self) -> None:
        files = self.yard.files
        try:
            rows, usage = await _rows(files), await files.usage()
        except (FileProblem, OSError) as error:
            self._files_problem = error if isinstance(error, FileProblem) else _unreadable(files, error)
            self.known = replace(self.known, files=(), usage=None)
        else:
            self._files_problem = None
            self.known = replace(self.known, files=rows, usage=usage)

    async def _read_catalog(self) -> None:
        if self._catalog_stale:
            self._catalog_stale = False
            self.known = replace(self.known, catalog=offers((await self.yard.catalog.load()).entries))
            self._say_views()
            if self.view_name == "catalog":
                await self.show_rows()

    async def show_rows(self, select: str | None = None) -> None:
        """Those that match the search and the filter."""
        rows = self.view.rows(self.known)
        words = self.query_one("#search", TextField).value.casefold().split()
        found = [row for row in rows if self._matches(row, words)]
        self.query_one(Snapshot).rows = found
        await super().load(select)
        if self._files_problem is not None and self.view_name == "installed":
            self.say_problem(self._files_problem)
        self._say_counts(len(found), len(rows))
        self.show_selected()

    def _matches(self, row: Any, words: Sequence[str]) -> bool:  # noqa: ANN401 - a row of any view
        if self.chosen_group and self.view.group(row) != self.chosen_group:
            return False
        text = self.view.text(row).casefold()
        return all(word in text for word in words)

    def when_empty(self) -> str:
        if self.query_one("#search", TextField).value or self.chosen_group:
            return "Nothing matches.\n\nPress Esc to clear the search and the filter."
        return self.view.EMPTY

    # What stands above the list

    @property
    def _names(self) -> list[str]:
        """A catalog that offers nothing has no place."""
        return [name for name in self.views if name != "catalog" or self.known.catalog]

    def _say_views(self) -> None:
        parts = [
            Content.styled(name.capitalize(), "bold underline $text-primary" if name == self.view_name else "$quiet")
            for name in self._names
        ]
        self.query_one("#views", Plain).show(Content("  ").join(parts))

    def _say_counts(self, shown: int, total: int) -> None:
        chosen = Content.styled(f"{self.chosen_group}  " if self.chosen_group else "", "$text-accent")
        self.query_one("#count", Plain).show(chosen + Content(f"Showing {shown:,} of {total:,}"))
        self.query_one("#disk", Plain).show(self._disk())

    def _disk(self) -> Content:
        usage = self.known.usage
        if usage is None:
            return Content()
        largest = sorted(usage.families.items(), key=lambda pair: -pair[1])[:_MOST_FAMILIES]
        families = "  ".join(f"{name} {size(count)}" for name, count in largest)
        taken = f"{size(usage.total)} in {plural(len(usage.models), 'model')}"
        head = Content.assemble((taken, ""), ("  ", ""), (f"{size(usage.free)} free", "bold"))
        return Content("  ").join([head, toned(families, "dim"), toned(usage.folder, "dim")])

    # Search, filter and view

    @on(TextField.Changed, "#search")
    def searched(self) -> None:
        """At once: the rows are here."""
        if self.modelyard.yard is not None:
            self.modelyard.guard(self.show_rows(), group="search", exclusive=True)

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self.set_focus(self.list)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_filter(self) -> None:
        """Choose a family or a state."""
        self.modelyard.guard(self._choose_group(), hold=True)

    async def _choose_group(self) -> None:
        from tui.modals.pick import PickDialog

        groups = sorted({self.view.group(row) for row in self.view.rows(self.known)})
        options = [("All", ""), *((group, group) for group in groups)]
        picked = await self.app.push_screen_wait(PickDialog("Show", options, self.chosen_group))
        if picked is not None:
            self.chosen_group = picked
            await self.show_rows()

    def action_back(self) -> None:
        """From the search to the lines; then close the card; then clear search and filter."""
        search = self.query_one("#search", TextField)
        if search.has_focus:
            self.set_focus(self.list)
        elif self.has_class("-narrow") and self.has_class("-show-card"):
            ListScreen.action_back(self)
        elif search.value or self.chosen_group:
            self.chosen_group, search.value = "", ""
            self.reload_soon()

    def action_next_view(self) -> None:
        """Installed, downloads, the catalog where it offers any, and round again."""
        names = self._names
        at = names.index(self.view_name) if self.view_name in names else -1
        self.modelyard.guard(self.show_view(names[(at + 1) % len(names)]))

    async def show_view(self, name: str, *, select: str | None = None) -> None:
        """Other lines in the same frame."""
        if name != self.view_name:
            await self.list.remove()
            self.view_name, self.chosen_group = name, ""
            shown = self.make_list()
            await self.query_one("#body", Container).mount(shown, before=self.query_one(Card))
            self._say_views()
            self.query_one("#search", TextField).value = ""
            self.set_focus(shown)
        self.reload_soon(select=select)

    # The selected line

    def card(self, room: int) -> Content:
        row = self.list.selected
        return Content() if row is None else self.view.card(row, self.known, room)

    def hides(self, key_id: str) -> bool:
        """Actions on the lines of the other view take no room in the key bar."""
        action = key_id.removeprefix("downloads.")
        others = (view for name, view in self.views.items() if name != self.view_name)
        return key_id.startswith("downloads.") and any(action in view.ACTIONS for view in others)

    def why_not(self, key_id: str) -> str:
        action = key_id.removeprefix("downloads.")
        owner = next((name for name, view in self.views.items() if action in view.ACTIONS), "")
        if not key_id.startswith("downloads.") or not owner:
            return ""
        if owner != self.view_name:
            return f"v shows the {owner} ones first." if owner == "installed" else "v shows the downloads first."
        return self.view.why_not(action, self.list.selected, self.known)


def _unreadable(files: FilesService, error: OSError) -> FileProblem:
    return FileProblem(
        f"The models folder {files.folder} can't be read.", cause=str(error), remedy="Look at its rights."
    )


async def _rows(files: FilesService) -> list[FileRow]:
    """What is told of and what is not, by path."""
    known = [FileRow(one.path, one.size, len(one.files), one) for one in await files.installed()]
    unknown = await files.unknown()

    def measured() -> list[FileRow]:
        return [FileRow(path.relative_to(files.folder).as_posix(), path.stat().st_size, 1) for path in unknown]

    return sorted([*known, *await asyncio.to_thread(measured)], key=lambda row: row.path.casefold())
