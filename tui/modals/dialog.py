"""What every dialog shares: a frame with a fixed title, content from outside inside it, and its keys below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from tui.widgets.chrome import KeyBar

if TYPE_CHECKING:
    from tui.app import ModelyardApp

ResultT = TypeVar("ResultT")


class Dialog(ModalScreen[ResultT], Generic[ResultT]):
    """A modal screen; `HEADING` is fixed text, since titles are parsed as markup."""

    CSS_PATH: ClassVar = ["dialog.tcss"]
    HEADING: ClassVar[str] = ""
    KEYS: ClassVar[tuple[str, ...]] = ("form",)

    @property
    def modelyard(self) -> ModelyardApp:
        """The app, in its own type."""
        return cast("ModelyardApp", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as frame:
            frame.border_title = self.HEADING
            yield from self.body()
            yield KeyBar(*self.KEYS)

    def on_screen_resume(self) -> None:
        """The dialog has the focus: keys that waited for it come now."""
        self.call_after_refresh(self.modelyard.release_keys)

    def body(self) -> Iterable[Widget]:
        """What stands in the frame."""
        raise NotImplementedError

    def why_not(self, key_id: str) -> str:
        """Why a key can't be used now; "" when it can."""
        return ""

    def action_cancel(self) -> None:
        """Close without a result."""
        self.dismiss(None)

    def action_submit(self) -> None:
        """Go on; the dialogs that have a next step say what it is."""


def button(label: str, name: str, *, disabled: bool = False) -> Button:
    """A button of one line; the label is our own text."""
    return Button(label, id=f"button-{name}", compact=True, disabled=disabled)
