"""A question before something is lost: it names what, and the safe answer has the focus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import line
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.binding import BindingType


class ConfirmDialog(Dialog[bool]):
    """True when the user said yes; Escape is no."""

    HEADING = "Are you sure?"
    KEYS = ("confirm",)
    AUTO_FOCUS = "#button-no"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("confirm")]

    def __init__(self, question: str, *, details: list[str], yes: str) -> None:
        super().__init__()
        self._question = question
        self._details = details
        self._yes = yes

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._question), classes="lead")
        yield Plain()
        yield Plain(Content("\n").join(line(detail) for detail in self._details))
        with Horizontal(id="buttons"):
            yield button("No", "no")
            yield button(self._yes, "yes")

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "button-yes")

    def action_answer(self, yes: bool) -> None:
        """A key is an answer."""
        self.dismiss(yes)
