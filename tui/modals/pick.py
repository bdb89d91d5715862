"""A small menu: one of a few lines, chosen by arrow keys or by its first letter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.content import Content
from textual.widget import Widget

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.binding import BindingType


class PickDialog(Dialog[str | None]):
    """The key of the chosen option, or None; labels may come from outside."""

    KEYS = ("pick",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("pick")]
    CSS_PATH: ClassVar = ["dialog.tcss", "pick.tcss"]

    def __init__(self, heading: str, options: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self._heading = heading
        self._options = options
        self._current = current
        self._at = next((n for n, (_, key) in enumerate(options) if key == current), 0)

    def body(self) -> Iterable[Widget]:
        yield Plain(self._heading, classes="lead")
        yield Plain(id="options")

    def on_mount(self) -> None:
        self._draw()

    def _draw(self) -> None:
        self.query_one("#options", Plain).show(Content("\n").join(self._line(n) for n in range(len(self._options))))

    def _line(self, number: int) -> Content:
        label, key = self._options[number]
        current = " ✓" if key == self._current else ""
        text = f"{'▌' if number == self._at else ' '} {clean_line(label)}{current}"
        return Content.styled(text, "bold $text-primary" if number == self._at else "")

    def action_cursor(self, step: int) -> None:
        """By lines, round the ends."""
        self._at = (self._at + step) % len(self._options)
        self._draw()

    def action_take(self) -> None:
        """This one."""
        self.dismiss(self._options[self._at][1])

    def action_submit(self) -> None:
        """This one."""
        self.action_take()

    def on_key(self, event: events.Key) -> None:
        """A letter goes to the next line that begins with it."""
        if not event.is_printable or event.character is None:
            return
        order = [(self._at + step) % len(self._options) for step in range(1, len(self._options) + 1)]
        for number in order:
            if self._options[number][0].lower().startswith(event.character.lower()):
                self._at = number
                self._draw()
                event.stop()
                return
