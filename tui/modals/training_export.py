"""A training tool's config whose base model is an installed one (D10): seen first, then written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from core.errors import InvalidInput, ModelyardError, Refused
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from core.training.families import FAMILIES
from tui import operations
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import block, line, problem, toned
from tui.widgets.fields import Choice, Field
from tui.widgets.plain import Flow, Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles
    from core.training.export import Recipe

_BY_NAME = ""


class TrainingExportDialog(Dialog[str | None]):
    """The path of the file that was written, or None."""

    HEADING = "Config for training"
    AUTO_FOCUS = "#field-dataset TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, yard: Modelyard, model: InstalledModel, files: ModelFiles) -> None:
        super().__init__()
        self._yard = yard
        self._model = model
        self._files = files

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._model.title), classes="lead")
        yield Plain(f"A LoRA training with AI Toolkit, on the installed files{self._where}.", classes="muted")
        families = [("told by its names", _BY_NAME), *((name, name) for name in FAMILIES)]
        with Vertical(classes="fields"):
            yield Field("dataset", "Pictures", TextField(placeholder=f"folder of pictures and captions{self._where}"))
            yield Field("name", "Called", TextField(placeholder="after the model"))
            yield Field("family", "Family", Choice(families, _BY_NAME))
            yield Field("out", "Into *", TextField(str(Path.cwd() / "training.yaml")))
        with VerticalScroll(id="seen", classes="fields"):
            yield Flow(id="listing")
        with Horizontal(id="buttons"):
            yield button("Close", "close")
            yield button("Look", "look")
            yield button("Write", "write")

    @property
    def _is_here(self) -> bool:
        return self._files.host == LOCAL_HOST

    @property
    def _where(self) -> str:
        return "" if self._is_here else f" on {clean_line(self._files.host)}"

    def on_mount(self) -> None:
        self.look()

    def _text(self, key: str) -> str:
        return str(self.query_one(f"#field-{key}", Field).value).strip()

    async def _recipe(self) -> Recipe | None:
        """None when it can't be made; why is said."""
        from core.training.export import prepared

        said = {"family": self._text("family"), "name": self._text("name")}
        for key in ("name", "family", "dataset", "out"):
            self.query_one(f"#field-{key}", Field).complain("")
        try:
            said["dataset"] = self._pictures()
            return await prepared(self._files, self._yard.catalog, self._model, **said)
        except InvalidInput as error:
            self._complain(error)
        except ModelyardError as error:
            self._show_problem(error)
        return None

    def _pictures(self) -> str:
        """Where they are on the host that trains.

        Raises:
            InvalidInput: it is not a whole path there.
        """
        folder = self._text("dataset")
        if self._is_here or not folder or folder.startswith("/"):
            return _whole(folder) if self._is_here else folder
        raise InvalidInput({"dataset": f"A whole path{self._where} is needed, such as /data/pictures."})

    def _complain(self, error: InvalidInput) -> None:
        """Beside the fields; what is of none of them below."""
        for key, text in error.fields.items():
            for field in self.query(f"#field-{key}").results(Field):
                field.complain(text)
        if all(self.query(f"#field-{key}") for key in error.fields):
            self.query_one(Flow).flow(lambda _: Content())
        else:
            self._show_problem(error)

    def _show_problem(self, error: ModelyardError) -> None:
        self.query_one(Flow).flow(lambda room: problem(error, room))

    @on(Button.Pressed, "#button-look")
    def look(self) -> None:
        """Show what would be written."""
        self.modelyard.guard(self._look, group="look", exclusive=True)

    async def _look(self) -> None:
        if not self._is_here:
            self.query_one(Flow).flow(lambda _: toned(f"Asking {clean_line(self._files.host)}…", "dim"))
        if (made := await self._recipe()) is not None:
            notes = [toned(f"! {note}", "warn") for note in made.notes]
            self.query_one(Flow).flow(lambda _: Content("\n").join([*notes, block(made.text)]))

    @on(Button.Pressed, "#button-close")
    def close_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Button.Pressed, "#button-write")
    def action_submit(self) -> None:
        """Write it; over a file that is there only after a question."""
        self.modelyard.guard(self._write(), group="write", hold=True)

    async def _write(self) -> None:
        from core.training.export import write

        made, target = await self._recipe(), _whole(self._text("out"))
        if made is None or not target:
            return
        try:
            await asyncio.to_thread(write, made, Path(target))
        except Refused:
            details = ["What stands in it now is lost."]
            if not await operations.confirm(self.modelyard, f"Write over {target}?", details=details, yes="Write"):
                return
            await asyncio.to_thread(write, made, Path(target), force=True)
        except ModelyardError as error:
            self._show_problem(error)
            return
        self.dismiss(target)


def _whole(text: str) -> str:
    """An absolute path, or "" for none."""
    return str(Path(text).expanduser().absolute()) if text else ""
