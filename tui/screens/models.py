"""The models: a list that is searched as one types, filters, and the selected model's card."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from core.registry.values import ModelQuery, ModelRow, Ownership, Provider
from tui import operations
from tui.keys import bindings
from tui.screens.base import ListScreen
from tui.screens.model_card import model_card
from tui.show import plural, short_tokens, status_mark
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.registry.records import Server

_TYPING_PAUSE_S = 0.12
_LOADING = "Opening the registry…"
_ACTIONS = {"edit", "deploy", "stop", "restart", "chat", "logs", "delete", "archive"}
_NEXT_OWNERSHIP = {
    Ownership.ALL: Ownership.MINE,
    Ownership.MINE: Ownership.GLOBAL,
    Ownership.GLOBAL: Ownership.ALL,
}


class ModelList(PagedList[ModelRow]):
    """The models that match `query`."""

    COLUMNS = (
        Column("NAME", 20, weight=4, most=40),
        Column("PROVIDER", 9),
        Column("MODEL", 12, weight=5),
        Column("CONTEXT", 7, right=True),
        Column("STATUS", 14, weight=1, most=26),
    )

    def __init__(self) -> None:
        super().__init__(id="list")
        self.query_now = ModelQuery()
        self.total = 0
        self.lost_hosts: frozenset[str] = frozenset()

    async def fetch(self, offset: int, limit: int) -> Chunk[ModelRow]:
        yard = self.screen.yard  # type: ignore[attr-defined]
        page = await yard.registry.search(self.query_now, offset=offset, limit=limit)
        self.total = page.total
        return Chunk(page.rows, page.shown)

    def row_id(self, row: ModelRow) -> str:
        return row.model.id

    def is_lost(self, server: Server | None) -> bool:
        """Whether its host can't be reached."""
        return server is not None and server.host_id in self.lost_hosts

    def cells(self, row: ModelRow) -> tuple[Cell, ...]:
        model = row.model
        mark = status_mark(row.server, unreachable=self.is_lost(row.server))
        return (
            Cell(model.name),
            Cell(model.provider, "busy" if model.is_global else "strong"),
            Cell(model.model_id, "dim"),
            Cell(short_tokens(model.context_length)),
            Cell(mark.text, mark.tone, short=mark.short),
        )


class ModelsScreen(ListScreen):
    """Find a model and act on it."""

    PLACE = "models"
    LOADING = _LOADING
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("models")]

    def __init__(self) -> None:
        super().__init__()
        self._typing: Timer | None = None

    def above(self) -> Iterable[Widget]:
        yield FilterBar()

    def make_list(self) -> PagedList[Any]:
        return ModelList()

    @property
    def models(self) -> ModelList:
        """The list, in its own type."""
        return self.query_one(ModelList)

    @property
    def row(self) -> ModelRow | None:
        """The selected line."""
        return self.models.selected

    @property
    def chosen(self) -> ModelRow:
        """The selected line, in an action that `why_not` has let through."""
        row = self.row
        if row is None:
            raise RuntimeError("no line is selected")
        return row

    # Loading

    async def load(self, select: str | None) -> None:
        hosts = await self.yard.registry.hosts()
        self.models.lost_hosts = frozenset(host.id for host in hosts if host.unreachable_since is not None)
        await super().load(select)
        shown, total = self.models.count, self.models.total
        self.query_one(FilterBar).say_count(f"Showing {shown:,} of {plural(total, 'model')}")
        if not shown:
            self.show_selected()

    def when_empty(self) -> str:
        query = self.models.query_now
        if query == ModelQuery():
            return "No models yet.\n\nPress a to add one."
        if query == ModelQuery(archived=True):
            return "Nothing is archived.\n\nPress T to go back to the models."
        return "No model matches.\n\nPress Esc to clear the search and the filters."

    # Search and filters

    def change_query(self, query: ModelQuery) -> None:
        """Show what matches now."""
        self.models.query_now = query
        self.query_one(FilterBar).show_query(query)
        self.reload_soon()

    @on(TextField.Changed, "#search")
    def search_as_typed(self) -> None:
        """Wait for a pause in typing, then search."""
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(_TYPING_PAUSE_S, self._search)

    def _search(self) -> None:
        text = self.query_one("#search", TextField).value
        query = self.models.query_now
        if text != query.text:
            self.change_query(_changed(query, text=text))

    @on(TextField.Submitted, "#search")
    def leave_search(self) -> None:
        """Enter goes from the search to the lines."""
        self._search()
        self.set_focus(self.models)

    def action_search(self) -> None:
        """Type to search."""
        self.set_focus(self.query_one("#search", TextField))

    def action_provider(self) -> None:
        """Choose a provider from a menu."""
        self.modelyard.guard(self._choose_provider(), hold=True)

    async def _choose_provider(self) -> None:
        from tui.modals.pick import PickDialog

        query = self.models.query_now
        options = [("All providers", ""), *((provider.value, provider.value) for provider in Provider)]
        picked = await self.app.push_screen_wait(PickDialog("Provider", options, query.provider or ""))
        if picked is not None:
            self.change_query(_changed(query, provider=Provider(picked) if picked else None))

    def action_ownership(self) -> None:
        """All, mine, global, and round again."""
        query = self.models.query_now
        self.change_query(_changed(query, ownership=_NEXT_OWNERSHIP[query.ownership]))

    def action_archived(self) -> None:
        """The archived ones, or the others."""
        query = self.models.query_now
        self.change_query(_changed(query, archived=not query.archived))

    def action_back(self) -> None:
        """From the search to the lines; then close the card; then clear search and filters."""
        search = self.query_one("#search", TextField)
        if search.has_focus:
            self.set_focus(self.models)
        elif self.has_class("-narrow") and self.has_class("-show-card"):
            super().action_back()
        elif self.models.query_now != ModelQuery():
            search.value = ""
            self.change_query(ModelQuery())

    # The selected model

    def card(self, room: int) -> Content:
        row = self.row
        if row is None:
            return Content()
        actions = self.yard.deploys.actions(row.model, row.server)
        return model_card(row, actions, room, lost=self.models.is_lost(row.server))

    def why_not(self, key_id: str) -> str:
        name = key_id.removeprefix("models.")
        if name not in _ACTIONS:
            return ""
        row = self.row
        if row is None or self.modelyard.yard is None:
            return "No model is selected."
        actions = {action.name: action.why_not for action in self.yard.deploys.actions(row.model, row.server)}
        return actions.get(name, "")

    async def do_add(self) -> None:
        """Fill in a form; the new model is selected."""
        await self._form(None)

    async def do_edit(self) -> None:
        """The same form, filled in."""
        await self._form(self.chosen)

    async def _form(self, row: ModelRow | None) -> None:
        from tui.modals.model_form import ModelForm

        hosts = [host.name for host in await self.yard.registry.hosts()]
        saved = await self.app.push_screen_wait(ModelForm(self.yard.registry, hosts, row.model if row else None))
        if saved is not None:
            self.reload_soon(select=saved)

    async def do_deploy(self) -> None:
        """Options, dry run, confirmation, progress."""
        from tui.modals.deploy import DeployDialog

        await self.app.push_screen_wait(DeployDialog(self.yard, self.chosen.model))
        self.reload_soon()

    async def do_stop(self) -> None:
        """Stop its server."""
        if (server := self.chosen.server) is not None:
            await operations.stop(self.modelyard, server)

    async def do_restart(self) -> None:
        """Stop and start its server."""
        if (server := self.chosen.server) is not None:
            await operations.restart(self.modelyard, server)

    async def do_logs(self) -> None:
        """Show its server's logs."""
        if (server := self.chosen.server) is not None:
            await operations.show_logs(self.modelyard, server)

    async def do_chat(self) -> None:
        """Talk to it."""
        model = self.chosen.model
        await operations.chat(self.modelyard, model.id, model.name)

    async def do_delete(self) -> None:
        """Delete the record, after a question."""
        await operations.delete_model(self.modelyard, self.chosen.model)
        self.reload_soon()

    async def do_archive(self) -> None:
        """Hide it, or bring it back."""
        model = self.chosen.model
        archived = model.archived_at is None
        await self.yard.registry.archive_model(model.id, archived=archived)
        done = "Archived" if archived else "Restored"
        self.modelyard.toast(f"{done} {model.name}" + ("; press T to see the archived ones" if archived else ""))
        self.reload_soon()


class FilterBar(Horizontal):
    """Search, filters, and how many models are shown."""

    def __init__(self) -> None:
        super().__init__(id="filters")

    def compose(self) -> ComposeResult:
        yield Plain("/", id="search-mark")
        yield TextField(placeholder="search names and ids", id="search")
        yield Plain(id="chosen")
        yield Plain(id="count")

    def on_mount(self) -> None:
        self.show_query(ModelQuery())

    def show_query(self, query: ModelQuery) -> None:
        """Say which filters are on."""
        provider, owner = query.provider or "all", query.ownership.value
        parts = [_filter("provider", provider), _filter("owner", owner)]
        if query.archived:
            parts.append(Content.styled("archived", "$text-warning"))
        self.query_one("#chosen", Plain).show(Content("  ").join(parts))

    def say_count(self, text: str) -> None:
        """How many are shown."""
        self.query_one("#count", Plain).show(text)


def _filter(label: str, value: str) -> Content:
    return Content.assemble((f"{label} ", "$quiet"), (value, "$foreground" if value == "all" else "$text-accent"))


def _changed(query: ModelQuery, **changes: Any) -> ModelQuery:  # noqa: ANN401 - the fields of ModelQuery
    from dataclasses import replace

    return replace(query, **changes)
