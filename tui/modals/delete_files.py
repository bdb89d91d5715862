"""Delete model files (L8): what goes and how much is named; what was put there by hand is typed to be meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input

from core.registry.values import LOCAL_HOST
from tui.keys import bindings
from tui.modals.confirm import ConfirmDialog
from tui.modals.dialog import Dialog, button
from tui.show import line, plural, size, toned
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.app import App
    from textual.binding import BindingType

    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles

_MOST_NAMED = 5
_KEPT = "Kept: other files there, and records of models; those that point here find nothing then."


async def may_delete(app: App[Any], models: Sequence[InstalledModel], files: ModelFiles) -> bool:
    """Ask; True when the user said yes. What one put there by hand has to be called by its path."""
    by_hand = next((model for model in models if model.by_hand), None)
    where = "" if files.host == LOCAL_HOST else f" of {files.host}"
    details = _details(models, f"{files.folder}{where and f' on {files.host}'}")
    if by_hand is not None:
        said = await app.push_screen_wait(ByHandDialog(by_hand.path, details, disk=f"the disk{where}"))
        return said is True
    what = models[0].path if len(models) == 1 else plural(len(models), "model")
    return await app.push_screen_wait(
        ConfirmDialog(f"Delete the files of {what} from the disk{where}?", details=details, yes="Delete")
    )


def _details(models: Sequence[InstalledModel], folder: str) -> list[str]:
    count, amount = sum(len(model.files) for model in models), sum(model.size for model in models)
    names = [f"{model.path}, {size(model.size)}" for model in models]
    if len(models) == 1:
        names = [f"{file['path']}, {size(int(file['size']))}" for file in models[0].files]
    rest = len(names) - _MOST_NAMED
    return [
        f"Deleted for good: {plural(count, 'file')}, {size(amount)}, in {folder}",
        *(f"  {name}" for name in names[:_MOST_NAMED]),
        *([f"  and {rest:,} more"] if rest > 0 else []),
        _KEPT,
    ]


class ByHandDialog(Dialog[bool | None]):
    """True once the path was typed exactly: no download put these files there, so none can bring them back."""

    HEADING = "Put there by hand"
    AUTO_FOCUS = "#field-path TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, path: str, details: Sequence[str], *, disk: str) -> None:
        super().__init__()
        self._path = path
        self._disk = disk
        self._details = details

    def body(self) -> Iterable[Widget]:
        yield Plain(line(f"Delete {self._path} from {self._disk}?"), classes="lead")
        yield Plain(toned("Somebody put it there by hand: nothing can fetch it again.", "warn"))
        yield Plain(Content("\n").join(line(detail) for detail in self._details))
        with Vertical(classes="fields"):
            yield Field("path", "Its path *", TextField(placeholder="type it to delete it"))
        with Horizontal(id="buttons"):
            yield button("No", "no")
            yield button("Delete", "yes")

    @on(Button.Pressed, "#button-no")
    def refused(self) -> None:
        """Leave it."""
        self.action_cancel()

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-yes")
    def action_submit(self) -> None:
        """Only what is called by its path."""
        field = self.query_one("#field-path", Field)
        if str(field.value).strip() == self._path:
            self.dismiss(True)
        else:
            field.complain("That is not its path.")
