"""A field whose value is picked from what there is: a line that opens a list, narrowed as one types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from core.text import clean_line

if TYPE_CHECKING:
    from tui.app import ModelyardApp

NOTHING = "none"
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

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,down", "open", "Choose", show=False),
        Binding("backspace,delete", "clear", "None", show=False),
    ]
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

    def action_open(self, typed: str = "") -> None:
        """Open the list; what is typed narrows it."""
        cast("ModelyardApp", self.app).guard(self._choose(typed), hold=True)

    def action_clear(self) -> None:
        """None."""
        if self._may_be_none and self.value:
            self.put("")

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
        """A letter opens the list and begins to narrow it."""
        if event.is_printable and event.character and event.character != " ":
            event.stop()
            self.action_open(event.character)

    def on_click(self) -> None:
        self.action_open()


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
