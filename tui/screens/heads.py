"""Heads and regions: the gateways that are models' first way in, and where models and heads can be (R1, R2, R5).

A further view, such as the routes, is one more entry of `VIEWS`: a list with its card and its actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.widget import Widget

from tui.keys import bindings
from tui.screens.base import ListScreen
from tui.screens.head_views import HeadsView, RegionsView, View
from tui.screens.route_view import RoutesView
from tui.widgets.card import Card
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import Plain, TextField

VIEWS: Mapping[str, type[View]] = {"heads": HeadsView, "regions": RegionsView, "routes": RoutesView}
KINDS = ("head", "region")  # of the change log


class HeadsScreen(ListScreen):
    """One view at a time; its keys act on its kind of record."""

    PLACE = "heads"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("heads")]
    CSS_PATH: ClassVar = ["heads.tcss"]

    def __init__(self) -> None:
        super().__init__()
        self.views = {name: view(self) for name, view in VIEWS.items()}
        self.view_name = next(iter(VIEWS))

    @property
    def view(self) -> View:
        """The view that is shown."""
        return self.views[self.view_name]

    def above(self) -> Iterable[Widget]:
        with Horizontal(id="filters"):
            yield Plain(id="views")
            yield Plain("/", id="search-mark")
            yield TextField(placeholder="search", id="search")
            yield Plain(id="count")

    def make_list(self) -> PagedList[Any]:
        return self.view.make_list()

    def on_mount(self) -> None:
        self._say_views()

    def _say_views(self) -> None:
        parts = [
            Content.styled(name.capitalize(), "bold underline $text-primary" if name == self.view_name else "$quiet")
            for name in self.views
        ]
        self.query_one("#views", Plain).show(Content("  ").join(parts))

    # Loading

    async def load(self, select: str | None) -> None:
        text = self.query_one("#search", TextField).value
        total = await self.view.read(text)
        await super().load(select)
        self.query_one("#count", Plain).show(f"Showing {self.list.count:,} of {total:,} {self.view_name}")
        if not self.list.count:
            self.show_selected()

    def when_empty(self) -> str:
        if self.query_one("#search", TextField).value:
            return f"None of the {self.view_name} matches.\n\nPress Esc to clear the search."
        return self.view.EMPTY

    @on(TextField.Changed, "#search")
    def searched(self) -> None:
        """A few hundred rows at most: at once."""
        self.reload_soon()

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self.set_focus(self.list)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_back(self) -> None:
        """From the search to the lines; then close the card; then clear the search."""
        search = self.query_one("#search", TextField)
        if search.has_focus:
            self.set_focus(self.list)
        elif self.has_class("-narrow") and self.has_class("-show-card"):
            super().action_back()
        else:
            search.value = ""

    def action_next_view(self) -> None:
        """Heads, regions, and round again."""
        names = list(self.views)
        self.modelyard.guard(self.show_view(names[(names.index(self.view_name) + 1) % len(names)]))

    async def show_view(self, name: str) -> None:
        """Another kind of record in the same frame."""
        await self.list.remove()
        self.view_name = name
        shown = self.make_list()
        await self.query_one("#body", Container).mount(shown, before=self.query_one(Card))
        self._say_views()
        self.query_one("#search", TextField).value = ""
        self.set_focus(shown)
        self.reload_soon()

    # The selected record

    def card(self, room: int) -> Content:
        row = self.list.selected
        return Content() if row is None else self.view.card(row, room)

    def why_not(self, key_id: str) -> str:
        name = key_id.removeprefix("heads.")
        if not key_id.startswith("heads.") or self.modelyard.yard is None:
            return ""
        return self.view.why_not(name, self.list.selected)

    async def do_add(self) -> None:
        """Fill in a form; the new record is selected."""
        await self._form(None)

    async def do_edit(self) -> None:
        """The same form, filled in."""
        await self._form(self.list.selected)

    async def _form(self, row: Any) -> None:  # noqa: ANN401 - a row of any view
        saved = await self.app.push_screen_wait(self.view.form(row))
        if saved is not None:
            self.reload_soon(select=saved)

    async def do_remove(self) -> None:
        """Remove it, after a question."""
        if await self.view.remove(self.list.selected):
            self.reload_soon()

    async def do_undo(self, *, redo: bool = False) -> None:
        """Take the newest change of what this screen shows back, at once: it can be done again."""
        from tui.modals.history import take_back

        done = await take_back(self.modelyard, redo=redo, kinds=KINDS)
        self.reload_soon(select=done.record(self.view_name.removesuffix("s")) if done else None)

    async def do_redo(self) -> None:
        """Do again what was taken back."""
        await self.do_undo(redo=True)

    async def do_history(self) -> None:
        """All changes of records, from which any can be taken back."""
        from tui.modals.history import HistoryDialog

        await self.app.push_screen_wait(HistoryDialog(self.yard))
        self.reload_soon()
