"""First contact with a host: compare the fingerprint of its key before anything is sent there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import block
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from textual.binding import BindingType


class FingerprintDialog(Dialog[str | None]):
    """The accepted fingerprint, or None. The safe answer has the focus."""

    HEADING = "Unknown host key"
    KEYS = ("confirm",)
    AUTO_FOCUS = "#button-no"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("confirm")]

    def __init__(self, host: str, fingerprints: Sequence[str]) -> None:
        super().__init__()
        self._host = host
        self._fingerprints = fingerprints

    def body(self) -> Iterable[Widget]:
        yield Plain(f"This is the first contact with {clean_line(self._host)}. It shows:", classes="lead")
        yield Plain()
        yield Plain(block("\n".join(f"  {clean_line(shown)}" for shown in self._fingerprints)))
        yield Plain()
        yield Plain(
            "Compare with the host's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n"
            "If they differ, someone may be between you and the host: don't accept.",
            classes="muted",
        )
        with Horizontal(id="buttons"):
            yield button("Don't accept", "no")
            yield button("They match, accept", "yes")

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.action_answer(event.button.id == "button-yes")

    def action_answer(self, yes: bool) -> None:
        """The first fingerprint stands for the key; the host shows it again when the key is stored."""
        self.dismiss(self._fingerprints[0] if yes and self._fingerprints else None)
