"""Pick an installed model (D10): narrowed by typing, by type and by family; one whose files are gone can't be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget

from core.catalog.recognised import Kind, Recogniser
from core.errors import ModelyardError
from core.files.stores import LABELS
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from core.training.here import missing
from tui.keys import bindings
from tui.modals.choose import ChooseDialog, folded
from tui.modals.dialog import Dialog
from tui.modals.pick import PickDialog
from tui.show import line, named, plural, problem, size, toned
from tui.widgets.picker import Option
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.app import App
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles
    from tui.app import ModelyardApp

ResultT = TypeVar("ResultT")
_EVERY = ""
_PATH, _KIND = 36, 20  # cells
_HUB = "hf:"
_ROOM = 68  # cells


@dataclass(frozen=True)
class Row:
    """An installed model, and what it is."""

    model: InstalledModel
    kind: Kind

    @property
    def option(self) -> Option:
        """As the list shows it; its key is the path, and what other tools keep is called as they call it."""
        detail = f"{self.kind.family}, {self.kind.type}, {size(self.model.size)}, {self.model.store}"
        return Option(self.model.path, self.model.title if self.model.store else self.model.path, detail)


@dataclass(frozen=True)
class Picked:
    """An installed model, and the host whose files it is made of."""

    model: InstalledModel
    files: ModelFiles

    @property
    def host(self) -> str:
        """The host's name."""
        return self.files.host


async def pick_model(
    app: App[object],
    yard: Modelyard,
    *,
    heading: str = "Installed models",
    host: str = LOCAL_HOST,
    kind: str = _EVERY,
) -> Picked | None:
    """The installed model that is picked, None for none; `kind` is the type that is filtered by at first.

    Raises:
        FileProblem: what is installed here can't be read.
    """
    rows = await read_rows(yard, await yard.files_of(host)) if host == LOCAL_HOST else None
    if rows == [] and len(await yard.registry.hosts()) == 1:
        cast("ModelyardApp", app).toast("Nothing is installed yet: Downloads has a catalog.", tone="warning")
        return None
    picker = ModelPicker(yard, rows, heading=heading, host=host, kind=kind)
    return picker.taken if await app.push_screen_wait(picker) is not None else None


async def read_rows(yard: Modelyard, files: ModelFiles) -> list[Row]:
    """Everything that is installed on a host, by path, with family and type; then what other tools keep there."""
    models = sorted(await files.installed(), key=lambda one: one.path.casefold())
    models += await files.stores()
    offers = await yard.catalog.weights()

    def recognised() -> list[Row]:
        known = Recogniser(offers)
        return [Row(model, known.kind_of(model)) for model in models]

    return await asyncio.to_thread(recognised)


def base_name(picked: Picked) -> str:
    """How a model is called as another one's base: its repository, else its place."""
    model = picked.model
    repository = model.source.removeprefix(_HUB).partition("@")[0]
    return clean_line(repository) if model.source.startswith(_HUB) else str(picked.files.folder / model.path)


class PicksInstalled(Dialog[ResultT], Generic[ResultT]):
    """A dialog that asks for a model's files, and takes them from an installed model."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("installed_files")]
    PICK_HEADING: ClassVar[str] = "Installed models"

    def action_pick_installed(self) -> None:
        """Pick one, unless there is no field for it yet."""
        if reason := self.why_not("installed_files.pick"):
            self.modelyard.toast(reason, tone="warning")
        else:
            self.modelyard.guard(self._pick_installed(), hold=True)

    async def _pick_installed(self) -> None:
        yard = self.modelyard.yard
        assert yard is not None
        try:
            picked = await pick_model(self.app, yard, heading=self.PICK_HEADING, host=self.host_of_files())
            if picked is not None:
                await self.take_installed(picked)
        except ModelyardError as error:
            self.modelyard.toast(error.message, tone="error")

    def host_of_files(self) -> str:
        """The host whose models are shown at first."""
        return LOCAL_HOST

    async def take_installed(self, picked: Picked) -> None:
        """Fill in what the model tells."""
        raise NotImplementedError


class ModelPicker(ChooseDialog):
    """The path of the picked model, or None; `taken` is the model with its host."""

    KEYS = ("choose", "model_picker")
    AROUND = 13
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("model_picker")]
    CSS_PATH: ClassVar = ["dialog.tcss", "choose.tcss"]

    def __init__(
        self, yard: Modelyard, rows: Sequence[Row] | None, *, heading: str, host: str = LOCAL_HOST, kind: str = _EVERY
    ) -> None:
        super().__init__(heading, [])
        self._yard = yard
        self._host = host
        self._rows: dict[str, Row] = {}
        self._every: list[tuple[Option, str]] = []
        self._filter = Kind(_EVERY, kind)
        self._told = Content()  # in place of rows
        self._first = rows
        self.taken: Picked | None = None

    def body(self) -> Iterable[Widget]:
        yield from super().body()
        with Horizontal(id="below"):
            yield Plain(id="filter")
            yield Plain(id="count")
        yield Plain(id="about")

    def on_mount(self) -> None:
        if self._first is None:
            self._show_host(self._host)
        else:
            self._take_rows(self._first)

    # Of which host

    def action_host(self) -> None:
        """Choose the host whose models are listed."""
        self.modelyard.guard(self._choose_host(), hold=True)

    async def _choose_host(self) -> None:
        from tui.modals.host_picker import pick_host

        picked = await pick_host(self.app, self._yard, self._host)
        if picked is not None:
            self._show_host(picked)

    def _show_host(self, host: str) -> None:
        """Ask it; what is typed meanwhile narrows what comes."""
        self._host = host
        self._take_rows([])
        self._say(toned(f"Asking {named(host)}…", "dim"))
        self.modelyard.guard(self._read, group="there", exclusive=True)

    async def _read(self) -> None:
        try:
            self._take_rows(await read_rows(self._yard, await self._yard.files_of(self._host)))
        except ModelyardError as error:
            self._say(problem(error, _ROOM))

    def _say(self, text: Content) -> None:
        self._told = text
        self._draw()

    def _take_rows(self, rows: Sequence[Row]) -> None:
        self._rows = {row.model.path: row for row in rows}
        self._every = [folded(row.option) for row in rows]
        none = f"Nothing is installed on {named(self._host)}; ctrl+g goes to another host."
        self._told = Content() if rows else toned(none, "dim")
        kinds = {row.kind.type for row in rows}
        self._filter = Kind(_EVERY, self._filter.type if self._filter.type in kinds else _EVERY)
        self._at = 0
        self._narrow()
        self._draw()

    def _narrow(self) -> None:
        wanted = self._filter
        self._options = [
            pair
            for pair in self._every
            if wanted.family in {_EVERY, self._rows[pair[0].key].kind.family}
            and wanted.type in {_EVERY, self._rows[pair[0].key].kind.type}
        ]
        super()._narrow()

    def _draw(self) -> None:
        super()._draw()
        if not self._every:
            self.query_one("#options", Plain).show(self._told)
        chosen = f"type {self._filter.type or 'any'}   family {self._filter.family or 'any'}   on "
        self.query_one("#filter", Plain).show(
            Content.assemble(
                (chosen, "$text-accent" if any(self._words) else "$quiet"),
                line(named(self._host)).stylize("$quiet" if self._host == LOCAL_HOST else "$text-accent"),
            )
        )
        self.query_one("#count", Plain).show(f"Showing {len(self._shown):,} of {len(self._every):,}")
        self.query_one("#about", Plain).show(self._about())

    def _line(self, number: int) -> Content:
        """In columns."""
        option, here = self._shown[number], number == self._at
        row = self._rows[option.key]
        path = line(option.label).truncate(_PATH, ellipsis=True, pad=True)
        kind = line(f"{row.kind.family:<11}{row.kind.type:<10}").truncate(_KIND, pad=True)
        mark = "✓" if option.key == self._current else " "
        return Content.assemble(
            ("▌ " if here else "  ", "bold $text-primary"),
            path.stylize("bold $text-primary") if here else path,
            (f" {mark} ", "$text-success"),
            kind.stylize("$quiet"),
            (f"{size(row.model.size):>9}", "$quiet"),
        )

    @property
    def _words(self) -> tuple[str, str]:
        return self._filter.family, self._filter.type

    def _about(self) -> Content:
        if not self._shown:
            return Content()
        model = self._rows[self._shown[self._at].key].model
        facts = (plural(len(model.files), "file"), LABELS.get(model.store, ""), model.source, model.licence)
        return Content("\n").join(
            [line(model.path), Content.styled(clean_line(", ".join(filter(None, facts))), "$quiet")]
        )

    # Filters

    def action_filter(self, by: str) -> None:
        """Choose a type or a family."""
        self.modelyard.guard(self._choose_filter(by), hold=True)

    async def _choose_filter(self, by: str) -> None:
        words = sorted({str(getattr(row.kind, by)) for row in self._rows.values()})
        options = [(f"any {by}", _EVERY), *((word, word) for word in words)]
        current = str(getattr(self._filter, by))
        picked = await self.app.push_screen_wait(PickDialog(f"Which {by}", options, current))
        if picked is not None:
            family, kind = self._filter.family, self._filter.type
            self._filter = Kind(picked, kind) if by == "family" else Kind(family, picked)
            self._at = 0
            self._narrow()
            self._draw()

    def action_clear(self) -> None:
        """No filter, and nothing typed."""
        self._filter = Kind(_EVERY, _EVERY)
        self.query_one("#typed", TextField).value = ""
        self._narrow()
        self._at = 0
        self._draw()

    # Taking

    def action_take(self) -> None:
        """This one, if its files are there."""
        if self._shown:
            model = self._rows[self._shown[self._at].key].model
            self.modelyard.guard(partial(self._take, model), group="take", exclusive=True)

    async def _take(self, model: InstalledModel) -> None:
        files = await self._yard.files_of(self._host)
        gone = [model.problem] if model.problem else await _gone(files, model)
        if not gone:
            self.taken = Picked(model, files)
            self.dismiss(model.path)
            return
        named = clean_line(gone[0])
        more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
        self.modelyard.toast(f"Not whole: {named}{more}. Downloads verifies and mends it.", tone="warning")

    def action_export(self) -> None:
        """A config for training on this one."""
        if self._shown:
            self.modelyard.guard(self._export(self._rows[self._shown[self._at].key].model), hold=True)

    async def _export(self, model: InstalledModel) -> None:
        from tui.modals.training_export import TrainingExportDialog

        files = await self._yard.files_of(self._host)
        if written := await self.app.push_screen_wait(TrainingExportDialog(self._yard, model, files)):
            self.modelyard.toast(f"Wrote {clean_line(written)}.")

    def why_not(self, key_id: str) -> str:
        if key_id == "model_picker.export" and not self._shown:
            return "Nothing is selected."
        return ""


async def _gone(files: ModelFiles, model: InstalledModel) -> list[str]:
    """Files that are not there whole, asked where they lie."""
    sizes = await files.sizes(str(files.folder / str(file["path"])) for file in model.files)
    return missing(files.folder, model, sizes.get)
