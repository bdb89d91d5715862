"""One key rates the last answer (N3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.widget import Widget

from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.binding import BindingType

_WORDS = ("of no use", "poor", "fair", "good", "excellent")


class RateDialog(Dialog[int | None]):
    """1 to 5, 0 to take a rating back, or None."""

    HEADING = "Rate the last answer"
    KEYS = ("rate",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("rate")]
    CSS_PATH: ClassVar = ["dialog.tcss", "pick.tcss"]

    def __init__(self, current: int | None) -> None:
        super().__init__()
        self._current = current

    def body(self) -> Iterable[Widget]:
        for number, word in enumerate(_WORDS, 1):
            mark = "  ✓" if number == self._current else ""
            yield Plain(f"{number}  {'★' * number}{'☆' * (5 - number)}  {word}{mark}")

    def action_rate(self, rating: int) -> None:
        """This many."""
        self.dismiss(rating)
