"""A field whose value is picked from what there is: a line that opens a list, narrowed as one types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from core.text import clean_line

if TYPE_CHECKING:
    from tui.app import ModelyardApp

NOTHING = "none"
_OPENS = frozenset({"enter", "space", "down"})
_MAKE = "\n"  # no record has this name


@dataclass(frozen=True)
class Option:
    """What can be picked: its key, and what is read of it; all of it may come from outside."""

    key: str
    label: str
    detail: str = ""
    always: bool = False  # stays when the list is narrowed


Load = Callable[[], Awaitable[Sequence[Option]]]


class Picker(Widget, can_focus=True):
    """One of the options that `load` gives when it is opened; "" is none.

    `free` tells what is wrong with a text of one's own; without it only the options can be picked. `make` offers to
    make a new one: what the offer says, and what asks for it.
    """

    value: reactive[str] = reactive("")

    class Changed(Message):
        """The value is another."""

    def __init__(
        self,
        heading: str,
        load: Load,
        value: str = "",
        *,
        may_be_none: bool = True,
        nothing: str = NOTHING,
        free: Callable[[str], str] | None = None,
        make: tuple[str, Callable[[], Awaitable[str | None]]] | None = None,
    ) -> None:
        super().__init__()
        self._make = make
        self._nothing = nothing
        self._heading = heading
        self._load = load
        self._may_be_none = may_be_none
        self._free = free
        self._label = ""
        self._open = False
        self.set_reactive(Picker.value, value)

    def render(self) -> Content:
        shown = clean_line(self._label or self.value)
        text = Content.styled(self._nothing, "$faint") if not shown else Content(shown)
        room = max(1, self.size.width - 2)
        return Content.assemble(text.truncate(room, ellipsis=True, pad=True), (" ▾", "$quiet"))

    async def name_value(self) -> None:
        """Show the label of the value, not only its key."""
        found = next((option for option in await self._load() if option.key == self.value), None)
        label = f"{found.label}  {found.detail}".strip() if found else ""
        if label != self._label:
            self._label = label
            self.refresh()

    def put(self, value: str) -> None:
        """Set another value."""
        self._label = ""
        self.value = value
        self.post_message(self.Changed())
        cast("ModelyardApp", self.app).guard(self.name_value(), group="labels")

    def open(self, typed: str = "") -> None:
        """Open the list; what is typed narrows it."""
        if not self._open:
            self._open = True
            cast("ModelyardApp", self.app).guard(self._choose_once(typed), hold=True)

    async def _choose_once(self, typed: str) -> None:
        try:
            await self._choose(typed)
        finally:
            self._open = False

    async def _choose(self, typed: str) -> None:
        from tui.modals.choose import ChooseDialog

        options = list(await self._load())
        if self._may_be_none:
            options.append(Option("", self._nothing))
        if self._make is not None:
            options.append(Option(_MAKE, self._make[0], always=True))
        dialog = ChooseDialog(self._heading, options, self.value, typed=typed, free=self._free)
        picked = await self.app.push_screen_wait(dialog)
        if picked == _MAKE and self._make is not None:
            picked = await self._make[1]()
        if picked is not None and picked != self.value:
            self.put(picked)

    def on_key(self, event: events.Key) -> None:
        """Enter opens the list; a letter does, too, and begins to narrow it; what comes meanwhile goes there."""
        if self._open:
            cast("ModelyardApp", self.app).give_back(event)
        elif event.key in _OPENS:
            self.open()
        elif event.key in {"backspace", "delete"}:
            self._clear()
        elif event.is_printable and event.character:
            self.open(event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def _clear(self) -> None:
        if self._may_be_none and self.value:
            self.put("")

    def on_click(self) -> None:
        self.open()


class Marks(Picker):
    """Several of the options: `value` holds their keys with commas between."""

    def say(self, label: str) -> None:
        """Show this in place of the keys."""
        self._label = label
        self.refresh()

    async def name_value(self) -> None:
        """The labels come with the list: asking for them may take long."""

    async def _choose(self, typed: str) -> None:
        from tui.modals.check import CheckDialog

        before = self._label
        self.say("asking…")
        try:
            options = await self._load()
        finally:
            self.say(before)
        picked = await self.app.push_screen_wait(CheckDialog(self._heading, options, self.value.split(",")))
        if picked is not None:
            self.put(",".join(picked))
            self.say(", ".join(option.label for option in options if option.key in picked))
