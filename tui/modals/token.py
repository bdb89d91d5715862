"""A token for one download (D11): typed hidden, held in memory, never written down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input

from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import line, problem
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.errors import ModelyardError

_ROOM = 68  # cells


class TokenDialog(Dialog[str | None]):
    """The token, or None."""

    HEADING = "Token"
    AUTO_FOCUS = "#field-token TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, source: str, error: ModelyardError) -> None:
        super().__init__()
        self._source = source
        self._error = error

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._source), classes="lead")
        yield Plain(problem(self._error, _ROOM))
        with Vertical(classes="fields"):
            yield Field("token", "Token *", TextField(password=True), hint="Never shown, never written down")
        yield Plain("It is held in memory until the download is over, and goes to this source alone.", classes="muted")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Go on", "go")

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-go")
    def action_submit(self) -> None:
        """Take it."""
        field = self.query_one("#field-token", Field)
        token = field.query_one(TextField).value.strip()
        if token:
            self.dismiss(token)
        else:
            field.complain("Required.")
