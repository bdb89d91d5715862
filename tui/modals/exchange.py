"""Import of records: what would happen is shown, line by line, before anything is written."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from core.errors import ModelyardError
from core.events import Progress
from core.exchange.values import Imported
from core.registry.import_values import Decision, OnConflict, Outcome
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.operations import closing
from tui.show import problem, toned
from tui.widgets.columns import Cell, Column
from tui.widgets.fields import Choice, Field
from tui.widgets.paged_list import Chunk, PagedList
from tui.widgets.plain import Flow, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.worker import Worker

    from core.app import Modelyard
    from core.exchange.values import Preview, Reading

_SOURCES = (("A file", "file"), ("Ollama's store", "ollama"), ("Hugging Face's cache", "hf"))
_RULES = (
    ("keep what is there", OnConflict.SKIP.value),
    ("replace it", OnConflict.REPLACE.value),
    ("add under another name", OnConflict.RENAME.value),
    ("merge the fields", OnConflict.MERGE.value),
)
_TONES = {
    Outcome.ADD: ("+ add", "good"),
    Outcome.CHANGE: ("~ change", "busy"),
    Outcome.UNCHANGED: ("= unchanged", "dim"),
    Outcome.CONFLICT: ("! conflict", "warn"),
    Outcome.INVALID: ("✗ invalid", "bad"),
}
_FIRST = (Outcome.INVALID, Outcome.CONFLICT, Outcome.CHANGE, Outcome.ADD, Outcome.UNCHANGED)
_HINTS = {"file": "Enter looks", "ollama": "Empty: its own folder", "hf": "Empty: its own folder"}


class DecisionList(PagedList[Decision]):
    """What becomes of each record; what needs a look comes first."""

    COLUMNS = (
        Column("WHAT", 11),
        Column("NAME", 14, weight=2, most=40),
        Column("HOW", 20, weight=5),
        Column("AT", 5),
    )

    def __init__(self) -> None:
        super().__init__(id="decisions")
        self._decisions: Sequence[Decision] = ()

    async def take(self, decisions: Sequence[Decision]) -> None:
        """Show these."""
        self._decisions = sorted(decisions, key=lambda one: _FIRST.index(one.outcome))
        await self.reload()

    async def fetch(self, offset: int, limit: int) -> Chunk[Decision]:
        return Chunk(self._decisions[offset : offset + limit], len(self._decisions))

    def row_id(self, row: Decision) -> str:
        return f"{row.incoming.kind} {row.name} {row.incoming.line} {row.incoming.where}"

    def cells(self, row: Decision) -> tuple[Cell, ...]:
        text, tone = _TONES[row.outcome]
        name = row.incoming.name or "-"
        return Cell(text, tone), Cell(name), Cell(_how(row), "dim"), Cell(str(row.incoming.line or ""), "dim")


class ImportDialog(Dialog[Imported | None]):
    """Source and rule, preview, result; the result is what was imported, or None."""

    HEADING = "Import records"
    AUTO_FOCUS = "#field-path TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "exchange.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, yard: Modelyard) -> None:
        super().__init__()
        self._yard = yard
        self._reading: Reading | None = None
        self._preview: Preview | None = None
        self._done: Imported | None = None
        self._busy = self._writing = False
        self._work: Worker[None] | None = None
        self._told = ""

    def body(self) -> Iterable[Widget]:
        yield Field("source", "From", Choice(_SOURCES, "file"), hint="JSON, YAML, TOML, CSV, LiteLLM")
        yield Field("path", "Path", TextField(placeholder="models.yaml"), hint=_HINTS["file"])
        yield Field("rule", "If it is there", Choice(_RULES, OnConflict.SKIP.value), hint="With other values")
        yield DecisionList()
        with Horizontal(id="progress"):
            yield Spinner()
            yield Flow(id="outcome")
        with Horizontal(id="buttons"):
            yield button("Close", "close")
            yield button("Look", "look")
            yield button("Import", "import", disabled=True)

    def _value(self, key: str) -> str:
        return str(self.query_one(f"#field-{key}", Field).value).strip()

    @property
    def _path(self) -> Path:
        return Path(self._value("path")).expanduser()

    def on_mount(self) -> None:
        self.query_one(DecisionList).say(
            "What would happen is shown here first.\n\nKeys are never read, only their names."
        )

    @on(Button.Pressed, "#button-close")
    def close_pressed(self) -> None:
        """Leave."""
        self.action_cancel()

    def action_cancel(self) -> None:
        """Close; an import stops after the batch it is at. What is imported stays, and can be undone."""
        if self._work is not None and self._writing:
            self._work.cancel()
            self.modelyard.toast("The import was stopped; u takes back what is there.", tone="warning")
        self.dismiss(self._done)

    @on(Select.Changed, "#field-source Choice")
    def source_chosen(self) -> None:
        """Another source is looked at anew."""
        self.query_one("#field-path", Field).hint(_HINTS[self._value("source")])
        self._forget()

    @on(Input.Changed, "#field-path TextField")
    def path_typed(self) -> None:
        """The preview is of another file."""
        self._forget()

    def _forget(self) -> None:
        self._reading = self._preview = None
        self.query_one("#button-import", Button).disabled = True

    @on(Select.Changed, "#field-rule Choice")
    def rule_chosen(self) -> None:
        """The same records by another rule."""
        if self._reading is not None and not self._busy and self._done is None:
            self._start(self._decide())

    @on(Input.Submitted)
    @on(Button.Pressed, "#button-look")
    def look(self) -> None:
        """Read, and show what would happen."""
        missing = self._value("source") == "file" and not self._value("path")
        self.query_one("#field-path", Field).complain("Required." if missing else "")
        if not missing:
            self._start(self._look())

    @on(Button.Pressed, "#button-import")
    def import_pressed(self) -> None:
        """Write."""
        self.action_submit()

    def action_submit(self) -> None:
        """Look first, then import, then close."""
        if self._done is not None:
            self.dismiss(self._done)
        elif self._preview is None:
            self.look()
        elif self._preview.writes:
            self._start(self._apply(self._preview))

    def _start(self, work: Coroutine[object, object, None]) -> None:
        if self._busy:
            work.close()
            return
        self._busy = True
        self._work = self.modelyard.guard(self._working(work), group="exchange")

    async def _working(self, work: Coroutine[object, object, None]) -> None:
        spinner = self.query_one(Spinner)
        spinner.start()
        try:
            await work
        except ModelyardError as error:
            self._show_error(error)
        finally:
            self._busy = self._writing = False
            if spinner.is_mounted:
                spinner.stop()

    def _show_error(self, error: ModelyardError) -> None:
        self.query_one("#outcome", Flow).flow(lambda room: problem(error, room))

    async def _look(self) -> None:
        self._forget()
        self._say("Reading…")
        self._reading = await self._read()
        await self._decide()

    async def _read(self) -> Reading:
        exchange, source, path = self._yard.exchange, self._value("source"), self._path
        if source == "file":
            return await exchange.read_file(str(path))
        folder = path if self._value("path") else None
        return await (exchange.read_ollama(folder) if source == "ollama" else exchange.read_hf_cache(folder))

    async def _decide(self) -> None:
        if self._reading is None:
            return
        preview = await self._yard.exchange.preview(self._reading, OnConflict(self._value("rule")))
        self._preview = preview
        self._told = "\n".join([_counted(preview), *preview.notes[:2]])
        await self.query_one(DecisionList).take(preview.decisions)
        self._say_selected()
        write = self.query_one("#button-import", Button)
        write.disabled = not preview.writes
        self.set_focus(write if preview.writes else self.query_one(DecisionList))

    @on(PagedList.Selected)
    def _say_selected(self) -> None:
        """What is wrong with the selected record, in full."""
        if self._preview is None or self._done is not None:
            return
        selected = self.query_one(DecisionList).selected
        place = f" ({selected.incoming.place})" if selected is not None and selected.incoming.line else ""
        detail = f"\n{_how(selected)}{place}" if selected is not None and _how(selected) else ""
        self._say(self._told + detail)

    async def _apply(self, preview: Preview) -> None:
        self._writing = True
        async with closing(self._yard.exchange.apply(preview)) as events:
            async for event in events:
                if isinstance(event, Progress):
                    self._say(f"Importing {event.done:,} of {event.total:,}")
                elif isinstance(event, Imported):
                    self._finished(event)

    def _finished(self, done: Imported) -> None:
        self._done = done
        told = ", ".join(f"{count:,} {_TOLD.get(name, name)}" for name, count in done.counts.items() if count)
        self._say(f"Imported: {told}. u on the list takes it all back.", "good")
        self.query_one("#button-import", Button).disabled = True
        self.set_focus(self.query_one("#button-close", Button))

    def _say(self, text: str, tone: str = "") -> None:
        self.query_one("#outcome", Flow).flow(lambda _room: toned(text, tone))


_TOLD = {"add": "added", "change": "changed", "conflict": "left alone"}


def _counted(preview: Preview) -> str:
    words = {Outcome.ADD: "to add", Outcome.CHANGE: "to change", Outcome.CONFLICT: "in conflict (kept)"}
    counts = preview.counts.items()
    told = ", ".join(f"{count:,} {words.get(outcome, outcome.value)}" for outcome, count in counts if count)
    return told or "There are no records in it."


def _how(one: Decision) -> str:
    kind = one.incoming.kind if one.incoming.kind != "model" else ""
    return "; ".join(part for part in (kind, one.how) if part)
