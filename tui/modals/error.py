"""What went wrong, the likely cause, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from core.errors import ModelyardError, PlanRefused
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import block, pairs, toned
from tui.widgets.plain import Flow, Plain


class ErrorDialog(Dialog[None]):
    """Shows an error of the core."""

    HEADING = "That didn't work"
    KEYS = ("read",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("read")]
    AUTO_FOCUS = "#button-close"

    def __init__(self, error: ModelyardError) -> None:
        super().__init__()
        self.error = error

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(classes="fields"):
            yield Plain(Content.assemble(toned("✗ ", "bad"), block(self.error.message).stylize("bold")))
            yield Plain()
            yield Flow(id="rest")
        with Horizontal(id="buttons"):
            yield button("Close", "close")

    def on_mount(self) -> None:
        self.query_one(Flow).flow(self._rest)

    def _rest(self, room: int) -> Content:
        rows: list[tuple[str, Content | str]] = [("Cause", self.error.cause), ("What to do", self.error.remedy)]
        if isinstance(self.error, PlanRefused):
            rows += [(str(found.get("severity", "")), str(found.get("reason", ""))) for found in self.error.findings]
        return pairs(rows, room)

    @on(Button.Pressed)
    def action_submit(self) -> None:
        """Seen."""
        self.dismiss(None)
