"""Export of one's own records into a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input

from core.errors import ModelyardError
from core.exchange.values import KINDS, Format
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import plural, problem, toned
from tui.widgets.fields import Choice, Field
from tui.widgets.plain import Flow, Plain, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.registry.values import ModelQuery


class ExportDialog(Dialog[str | None]):
    """The path that was written, or None."""

    HEADING = "Export records"
    AUTO_FOCUS = "#field-path TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "exchange.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, yard: Modelyard, query: ModelQuery, shown: int) -> None:
        super().__init__()
        self._yard = yard
        self._query = query
        self._shown = shown
        self._busy = False
        self._over = ""  # the file that may be written over

    def body(self) -> Iterable[Widget]:
        which = [("all of mine", "all"), (f"those on the list ({self._shown:,})", "shown")]
        yield Plain("Your models, heads and regions; keys are only named, secrets left out.", classes="muted")
        with Vertical(classes="fields"):
            yield Field("path", "File *", TextField("models.yaml"), hint=".json, .yaml, .toml or .csv")
            yield Field("which", "Models", Choice(which, "all"), hint="CSV: models only")
        with Horizontal(id="progress"):
            yield Spinner()
            yield Flow(id="outcome")
        with Horizontal(id="buttons"):
            yield button("Close", "close")
            yield button("Export", "export")

    @on(Button.Pressed, "#button-close")
    def close_pressed(self) -> None:
        """Leave."""
        self.action_cancel()

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-export")
    def action_submit(self) -> None:
        """Write the file."""
        path = str(self.query_one("#field-path", Field).value).strip()
        known = Format.of(path)
        problem = "" if known else "Must end in .json, .yaml, .toml or .csv."
        self.query_one("#field-path", Field).complain(problem if path else "Required.")
        if known and not self._busy:
            self._busy = True
            self.modelyard.guard(self._export(str(Path(path).expanduser()), known), group="exchange")

    async def _export(self, path: str, form: Format) -> None:
        spinner = self.query_one(Spinner)
        spinner.start()
        try:
            await self._write(path, form)
        except ModelyardError as error:
            failed = error
            self.query_one("#outcome", Flow).flow(lambda room: problem(failed, room))
        finally:
            self._busy = False
            if spinner.is_mounted:
                spinner.stop()

    async def _write(self, path: str, form: Format) -> None:
        there = await asyncio.to_thread(Path(path).exists)
        if there and self._over != path:
            self._over = path
            self._say("The file is there already: once more to write over it.", "warn")
            return
        some = str(self.query_one("#field-which", Field).value) == "shown"
        kinds = ("models",) if some or form is Format.CSV else KINDS
        done = await self._yard.exchange.export_file(path, form, query=self._query if some else None, kinds=kinds)
        left = f"; left out as secrets: {len(done.left_out)}" if done.left_out else ""
        counted = ", ".join(plural(count, kind.removesuffix("s")) for kind, count in done.counts.items())
        self.modelyard.toast(f"Wrote {counted} to {path}{left}", timeout=8)
        self.dismiss(path)

    def _say(self, text: str, tone: str = "") -> None:
        self.query_one("#outcome", Flow).flow(lambda _room: toned(text, tone))
