"""Who changed what and when; the selected change is taken back, an undo is done again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import NotFound
from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.show import moment, toned
from tui.widgets.chrome import KeyBar
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList
from tui.widgets.plain import Flow, Plain

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.registry.changes import Undone
    from core.registry.history import Batch
    from core.registry.records import Change
    from tui.app import ModelyardApp

_LINES = 50  # of one action, below the list
_LONGEST = 60  # characters of a value


async def take_back(
    app: ModelyardApp, batch: str | None = None, *, redo: bool = False, kinds: Sequence[str] = ()
) -> Undone | None:
    """Undo, and say what was taken back; where there is nothing, say that. `kinds`: the newest change of these."""
    if app.yard is None:
        return None
    try:
        done = await app.yard.registry.undo(batch, redo=redo, kinds=kinds)
    except NotFound as error:
        app.toast(error.message, tone="warning")
        return None
    lost = "".join(f"\nNot brought back, a secret: {name}" for name in done.lost)
    said = "Did again" if done.redone else "Took back"
    app.toast(f"{said}: {done.batch.text.removeprefix('took back: ')}{lost}", timeout=8)
    return done


class HistoryList(PagedList["Batch"]):
    """Actions, the newest first."""

    COLUMNS = (Column("WHEN", 16), Column("WHO", 12, weight=1, most=24), Column("WHAT", 24, weight=9))

    def __init__(self, yard: Modelyard, ref: str | None) -> None:
        super().__init__(id="changes")
        self._yard = yard
        self._ref = ref

    async def fetch(self, offset: int, limit: int) -> Chunk[Batch]:
        registry = self._yard.registry
        rows = await registry.batches(self._ref, limit=limit, offset=offset)
        return Chunk(rows, await registry.count_batches(self._ref))

    def row_id(self, row: Batch) -> str:
        return row.id

    def cells(self, row: Batch) -> tuple[Cell, ...]:
        tone = "dim" if row.taken_back or row.undoes else ""
        text = f"{clean_line(row.text)}{' (taken back)' if row.taken_back else ''}"
        return Cell(moment(row.at), "dim"), Cell(row.who, "dim"), Cell(text, tone)


class HistoryDialog(Dialog[None]):
    """All changes of records, or those of one model."""

    HEADING = "History"
    KEYS = ("history",)
    AUTO_FOCUS = "#changes"
    CSS_PATH: ClassVar = ["dialog.tcss", "history.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("history")]

    def __init__(self, yard: Modelyard, ref: str | None = None, name: str = "") -> None:
        super().__init__()
        self._yard = yard
        self._list = HistoryList(yard, ref)
        self._name = name

    def body(self) -> Iterable[Widget]:
        yield Plain(f"Changes of {self._name}" if self._name else "Changes of records", classes="lead")
        yield self._list
        with VerticalScroll(id="details", can_focus=False):
            yield Flow(id="lines")

    def on_mount(self) -> None:
        self._list.say("Reading…")
        self.modelyard.guard(self._load(), group="history")

    async def _load(self) -> None:
        await self._list.reload()
        self._list.say("Nothing was changed yet.")
        self.query_one(KeyBar).renew()

    def on_paged_list_selected(self) -> None:
        """Its lines follow the cursor."""
        self.modelyard.guard(self._show(), group="history-lines")

    async def _show(self) -> None:
        batch = self._list.selected
        if batch is None:
            return
        _, lines = await self._yard.registry.batch(batch.id, limit=_LINES)
        if self._list.selected_id == batch.id and self.is_mounted:
            self.query_one(Flow).flow(lambda _room: _told(batch, lines))
        self.query_one(KeyBar).renew()

    def why_not(self, key_id: str) -> str:
        batch = self._list.selected
        if key_id != "history.undo":
            return ""
        if batch is None:
            return "No change is selected."
        if not batch.mine:
            return f"It was done by {batch.who}."
        return "It is taken back already." if batch.taken_back else ""

    def action_undo(self) -> None:
        """Take back the selected action."""
        batch = self._list.selected
        if reason := self.why_not("history.undo"):
            self.modelyard.toast(reason, tone="warning")
        elif batch is not None:
            self.modelyard.guard(self._undo(batch.id), hold=True)

    async def _undo(self, batch: str) -> None:
        await take_back(self.modelyard, batch)
        await self._list.reload()
        await self._show()


def _told(batch: Batch, lines: Sequence[Change]) -> Content:
    parts = [_line(line) for line in lines]
    if batch.count > len(lines):
        parts.append(toned(f"… and {batch.count - len(lines):,} more", "dim"))
    return Content("\n").join(parts)


def _line(line: Change) -> Content:
    head = Content.assemble((f"{line.action} {line.kind} ", "$quiet"), (clean_line(line.name), "bold"))
    if line.action != "edited":
        return head
    before, after = line.before or {}, line.after or {}
    changes = [
        Content.assemble(
            (f"\n  {'metadata' if name == 'extra' else name}  ", "$quiet"),
            _short(before.get(name)),
            (" → ", "$quiet"),
            _short(value),
        )
        for name, value in after.items()
    ]
    return Content("").join([head, *changes])


def _short(value: object) -> str:
    text = clean_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or '""'
