"""Pick an installed model (D10): narrowed by typing, by type and by family; one whose files are gone can't be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget

from core.catalog.recognised import Kind, Recogniser
from core.errors import ModelyardError
from core.files.stores import LABELS
from core.text import clean_line
from core.training.here import missing
from tui.keys import bindings
from tui.modals.choose import ChooseDialog
from tui.modals.dialog import Dialog
from tui.modals.pick import PickDialog
from tui.show import line, plural, size
from tui.widgets.picker import Option
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import App
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.files.installed import InstalledModel
    from tui.app import ModelyardApp

ResultT = TypeVar("ResultT")
_EVERY = ""
_PATH, _KIND = 36, 20  # cells
_HUB = "hf:"


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


async def pick_model(
    app: App[object], yard: Modelyard, *, heading: str = "Installed models", kind: str = _EVERY, current: str = ""
) -> InstalledModel | None:
    """The installed model that is picked, None for none; `kind` is the type that is filtered by at first.

    Raises:
        FileProblem: what is installed can't be read.
    """
    rows = await read_rows(yard)
    if not rows:
        cast("ModelyardApp", app).toast("Nothing is installed yet: Downloads has a catalog.", tone="warning")
        return None
    picked = await app.push_screen_wait(ModelPicker(yard, rows, heading=heading, kind=kind, current=current))
    return next((row.model for row in rows if row.model.path == picked), None)


async def read_rows(yard: Modelyard) -> list[Row]:
    """Everything that is installed, by path, with family and type; then what other tools keep on this machine."""
    models = sorted(await yard.files.installed(), key=lambda one: one.path.casefold())
    models += await yard.files.stores()
    offers = await yard.catalog.weights()

    def recognised() -> list[Row]:
        known = Recogniser(offers)
        return [Row(model, known.kind_of(model)) for model in models]

    return await asyncio.to_thread(recognised)


def base_name(model: InstalledModel, folder: Path) -> str:
    """How a model is called as another one's base: its repository, else its place."""
    repository = model.source.removeprefix(_HUB).partition("@")[0]
    return clean_line(repository) if model.source.startswith(_HUB) else str(folder / model.path)


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
            model = await pick_model(self.app, yard, heading=self.PICK_HEADING)
            if model is not None:
                await self.take_installed(model)
        except ModelyardError as error:
            self.modelyard.toast(error.message, tone="error")

    async def take_installed(self, model: InstalledModel) -> None:
        """Fill in what the model tells."""
        raise NotImplementedError


class ModelPicker(ChooseDialog):
    """The path of the picked model, or None."""

    KEYS = ("choose", "model_picker")
    AROUND = 13
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("model_picker")]
    CSS_PATH: ClassVar = ["dialog.tcss", "choose.tcss"]

    def __init__(
        self, yard: Modelyard, rows: Sequence[Row], *, heading: str, kind: str = _EVERY, current: str = ""
    ) -> None:
        super().__init__(heading, [row.option for row in rows], current)
        self._yard = yard
        self._rows = {row.model.path: row for row in rows}
        self._every = list(self._options)
        kinds = {row.kind.type for row in rows}
        self._filter = Kind(_EVERY, kind if kind in kinds else _EVERY)

    def body(self) -> Iterable[Widget]:
        yield from super().body()
        with Horizontal(id="below"):
            yield Plain(id="filter")
            yield Plain(id="count")
        yield Plain(id="about")

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
        chosen = f"type {self._filter.type or 'any'}   family {self._filter.family or 'any'}"
        self.query_one("#filter", Plain).show(Content.styled(chosen, "$text-accent" if any(self._words) else "$quiet"))
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
            self.modelyard.guard(self._take(self._rows[self._shown[self._at].key].model), group="take")

    async def _take(self, model: InstalledModel) -> None:
        gone = [model.problem] if model.problem else await asyncio.to_thread(missing, self._yard.files.folder, model)
        if not gone:
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

        if written := await self.app.push_screen_wait(TrainingExportDialog(self._yard, model)):
            self.modelyard.toast(f"Wrote {clean_line(written)}.")

    def why_not(self, key_id: str) -> str:
        if key_id == "model_picker.export" and not self._shown:
            return "Nothing is selected."
        return ""
