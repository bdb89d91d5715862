"""The files of a host (L9, X8): folders to walk through, what a model there is, and the host's models folder."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from core.files.kinds import Kind, kind_of
from core.files.stores import LABELS
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.show import hanging, line, pairs, plural, problem, size, toned
from tui.widgets.chrome import KeyBar
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList
from tui.widgets.plain import Flow, Plain

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.files.installed import InstalledModel
    from core.files.values import ModelInfo
    from core.hosts.connection import Connection
    from core.registry.records import Host

_WORDS = {
    Kind.TENSORS: ("model file", "good"),
    Kind.PICKLE: ("pickle", "warn"),
    Kind.CODE: ("program code", "warn"),
    Kind.TEXT: ("text", "dim"),
    Kind.UNKNOWN: ("", "dim"),
}
_HINT = "Enter opens a folder, and tells what a model file is."
_NEEDS_LINE = frozenset({"open", "inspect", "model"})


@dataclass(frozen=True)
class Place:
    """A line: a folder, a file, or a model that another tool keeps; size in bytes."""

    path: str
    shown: str
    size: int = 0
    is_dir: bool = False
    model: InstalledModel | None = None


class PlaceList(PagedList[Place]):
    """The entries of one folder, and at the top what other tools keep."""

    COLUMNS = (Column("NAME", 24, weight=9, most=90), Column("SIZE", 9, right=True), Column("WHAT", 22))

    def __init__(self) -> None:
        super().__init__(id="places")
        self.places: Sequence[Place] = ()

    async def fetch(self, offset: int, limit: int) -> Chunk[Place]:
        return Chunk(self.places[offset : offset + limit], len(self.places))

    def row_id(self, row: Place) -> str:
        return row.path

    def cells(self, row: Place) -> tuple[Cell, ...]:
        if row.model is not None:
            return Cell(row.shown), Cell(size(row.size)), Cell(LABELS[row.model.store], "dim")
        if row.is_dir:
            return Cell(f"{row.shown}/"), Cell("-", "dim"), Cell("folder", "dim")
        return Cell(row.shown), Cell(size(row.size)), Cell(*_WORDS[kind_of(row.path)])


class HostFilesDialog(Dialog[str | None]):
    """The id of a model that was added, or None."""

    HEADING = "Files"
    KEYS = ("host_files",)
    AUTO_FOCUS = "#places"
    CSS_PATH: ClassVar = ["dialog.tcss", "host_files.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("host_files")]

    def __init__(self, yard: Modelyard, host: Host) -> None:
        super().__init__()
        self._yard = yard
        self._host = host
        self._folder = host.models_dir or "/"
        self._stores: list[Place] | None = None
        self._list = PlaceList()
        self._inspected: str | None = None  # the line that is told of below

    def body(self) -> Iterable[Widget]:
        yield Plain(f"Files of {self._host.name}", classes="lead")
        yield Plain(id="where", classes="muted")
        yield self._list
        with VerticalScroll(id="details", can_focus=False):
            yield Flow(id="lines")

    @property
    def _connection(self) -> Connection:
        return self._yard.hosts.connection(self._host)

    def on_mount(self) -> None:
        self._go(self._folder)

    # Walking

    def _go(self, folder: str, *, select: str = "") -> None:
        self._list.say("Looking…")
        self.modelyard.guard(lambda: self._load(folder, select), group="files", exclusive=True)

    async def _load(self, folder: str, select: str) -> None:
        self._tell(_HINT)
        try:
            entries = await self._connection.listdir(folder)
        except ModelyardError as error:
            failure = error
            self._list.places = ()
            self._show_where(folder)
            await self._list.reload()
            self._list.say("Nothing can be listed here.")
            self.query_one(Flow).flow(lambda room: problem(failure, room))
            return
        places = [Place(one.path, posixpath.basename(one.path), one.size, one.is_dir) for one in entries]
        places = [place for place in places if not place.shown.startswith(".")]
        places.sort(key=lambda place: (not place.is_dir, place.shown.casefold()))
        self._show_where(folder)
        await self._put(places, select or None)
        self._list.say("An empty folder.")
        if folder == self._host.models_dir:
            await self._put([*places, *await self._kept()], self._list.selected_id)

    async def _put(self, places: Sequence[Place], select: str | None) -> None:
        self._list.places = places
        await self._list.reload(select=select)
        self.query_one(KeyBar).renew()

    async def _kept(self) -> list[Place]:
        """What other tools keep on the host, asked once, after the folder is shown."""
        if self._stores is None:
            from core.hosts import stores_there

            found = await stores_there.read(self._connection)
            self._stores = [Place(one.path, clean_line(one.title), one.size, model=one) for one in found]
        return self._stores

    def _show_where(self, folder: str) -> None:
        self._folder = folder
        mark = "  (the models folder)" if folder == self._host.models_dir else ""
        self.query_one("#where", Plain).show(f"{clean_line(folder)}{mark}")

    def _tell(self, text: str) -> None:
        self.query_one(Flow).flow(lambda _room: toned(text, "dim"))

    def on_paged_list_selected(self) -> None:
        """What is told below may be of another line."""
        if self._inspected != self._list.selected_id:
            self._tell(_HINT)
        self.query_one(KeyBar).renew()

    def why_not(self, key_id: str) -> str:
        action = key_id.removeprefix("host_files.")
        if action in _NEEDS_LINE and self._list.selected is None:
            return "Nothing is selected."
        if action == "up" and self._folder == "/":
            return "This is the top."
        if action == "base" and self._folder == self._host.models_dir:
            return "It is the models folder already."
        return ""

    def _refused(self, action: str) -> bool:
        if reason := self.why_not(f"host_files.{action}"):
            self.modelyard.toast(reason, tone="warning")
        return bool(reason)

    def action_open(self) -> None:
        """Into a folder; of a file, what it is."""
        place = self._list.selected
        if place is not None and place.is_dir:
            self._go(place.path)
        else:
            self.action_inspect()

    def action_up(self) -> None:
        """To the folder above."""
        if not self._refused("up"):
            self._go(posixpath.dirname(self._folder), select=self._folder)

    # Models

    def action_inspect(self) -> None:
        """What the selected file or folder is, from its headers."""
        if not self._refused("inspect"):
            self._inspected = self._list.selected_id
            self._tell("Reading headers…")
            self.modelyard.guard(self._inspect, group="inspect", exclusive=True)

    async def _inspect(self) -> None:
        place = self._list.selected
        assert place is not None
        try:
            info = await self._info(place)
        except ModelyardError as error:
            failure = error
            self.query_one(Flow).flow(lambda room: problem(failure, room))
            return
        if self._inspected == self._list.selected_id:
            self.query_one(Flow).flow(lambda room: described(info, room))

    async def _info(self, place: Place) -> ModelInfo:
        from core.files.inspect import inspect_model

        return await inspect_model(self._connection, place.path, here=self._host.name == LOCAL_HOST, scan=True)

    def action_model(self) -> None:
        """A record of it, used where it lies."""
        if not self._refused("model"):
            self.modelyard.guard(self._model(), hold=True)

    async def _model(self) -> None:
        from core.files.registering import record_values
        from tui.modals.installed_form import InstalledForm

        place = self._list.selected
        assert place is not None
        values = record_values(await self._info(place), host=self._host.name, model=place.model)
        added = await self.app.push_screen_wait(InstalledForm(self._yard, place.shown, values))
        if added is not None:
            self.dismiss(added)

    def action_base(self) -> None:
        """Let this folder be the host's models folder."""
        if not self._refused("base"):
            self.modelyard.guard(self._set_base(), hold=True)

    async def _set_base(self) -> None:
        from core.hosts.base_dir import set_base_dir

        self._host = await set_base_dir(self._yard.registry, self._yard.settings, self._host.name, self._folder)
        later = " from the next start on" if self._host.name == LOCAL_HOST else ""
        self.modelyard.toast(f"The models folder of {self._host.name} is {clean_line(self._folder)}{later}", timeout=8)
        self._show_where(self._folder)
        self.query_one(KeyBar).renew()


def described(info: ModelInfo, room: int) -> Content:
    """What headers say, a fact to a line, and what is wrong first."""
    parts, expected = info.split or (0, 0)
    facts = [
        ("Format", " ".join(filter(None, (info.format, info.architecture, info.quantization)))),
        ("Parameters", f"{info.parameters:,}" if info.parameters else ""),
        ("Tensors", f"{size(info.weights_bytes)}, {plural(len(info.files), 'file')}"),
        ("Parts", f"{parts} of {expected}" if info.split else ""),
        ("Context", f"{info.context_length:,} tokens" if info.context_length else ""),
        ("Layers", f"{info.layers}, {info.heads or '?'} heads, {info.kv_heads or '?'} of KV" if info.layers else ""),
        ("Tokenizer", _yes(info.has_tokenizer, info)),
        ("Chat template", _yes(info.has_chat_template, info)),
        ("Adapter", " of ".join(filter(None, (info.extra.get("adapter"), info.extra.get("base_model"))))),
        ("Components", info.extra.get("components", "")),
    ]
    told = [hanging(toned("✗ ", "bad"), line(text), room) for text in info.problems]
    told += [hanging(toned("! ", "warn"), line(text), room) for text in info.warnings]
    told.append(pairs([(label, line(text)) for label, text in facts if text], room, width=15))
    return Content("\n").join(told)


def _yes(has: bool, info: ModelInfo) -> str:
    """Of a model that talks."""
    return "" if info.format in {"pickle", "diffusers"} else "yes" if has else "no"
