"""The limit on bandwidth (D6): one field; what runs takes the new one and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input

from core.downloads.limits import OFF, read_rate
from core.errors import InvalidInput
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.downloads.limits import ChosenLimits

_ABOUT = (
    "For downloads and copies from here together, and on each host for what it downloads by itself. What is under way "
    "takes it within two seconds."
)


class LimitDialog(Dialog[str | None]):
    """The rate as it was typed, or None."""

    HEADING = "Limit on bandwidth"
    AUTO_FOCUS = "#field-rate TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, limits: ChosenLimits) -> None:
        super().__init__()
        self._limits = limits

    def body(self) -> Iterable[Widget]:
        now = self._limits.rate if self._limits.bytes_per_s else "no limit"
        yield Plain(f"Now: {now}", classes="lead")
        with Vertical(classes="fields"):
            field = TextField(self._limits.rate if self._limits.bytes_per_s else "")
            yield Field("rate", "At most", field, hint="like 50MB/s or 100Mbit/s")
        yield Plain(_ABOUT, classes="muted")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("No limit", "off")
            yield button("Set", "set")

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Button.Pressed, "#button-off")
    def off_pressed(self) -> None:
        """As fast as the line is."""
        self.dismiss(OFF)

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-set")
    def action_submit(self) -> None:
        """Take what is typed, if it is a rate."""
        field = self.query_one("#field-rate", Field)
        typed = str(field.raw).strip()
        try:
            read_rate(typed)
        except InvalidInput as error:
            field.complain(f"{error.fields['rate']}. {error.remedy}")
        else:
            self.dismiss(typed)
