"""The models: a list that is searched as one types, filters, and the selected model's card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from core.registry.values import ModelQuery, Ownership
from tui import memory
from tui.keys import bindings
from tui.screens.model_bulk import BulkActions
from tui.screens.model_card import model_card
from tui.screens.model_filters import (
    Chips,
    FilterBar,
    as_kept,
    chips,
    filter_options,
    filtered,
    from_kept,
    sort_options,
    sorted_by,
    toggled,
    without_filters,
)
from tui.screens.model_list import SORTS, ModelList
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import TextField

_LOADING = "Opening the registry…"


class ModelsScreen(BulkActions):
    """Find a model and act on it; actions of further dialogs: a `do_…` each, beside those of `ModelActions`."""

    PLACE = "models"
    LOADING = _LOADING
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("models")]

    def above(self) -> Iterable[Widget]:
        yield FilterBar()
        yield Chips()

    def make_list(self) -> PagedList[Any]:
        return ModelList()

    def on_mount(self) -> None:
        query = from_kept(memory.recall(self.modelyard.settings.data_dir, self.PLACE))
        self.models.ask(query)
        self.query_one(Chips).show_query(query)

    # Loading

    async def load(self, select: str | None) -> None:
        hosts = await self.yard.registry.hosts()
        self.models.lost_hosts = frozenset(host.id for host in hosts if host.unreachable_since is not None)
        await super().load(select)
        self._say_counts()

    def _say_counts(self) -> None:
        shown, total, marked = self.models.count, self.models.total or 0, len(self.models.marks)
        prefix = f"{marked:,} marked · " if marked else ""
        self.query_one(FilterBar).say_count(f"{prefix}Showing {shown:,} of {total:,} model{'' if total == 1 else 's'}")
        if not shown:
            self.show_selected()

    def marks_changed(self) -> None:
        self._say_counts()
        self.show_selected()

    def when_empty(self) -> str:
        query = self.models.query_now
        if not filtered(query):
            return "No models yet.\n\nPress a to add one."
        if query == replace(without_filters(query), archived=True):
            return "Nothing is archived.\n\nPress Z to go back to the models."
        if query == replace(without_filters(query), ownership=Ownership.MINE):
            return "None is your own yet.\n\nPress a to add one, or M for all, and m on a global one to copy it."
        return "No model matches.\n\nPress Esc to clear the search and the filters, Backspace to take off the last one."

    # Search, filters and sort

    def change_query(self, query: ModelQuery, *, follow: bool = False) -> None:
        """Show what matches now; a search that is overtaken by this one is dropped."""
        kept, before = as_kept(query), self.models.query_now
        if kept != as_kept(before):
            memory.remember(self.modelyard.settings.data_dir, self.PLACE, kept)
        self.models.ask(query)
        self.query_one(Chips).show_query(query)
        if self.modelyard.yard is not None:
            self.modelyard.guard(partial(self._show, follow), group="search", exclusive=True)

    async def _show(self, follow: bool) -> None:
        try:
            await self.models.show(follow=follow)
        except ModelyardError as error:
            self.say_problem(error)
            return
        self.models.say(self.when_empty())
        self._say_counts()

    @on(TextField.Changed, "#search")
    def search_as_typed(self) -> None:
        """Every key searches."""
        text = self.query_one("#search", TextField).value
        if text != self.models.query_now.text:
            self.change_query(replace(self.models.query_now, text=text))

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self.search_as_typed()
        self.set_focus(self.models)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_filter(self, kind: str = "") -> None:
        """Choose a filter from a list; the ones that are on are taken off there, too."""
        self.modelyard.guard(self._choose_filter(kind), hold=True)

    async def _choose_filter(self, kind: str) -> None:
        from tui.modals.choose import ChooseDialog

        options = filter_options(self.models.query_now, await self.yard.registry.regions_in_use())
        wanted = [option for option in options if option.key.startswith(kind)]
        picked = await self.app.push_screen_wait(ChooseDialog("Filter", wanted))
        if picked is not None:
            self.action_take_off(picked)

    def action_take_off(self, key: str) -> None:
        """One filter off, or on where it was off."""
        self.change_query(toggled(self.models.query_now, key), follow=True)

    def action_last_off(self) -> None:
        """The last chip off."""
        if on_now := chips(self.models.query_now):
            self.action_take_off(on_now[-1].key)

    def action_clear(self) -> None:
        """No search, no filter."""
        self.query_one("#search", TextField).value = ""
        self.change_query(without_filters(self.models.query_now), follow=True)

    def action_sort(self) -> None:
        """Choose the column to sort by."""
        self.modelyard.guard(self._choose_sort(), hold=True)

    async def _choose_sort(self) -> None:
        from tui.modals.pick import PickDialog

        query = self.models.query_now
        picked = await self.app.push_screen_wait(PickDialog("Sort by", sort_options(query), query.sort.value))
        if picked is not None:
            self.change_query(sorted_by(query, picked), follow=True)

    def action_reverse(self) -> None:
        """The same column, the other way round."""
        query = self.models.query_now
        self.change_query(replace(query, descending=not query.descending), follow=True)

    def on_paged_list_title_clicked(self, message: PagedList.TitleClicked) -> None:
        """A click on a title sorts by its column, a second one the other way round."""
        query = sorted_by(self.models.query_now, SORTS[message.column.title].value)
        self.change_query(query, follow=True)

    def action_archived(self) -> None:
        """The archived ones, or the others."""
        self.action_take_off("archived:")

    def action_back(self) -> None:
        """From the search to the lines; then close the card; then take off marks; then clear search and filters."""
        if self.query_one("#search", TextField).has_focus:
            self.set_focus(self.models)
        elif self.has_class("-narrow") and self.has_class("-show-card"):
            super().action_back()
        elif self.models.marks:
            self.unmark()
        elif filtered(self.models.query_now):
            self.action_clear()

    async def _ask_hosts(self) -> None:
        """The catalog's files, too."""
        await self.yard.catalog.sync()
        await super()._ask_hosts()

    # The selected model

    async def do_copy(self) -> None:
        """Its files to hosts."""
        from tui.modals.copy import CopyDialog

        if (row := self.row) is not None:
            await self.app.push_screen_wait(CopyDialog(row.model.name, row.model.id))

    def selected_changed(self) -> None:
        self.show_selected_soon()

    def show_new(self, model_id: str) -> None:
        """Filters that could hide it go."""
        if filtered(self.models.query_now):
            self.query_one("#search", TextField).value = ""
            self.change_query(without_filters(self.models.query_now))
        super().show_new(model_id)

    def card(self, room: int) -> Content:
        row = self.row
        if row is None:
            return Content()
        actions = self.yard.deploys.actions(row.model, row.server)
        return model_card(row, actions, room, lost=self.models.is_lost(row.server))
