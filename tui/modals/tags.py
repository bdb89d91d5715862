"""Tags to add and to take off, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.widget import Widget
from textual.widgets import Input

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType


@dataclass(frozen=True, kw_only=True)
class TagChange:
    """Tags to add and tags to take off."""

    add: tuple[str, ...]
    remove: tuple[str, ...]


class TagsDialog(Dialog[TagChange | None]):
    """What to change, or None."""

    AUTO_FOCUS = "#tags"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, heading: str, present: Sequence[str]) -> None:
        super().__init__()
        self._heading = heading
        self._present = present

    def body(self) -> Iterable[Widget]:
        yield Plain(clean_line(self._heading), classes="lead")
        if self._present:
            yield Plain(clean_line("Now: " + ", ".join(self._present)), classes="muted")
        yield TextField(placeholder="prod eu-team -old", id="tags")
        yield Plain("Words are added, words with - in front are taken off. Enter saves.", classes="muted")

    @on(Input.Submitted, "#tags")
    def action_submit(self) -> None:
        """Change them; nothing typed changes nothing."""
        change = parse(self.query_one("#tags", TextField).value)
        self.dismiss(change if change.add or change.remove else None)


def parse(text: str) -> TagChange:
    """`a -b` adds a and takes b off."""
    words = text.replace(",", " ").split()
    remove = tuple(word[1:] for word in words if word.startswith("-") and len(word) > 1)
    return TagChange(add=tuple(word for word in words if not word.startswith("-")), remove=remove)
