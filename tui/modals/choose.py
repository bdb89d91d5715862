"""Pick one of many: the list is narrowed as one types, by key, name and detail, accents and case aside."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.content import Content
from textual.widget import Widget

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.picker import Option
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

_MOST = 14


class ChooseDialog(Dialog[str | None]):
    """The key of the picked option, or None; with `free`, what was typed counts too unless `free` finds it wrong."""

    KEYS: ClassVar[tuple[str, ...]] = ("choose",)
    AROUND: ClassVar[int] = 9  # lines of the dialog that are not options
    AUTO_FOCUS = "#typed"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("choose")]
    CSS_PATH: ClassVar = ["dialog.tcss", "choose.tcss"]

    def __init__(
        self,
        heading: str,
        options: Sequence[Option],
        current: str = "",
        *,
        typed: str = "",
        free: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__()
        self._heading = heading
        self._options = [folded(option) for option in options]
        self._current = current
        self._typed = typed
        self._free = free
        self._shown: list[Option] = []
        self._at = 0

    def body(self) -> Iterable[Widget]:
        yield Plain(self._heading, classes="lead")
        field = TextField(self._typed, placeholder="type to narrow", id="typed")
        field.select_on_focus = False
        yield field
        yield Plain(id="options")

    def on_mount(self) -> None:
        self._narrow()
        keys = [option.key for option in self._shown]
        self._at = keys.index(self._current) if self._current in keys and not self._typed else 0
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """As many lines as fit."""
        self._draw()

    @on(TextField.Changed, "#typed")
    def typed(self) -> None:
        """Narrow the list."""
        self._narrow()
        self._at = 0
        self._draw()

    def _narrow(self) -> None:
        text = self.query_one("#typed", TextField).value
        words = _folded(text).split()
        fits = [pair for pair in self._options if not pair[0].always and all(word in pair[1] for word in words)]
        if words:
            fits.sort(key=lambda pair: _distance(pair[0], pair[1], words[0]))
        self._shown = [option for option, _ in fits if option.key or not words]
        if self._free is not None and text.strip() and text.strip() not in {option.key for option in self._shown}:
            self._shown.append(Option(text.strip(), text.strip(), "as typed"))
        self._shown += [option for option, _ in self._options if option.always]

    def _draw(self) -> None:
        room = max(3, min(_MOST, self.app.size.height - self.AROUND))
        first = max(0, min(self._at - room // 2, len(self._shown) - room))
        lines = [self._line(number) for number in range(first, min(first + room, len(self._shown)))]
        if not lines:
            lines = [Content.styled("  Nothing matches.", "$quiet")]
        blank = [Content()] * (min(room, len(self._options)) - len(lines))
        self.query_one("#options", Plain).show(Content("\n").join([*lines, *blank]))

    def _line(self, number: int) -> Content:
        option = self._shown[number]
        here = number == self._at
        current = " ✓" if option.key == self._current else ""
        label = f"{'▌' if here else ' '} {clean_line(option.label)}"
        parts = Content.assemble((label, "bold $text-primary" if here else ""), (current, "$text-success"))
        return Content.assemble(parts, (f"  {clean_line(option.detail)}", "$quiet")) if option.detail else parts

    def action_cursor(self, step: int) -> None:
        """By lines; a page at a time stops at the ends."""
        if self._shown:
            last = len(self._shown) - 1
            self._at = (self._at + step) % (last + 1) if abs(step) == 1 else max(0, min(last, self._at + step))
            self._draw()

    @on(TextField.Submitted, "#typed")
    def submitted(self) -> None:
        """Enter, after what was typed before it."""
        self.action_take()

    def action_take(self) -> None:
        """This one, unless it is a text that can't stand there."""
        if not self._shown:
            return
        option = self._shown[self._at]
        problem = self._free(option.key) if self._free is not None and option.detail == "as typed" else ""
        if problem:
            self.modelyard.toast(problem, tone="warning")
        else:
            self.dismiss(option.key)

    def action_submit(self) -> None:
        """This one."""
        self.action_take()


def folded(option: Option) -> tuple[Option, str]:
    """An option with what is searched for what is typed."""
    return option, _folded(f"{option.key} {option.label} {option.detail}")


def _folded(text: str) -> str:
    """Without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


def _distance(option: Option, folded: str, word: str) -> tuple[int, int]:
    """The key itself first, then what begins with the word, then the rest; the shorter before the longer."""
    key = _folded(option.key)
    place = 0 if key == word else 1 if key.startswith(word) else 2 if f" {word}" in folded else 3
    return (place, len(folded))
