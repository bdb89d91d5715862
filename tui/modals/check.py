"""Mark some of a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.widget import Widget

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.picker import Option
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.binding import BindingType


class CheckDialog(Dialog[tuple[str, ...] | None]):
    """The keys of the marked options, in their order, or None; nothing of them is parsed."""

    KEYS = ("check",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("check")]
    CSS_PATH: ClassVar = ["dialog.tcss", "choose.tcss"]

    def __init__(self, heading: str, options: Sequence[Option], marked: Iterable[str] = ()) -> None:
        super().__init__()
        self._heading = heading
        self._options = options
        self._marked = set(marked)
        self._at = 0

    def body(self) -> Iterable[Widget]:
        yield Plain(self._heading, classes="lead")
        yield Plain(id="options")

    def on_mount(self) -> None:
        self._draw()

    def _draw(self) -> None:
        room = max(3, self.app.size.height - 7)
        first = max(0, min(self._at - room // 2, len(self._options) - room))
        lines = [self._line(number) for number in range(first, min(first + room, len(self._options)))]
        self.query_one("#options", Plain).show(Content("\n").join(lines))

    def _line(self, number: int) -> Content:
        option, here = self._options[number], number == self._at
        mark = "[x]" if option.key in self._marked else "[ ]"
        label = f"{'▌' if here else ' '} {mark} {clean_line(option.label)}"
        return Content.assemble(
            (label, "bold $text-primary" if here else ""), (f"  {clean_line(option.detail)}", "$quiet")
        )

    def action_cursor(self, step: int) -> None:
        """By lines, round the ends."""
        self._at = (self._at + step) % len(self._options)
        self._draw()

    def action_mark(self) -> None:
        """This line, or not."""
        self._marked ^= {self._options[self._at].key}
        self._draw()

    def action_mark_all(self) -> None:
        """All lines; where all are marked, none."""
        every = {option.key for option in self._options}
        self._marked = set() if self._marked >= every else every
        self._draw()

    def action_take(self) -> None:
        """What is marked."""
        self.dismiss(tuple(option.key for option in self._options if option.key in self._marked))

    def action_submit(self) -> None:
        """What is marked."""
        self.action_take()
