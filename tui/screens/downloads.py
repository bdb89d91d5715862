"""Downloads and the models folder (D1, D6 to D9): what is offered, what is installed, and what is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from core.db import last_written
from core.events import Event, HostChanged, RecordChanged
from core.registry.values import LOCAL_HOST
from tui.keys import Key, bindings
from tui.screens.base import ListScreen
from tui.screens.download_catalog import CatalogView
from tui.screens.download_hosts import HostReading
from tui.screens.download_installed import InstalledView
from tui.screens.download_reading import VIEWS
from tui.screens.download_views import DownloadsView
from tui.screens.model_filters import Chips, Steady
from tui.widgets.card import Card
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import Flow, Plain, TextField

_LOOK_S = 0.5
_OTHERS_S = 2.0
_MOST_COUNTED = 10  # cells that the counts have beside "Showing" on a narrow screen
_LABELS: Mapping[tuple[str, str], str] = {
    ("downloads.use", "catalog"): "Download",
    ("downloads.use", "installed"): "Deploy",
}


class Summary(Flow, Steady):
    """One line on all rows."""


class DownloadsScreen(HostReading):
    """One tab at a time; while something is under way it is looked at twice a second, else never."""

    PLACE = "downloads"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("downloads")]
    CSS_PATH: ClassVar = ["downloads.tcss"]

    def __init__(self) -> None:
        super().__init__()
        self._list: PagedList[Any] = self.view.make_list(lambda: self.known)
        self._changing = asyncio.Lock()
        self._written: object = None  # when the registry was, at the last look for others
        self._towards = self.view_name  # the tab that was asked for last

    def above(self) -> Iterable[Widget]:
        with Horizontal(id="filters"):
            yield Plain(id="views")
            yield Plain("/", id="search-mark")
            yield TextField(placeholder="search", id="search")
            yield Steady(id="count")
        yield Summary(id="summary")
        yield Chips()

    def make_list(self) -> PagedList[Any]:
        return self._list

    @property
    def list(self) -> PagedList[Any]:
        """While another is put in its place, the one before."""
        return self._list

    def on_mount(self) -> None:
        self.say_views()
        self.set_interval(_LOOK_S, self._look)
        self.set_interval(_OTHERS_S, self._look_for_others)

    # When to load

    def _look(self) -> None:
        """Nothing is asked and nothing is drawn while nothing is under way; a tenth of the time goes into it."""
        if self.is_current and self.is_due:
            self.reload_soon()

    def _look_for_others(self) -> None:
        """Another program may have begun something: then the registry's file is another one than at the last look."""
        if self.is_current and self.modelyard.yard is not None and not self.is_due:
            self.modelyard.guard(self._ask_file, group="others", exclusive=True)

    async def _ask_file(self) -> None:
        written = await asyncio.to_thread(last_written, self.modelyard.settings.db_path)
        if written != self._written:
            self._written = written
            self.jobs_changed()

    def _tick(self) -> None:
        """Where the file's time tells nothing, a change is seen later."""
        if self.is_current:
            self.jobs_changed()

    def on_core(self, event: Event | None) -> None:
        """Only what is told here is read again; a host that is back is asked."""
        if event is None or (isinstance(event, RecordChanged) and event.kind == "job"):
            self.jobs_changed()
        elif isinstance(event, HostChanged) and event.reachable and event.host == self.host and self.problem:
            self.files_changed(event.host)

    def on_screen_resume(self) -> None:
        """Back from another screen or a dialog."""
        if self.modelyard.yard is not None:
            self.jobs_changed()

    def action_reload(self) -> None:
        """The folder and the catalog, too."""
        self.all_stale()
        super().action_reload()

    async def _ask_hosts(self) -> None:
        """Nothing here is of other hosts."""

    async def show_rows(self, select: str | None = None) -> None:
        """Those that match the search and the filters."""
        found = self.view.table.found()
        self.lines.put(found)
        self.lines.sorted_by = self.view.table.sorted_by
        await ListScreen.load(self, select)
        if self.problem is not None and self.view_name == InstalledView.NAME and not self.list.count:
            self.list.say(self.telling(self.problem), "bad")
        self._say_counts(len(found))
        self.selected_changed()

    def when_empty(self) -> str:
        if self.view.table.is_narrowed:
            return "Nothing matches.\n\nPress Esc to clear the search and the filters."
        return self.view.empty(self.known)

    # What stands above the list

    def say_views(self) -> None:
        self.query_one("#views", Plain).show(Content("  ").join(self._tab(view) for view in self.views.values()))

    def _tab(self, view: DownloadsView) -> Content:
        here = self.view_name == view.NAME
        name = Content.styled(view.NAME.capitalize(), "bold underline $text-primary" if here else "$quiet")
        whole = Content.assemble(name, (f" {view.tab(self.known)}", "$foreground" if here else "$faint"))
        return whole.stylize(Style.from_meta({"does": f"screen.show({view.NAME!r})"}))

    def _say_counts(self, shown: int) -> None:
        counts = f"{shown:,} of {len(self.view.table.rows):,}"
        is_long = len(counts) > _MOST_COUNTED or self.host != LOCAL_HOST  # its name stands in the same line
        showing = "" if self.has_class("-narrow") and is_long else "Showing "
        self.query_one("#count", Plain).show(f"{showing}{counts}")
        self.query_one(Summary).flow(self._summary)
        self.query_one(Chips).show_chips(self.view.table.chips())
        self.say_views()

    def _summary(self, room: int) -> Content:
        """Of what is marked, or of all."""
        if self.lines.marked:
            return self.view.marked_summary(list(self.lines.marked.values()))
        return self.view.summary(self.known, room)

    # Search, filters, order and tabs

    @on(TextField.Changed, "#search")
    def searched(self) -> None:
        """At once: the rows are here."""
        text = self.query_one("#search", TextField).value
        if text != self.view.table.text:
            self.view.table.text = text
            self._show_soon()

    def _show_soon(self) -> None:
        if self.modelyard.yard is not None:
            self.modelyard.guard(self.show_rows, group="search", exclusive=True)

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self.set_focus(self.list)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_filter(self) -> None:
        """Choose a filter from a list; the ones that are on are taken off there, too."""
        self.modelyard.guard(self._choose_filter(), hold=True)

    async def _choose_filter(self) -> None:
        from tui.modals.choose import ChooseDialog

        picked = await self.app.push_screen_wait(ChooseDialog("Filter", self.view.table.filter_options()))
        if picked is not None:
            self.action_take_off(picked)

    def action_take_off(self, key: str) -> None:
        """One filter off, or on where it was off."""
        self.view.table.toggle(key)
        self._show_soon()

    def action_last_off(self) -> None:
        """The last chip off."""
        if on_now := self.view.table.chips():
            self.action_take_off(on_now[-1].key)

    def action_sort(self) -> None:
        """Choose what to sort by."""
        self.modelyard.guard(self._choose_order(), hold=True)

    async def _choose_order(self) -> None:
        from tui.modals.pick import PickDialog

        table = self.view.table
        picked = await self.app.push_screen_wait(PickDialog("Sort by", table.order_options(), table.order_name))
        if picked is not None:
            table.order(picked)
            self._show_soon()

    def action_back(self) -> None:
        """To the lines; then close the card; take off marks; clear search and filters; back to this machine."""
        search = self.query_one("#search", TextField)
        if search.has_focus:
            self.set_focus(self.list)
        elif self.has_class("-narrow") and self.has_class("-show-card"):
            ListScreen.action_back(self)
        elif self.lines.marked:
            self.lines.unmark()
            self._marks_changed()
        elif self.view.table.is_narrowed:
            self.view.table.clear()
            search.value = ""
            self._show_soon()
        elif self.view_name == InstalledView.NAME and self.host != LOCAL_HOST:
            self.modelyard.guard(self.show_host(LOCAL_HOST))

    def action_next_view(self, step: int = 1) -> None:
        """The tab to the right, or to the left, and round again."""
        names = list(self.views)
        self.action_show(names[(names.index(self._towards) + step) % len(names)])

    def action_show(self, name: str) -> None:
        """This tab."""
        self._towards = name
        self.modelyard.guard(self.show_view(name), hold=True)

    async def show_view(self, name: str, *, select: str | None = None) -> None:
        self._towards = name
        async with self._changing:
            if name != self.view_name:
                with self.app.batch_update():
                    await self._put_list(name)
        if select is not None:
            self.jobs_changed()
            self.reload_soon(select=select)

    async def _put_list(self, name: str) -> None:
        """The list of another tab in place of the one that is shown."""
        shown = self.views[name].make_list(lambda: self.known)
        await self._list.remove()
        await self.query_one("#body", Container).mount(shown, before=self.query_one(Card))
        self.view_name, self._list = name, shown
        self.query_one("#search", TextField).value = self.view.table.text
        self.set_focus(shown)
        await self.show_rows()
        self.show_selected()

    # The selected line, and marks

    def selected_changed(self) -> None:
        self.show_selected_soon()

    def action_mark(self) -> None:
        """Mark the line, or take its mark off."""
        self.lines.mark()
        self._marks_changed()

    def action_mark_all(self) -> None:
        """Mark all that are listed, or none."""
        self.lines.mark_all()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self._say_counts(self.lines.count)
        self.show_selected()

    def action_details(self) -> None:
        """What an offer has to say stands in the dialog that begins its download."""
        if self.view_name == CatalogView.NAME:
            self.action_do("use")
        else:
            super().action_details()

    def card(self, room: int) -> Content:
        row = self.list.selected
        return Content() if row is None else self.view.card(row, self.known, room)

    def hides(self, key_id: str) -> bool:
        """Actions on the lines of other tabs take no room in the key bar."""
        if key_id == "view.details":
            return self.view_name == CatalogView.NAME
        action = key_id.removeprefix("downloads.")
        return action not in self.view.ACTIONS and any(action in view.ACTIONS for view in VIEWS)

    def label_of(self, key: Key) -> str:
        """The main thing has another name in each tab."""
        return _LABELS.get((key.id, self.view_name), key.label)

    def why_not(self, key_id: str) -> str:
        action = key_id.removeprefix("downloads.")
        owner = next((view.NAME for view in VIEWS if action in view.ACTIONS), "")
        if not key_id.startswith("downloads.") or not owner:
            return ""
        if action not in self.view.ACTIONS:
            return f"It is for {'what is installed' if owner == InstalledView.NAME else 'downloads'}: v goes there."
        selected = self.list.selected
        rows = list(self.lines.marked.values()) or ([] if selected is None else [selected])
        return self.view.why_not(action, rows, self.known)
