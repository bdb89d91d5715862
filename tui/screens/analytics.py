"""How much models are used, how well they answer and how fast, with a plot over time (N3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import on
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widget import Widget

from core.analytics.values import By, Period, begin
from core.errors import ModelyardError
from core.events import Event, RecordChanged, now
from tui import memory
from tui.keys import bindings
from tui.screens.analytics_card import Metric, usage_card
from tui.screens.analytics_list import SORTS, ServerUsageList, UsageList, View, ordered
from tui.screens.base import ListScreen
from tui.widgets.card import Card
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.analytics.values import Point, Usage

_EVERY_S = 60.0  # a period ends now: it moves on
_HIGH = 34  # lines of a screen on which the plots are higher
_KINDS = frozenset({"call", "counter", "model"})
_PERIODS = {
    Period.HOUR: "last hour",
    Period.DAY: "last day",
    Period.WEEK: "last week",
    Period.MONTH: "last month",
    Period.ALL: "all time",
}
E_ = TypeVar("E_", Period, By, Metric)


class AnalyticsScreen(ListScreen):
    """Choose a period, look, compare."""

    PLACE = "analytics"
    CSS_PATH: ClassVar = ["analytics.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("analytics")]

    def __init__(self) -> None:
        super().__init__()
        self.view = View()
        self.rows: Sequence[Usage] = ()
        self.points: Sequence[Point] = ()
        self._plotted: tuple[object, ...] = ()
        self._plotting = False
        self._stale = False

    def above(self) -> Iterable[Widget]:
        with Horizontal(id="filters"):
            yield Plain("/", id="search-mark")
            yield TextField(placeholder="search names and ids", id="search")
            yield Plain(id="periods")
            yield Plain(id="count")

    def make_list(self) -> PagedList[Any]:
        return ServerUsageList() if self.view.by is By.SERVER else UsageList()

    def on_mount(self) -> None:
        self.set_interval(_EVERY_S, self._move_on)

    def compose(self) -> Iterable[Widget]:
        self.view = View.from_kept(memory.recall(self.modelyard.settings.data_dir, self.PLACE))
        yield from super().compose()

    @property
    def usages(self) -> UsageList:
        """The list, in its own type."""
        return self.query_one(UsageList)

    # When to load

    def on_core(self, event: Event | None) -> None:
        """Calls and counters come in; what is not in view is read when it is."""
        if isinstance(event, RecordChanged) and event.kind not in _KINDS:
            return
        if event is None or self.is_current:
            super().on_core(event)
        else:
            self._stale = True

    def on_screen_resume(self) -> None:
        """Back from another screen."""
        if self._stale:
            self.reload_soon()

    def _move_on(self) -> None:
        if self.is_current:
            self.reload_soon()

    async def _ask_hosts(self) -> None:
        await self.yard.analytics.sample()
        self.reload_soon()

    # Loading

    async def load(self, select: str | None) -> None:
        self._stale = False
        view = self.view
        report = await self.yard.analytics.report(begin(view.period, now()), by=view.by, with_tests=view.with_tests)
        self.rows = report.rows
        self._plotted = ()
        await self._show(select)

    async def _show(self, select: str | None = None) -> None:
        """The rows that match, in the chosen order."""
        sort = SORTS[self.view.sort]
        self.usages.sorted_by = (sort.title, self.view.descending)
        self.usages.snapshot = ordered(self._matching(), sort, descending=self.view.descending)
        await super().load(select)
        self._say()
        if not self.usages.count:
            self.show_selected()

    def _matching(self) -> list[Usage]:
        words = self.query_one("#search", TextField).value.casefold().split()
        texts = ((row, f"{row.model_name} {row.model_id} {row.provider} {row.host}".casefold()) for row in self.rows)
        return [row for row, text in texts if all(word in text for word in words)]

    def _say(self) -> None:
        chosen = Content.styled(_PERIODS[self.view.period], "$text-accent")
        extra = Content.styled("  with tests" if self.view.with_tests else "", "$text-warning")
        self.query_one("#periods", Plain).show(chosen + extra)
        shown, total = self.usages.count, len(self.rows)
        self.query_one("#count", Plain).show(f"{shown} of {total} {self.view.by.value}{'' if total == 1 else 's'}")

    def when_empty(self) -> str:
        if self.rows:
            return "Nothing matches.\n\nPress Esc to clear the search."
        return (
            f"No figures: {_PERIODS[self.view.period]}.\n\n"
            "They come from chats (c on a model), from connection tests, and from what running servers count, "
            "whoever asked them: that is read each minute while Modelyard is open.\n\n"
            "Press p for another period."
        )

    # Search

    @on(TextField.Changed, "#search")
    def searched(self) -> None:
        """At once: the rows are here."""
        self.modelyard.guard(self._show(), group="reload")

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self.set_focus(self.list)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_back(self) -> None:
        """From the search to the lines; then clear the search."""
        search = self.query_one("#search", TextField)
        if search.has_focus:
            self.set_focus(self.list)
        else:
            search.value = ""

    def action_details(self) -> None:
        """Show or hide the plots, which stand below the list at every width."""
        self.toggle_class("-hide-card")

    # What is shown

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of View
        self.view = replace(self.view, **changes)
        memory.remember(self.modelyard.settings.data_dir, self.PLACE, self.view.as_kept())
        self.reload_soon()

    def action_period(self, step: int) -> None:
        """The next period, or the one before."""
        self._change(period=_next(self.view.period, step))

    def action_by(self) -> None:
        """Models, or servers."""
        self.modelyard.guard(self._by())

    async def _by(self) -> None:
        self.view = replace(self.view, by=_next(self.view.by, 1))
        await self.list.remove()
        shown = self.make_list()
        await self.query_one("#body", Container).mount(shown, before=self.query_one(Card))
        self.set_focus(shown)
        self._change()

    def action_metric(self) -> None:
        """Latency, or tokens."""
        self._change(metric=_next(self.view.metric, 1))

    def action_tests(self) -> None:
        """Connection tests count as requests, or not."""
        self._change(with_tests=not self.view.with_tests)

    def action_sort(self) -> None:
        """Choose a column from a menu; the one in use is turned round."""
        self.modelyard.guard(self._choose_sort(), hold=True)

    async def _choose_sort(self) -> None:
        from tui.modals.pick import PickDialog

        hidden = "host" if self.view.by is By.MODEL else "provider"
        options = [(sort.word.capitalize(), key) for key, sort in SORTS.items() if key != hidden]
        picked = await self.app.push_screen_wait(PickDialog("Sort by", options, self.view.sort))
        if picked is not None:
            self._sort_by(picked)

    def on_paged_list_title_clicked(self, message: PagedList.TitleClicked) -> None:
        """A click on a title sorts by its column."""
        self._sort_by(next(key for key, sort in SORTS.items() if sort.title == message.column.title))

    def _sort_by(self, key: str) -> None:
        text = key in {"name", "model_id", "provider", "host"}
        turned = not self.view.descending if key == self.view.sort else not text
        self._change(sort=key, descending=turned)

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._change(descending=not self.view.descending)

    # The selected line

    def show_selected(self) -> None:
        super().show_selected()
        row = self.usages.selected
        wanted = () if row is None else (self.usages.row_id(row), self.view.period)
        if wanted != self._plotted and not self._plotting:
            self._plotting = True
            self.modelyard.guard(self._plot(), group="plot")

    async def _plot(self) -> None:
        """Read the slots of the selected line, until they are those of the line that is selected by then."""
        try:
            while (row := self.usages.selected) is not None:
                wanted = (self.usages.row_id(row), self.view.period)
                if wanted == self._plotted:
                    break
                server = row.server_id if self.view.by is By.SERVER else None
                self.points = await self.yard.analytics.series(row.model_ref, self.view.period, server_id=server)
                self._plotted = wanted
        except ModelyardError as error:
            self.say_problem(error)
        finally:
            self._plotting = False
        self.query_one(Card).flow(self.card)

    def card(self, room: int) -> Content:
        row = self.usages.selected
        if row is None:
            return Content()
        high = self.app.size.height >= _HIGH
        return usage_card(
            row, self.points, period=self.view.period, metric=self.view.metric, room=room, height=8 if high else 4
        )

    def why_not(self, key_id: str) -> str:
        return "There is nothing to write." if key_id == "analytics.write" and not self.rows else ""

    async def do_write(self) -> None:
        """Write the figures to a file in the folder where the program was started."""
        from core.analytics.export import ExportFormat, write
        from tui.modals.pick import PickDialog

        options = [("CSV, for a spreadsheet", "csv"), ("JSON, with both sources", "json")]
        picked = await self.app.push_screen_wait(PickDialog("Write the figures as", options))
        if picked is None:
            return
        view = self.view
        report = await self.yard.analytics.report(begin(view.period, now()), by=view.by, with_tests=view.with_tests)
        name = f"modelyard-{view.by.value}s-{view.period.value}-{now().astimezone():%Y%m%d-%H%M%S}.{picked}"
        path = Path.cwd() / name
        await write(report, ExportFormat(picked), path)
        self.modelyard.toast(f"Wrote {path}")


def _next(value: E_, step: int) -> E_:
    """The next word of an enumeration, round the ends."""
    words: list[E_] = list(type(value))
    return words[(words.index(value) + step) % len(words)]
