"""What the screens with a list share: loading, errors with a retry, details beside or below, actions with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from core.errors import ModelyardError
from core.events import Event, HostChanged, RecordChanged, ServerChanged
from tui.keys import Key, bindings, keys_of
from tui.widgets.card import Card
from tui.widgets.chrome import Header, KeyBar
from tui.widgets.paged_list import PagedList
from tui.widgets.plain import TextField

if TYPE_CHECKING:
    from core.app import Modelyard
    from tui.app import ModelyardApp

_CARD_AFTER_S = 0.06
_MINUTE_TEXTS_S = 20.0
_IN_FIELDS = frozenset({"back", "reload"})


class ListScreen(Screen[None]):
    """A list, its card, and what can be done with the selected record."""

    PLACE: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("view")]
    AUTO_FOCUS = "PagedList"
    LOADING: ClassVar[str] = "Loading…"

    def __init__(self) -> None:
        super().__init__()
        self.set_class(self.modelyard.is_wide, "-wide")  # Textual does it too late, and lays out once more
        self._card_due = False
        self._again = False
        self._reloading = False
        self._select: str | None = None

    @property
    def modelyard(self) -> ModelyardApp:
        """The app, in its own type."""
        return cast("ModelyardApp", self.app)

    @property
    def yard(self) -> Modelyard:
        """The core; screens load only once it is open."""
        yard = self.modelyard.yard
        if yard is None:
            raise ModelyardError(
                "The registry is not open yet", remedy="Wait a moment, or press ctrl+r when it could not be opened."
            )
        return yard

    @property
    def list(self) -> PagedList[Any]:
        """The list of this screen."""
        return self.query_one(PagedList)

    def compose(self) -> ComposeResult:
        yield Header(self.PLACE)
        yield from self.above()
        with Container(id="body"):
            yield self.make_list()
            yield Card()
        yield KeyBar(self.PLACE, "view", "app")

    def above(self) -> Iterable[Widget]:
        """What stands between the header and the list."""
        return ()

    def make_list(self) -> PagedList[Any]:
        """The list of this screen."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.list.say(self.LOADING)
        app = self.modelyard
        app.core_events.subscribe(self, self.on_core)
        app.summary_changed.subscribe(self, self._say_summary)
        self._say_summary(app.summary)
        self.set_interval(_MINUTE_TEXTS_S, self._tick)
        self.reload_soon()
        self.call_after_refresh(self.call_after_refresh, app.begin)

    def _say_summary(self, summary: Content) -> None:
        self.query_one(Header).say(summary)

    def _tick(self) -> None:
        """Uptimes move on by the minute; only lines whose text changed are drawn."""
        if self.is_current:
            self.list.redraw()
            self.show_selected()

    def on_core(self, event: Event | None) -> None:
        """None: the core was opened, or could not be."""
        if event is None or isinstance(event, ServerChanged | HostChanged | RecordChanged):
            self.reload_soon()

    # Loading

    def reload_soon(self, *, select: str | None = None) -> None:
        """Load again, and once more if something happens meanwhile; never two at once."""
        self._select = select or self._select
        self._again = True
        if not self._reloading:
            self._reloading = True
            self.modelyard.guard(self._reload(), group="reload")

    async def _reload(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._load_or_say()
        finally:
            self._reloading = False

    async def _load_or_say(self) -> None:
        if self.modelyard.yard is None:
            if self.modelyard.problem is not None:
                self.say_problem(self.modelyard.problem)
            return
        try:
            select, self._select = self._select, None
            await self.load(select)
        except ModelyardError as error:
            self.say_problem(error)

    async def load(self, select: str | None) -> None:
        """Bring the list up to date."""
        await self.list.reload(select=select)
        self.list.say(self.when_empty())

    def when_empty(self) -> str:
        """What an empty list says: what to press."""
        return ""

    def say_problem(self, error: ModelyardError) -> None:
        """In place of the rows; where rows are shown already, they stay and a toast tells."""
        if self.list.count:
            self.modelyard.toast(f"Not up to date: {error.message}", tone="warning")
            return
        lines = [f"✗ {error.message}", error.cause, f"→ {error.remedy}" if error.remedy else ""]
        self.list.say("\n".join([*(line for line in lines if line), "", "Press ctrl+r to try again."]), "bad")

    def action_reload(self) -> None:
        """Open the core again if that failed; else ask the hosts and read again."""
        app = self.modelyard
        if app.yard is None:
            if app.problem is not None:
                self.list.say(self.LOADING)
                app.open_core()
            return
        self.reload_soon()
        app.guard(self._ask_hosts(), group="reconcile")

    async def _ask_hosts(self) -> None:
        await self.yard.deploys.reconcile()
        self.reload_soon()

    # The selected record

    def on_paged_list_failed(self, message: PagedList.Failed) -> None:
        """A page could not be read: what is shown stays."""
        self.say_problem(message.error)

    def on_paged_list_selected(self) -> None:
        """Another row, or other values of the same."""
        self.selected_changed()

    def selected_changed(self) -> None:
        """The card and the keys follow the cursor."""
        self.show_selected()

    def show_selected_soon(self) -> None:
        """The rows first; the card follows a moment later, once for many."""
        if not self._card_due:
            self._card_due = True
            self.modelyard.guard(self._show_due(), group="card")

    async def _show_due(self) -> None:
        await asyncio.sleep(_CARD_AFTER_S)
        self._card_due = False
        self.show_selected()

    def show_selected(self) -> None:
        """Bring card and keys up to date."""
        self.query_one(Card).flow(self.card)
        self.query_one(KeyBar).renew()

    def card(self, room: int) -> Content:
        """The details of the selected record, within `room` cells."""
        raise NotImplementedError

    def action_details(self) -> None:
        """Show or hide the card; where it stands below the list, it first grows to nearly the whole screen."""
        if self.has_class("-wide"):
            self.toggle_class("-hide-card")
        elif not self.has_class("-show-card"):
            self.add_class("-show-card")
        elif not self.has_class("-full-card"):
            self.add_class("-full-card")
        else:
            self.remove_class("-show-card", "-full-card")

    def action_scroll_card(self, lines: int) -> None:
        """Read on in the card, or back, with the cursor where it is."""
        self.query_one(Card).scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        """Close the card below the list."""
        if self.has_class("-narrow") and self.has_class("-show-card"):
            self.remove_class("-show-card", "-full-card")
            self.set_focus(self.list)

    # Actions

    def why_not(self, key_id: str) -> str:
        """Why the action of this key can't be done now; "" when it can."""
        raise NotImplementedError

    def label_of(self, key: Key) -> str:
        """What a key is called here."""
        return key.label

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While one types in a field, letters are text."""
        return action in _IN_FIELDS or not isinstance(self.focused, TextField)

    def action_do(self, name: str) -> None:
        """Do it, or say why not."""
        key = next(key for key in keys_of(self.PLACE) if key.id == f"{self.PLACE}.{name}")
        if reason := self.why_not(key.id):
            self.modelyard.toast(f"{self.label_of(key)}: {reason}", tone="warning")
        else:
            self.modelyard.guard(getattr(self, f"do_{name}")(), hold=True)
