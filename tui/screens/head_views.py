"""The views of the Heads screen: what is listed, what the card says, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.content import Content
from textual.screen import Screen

from tui import operations
from tui.show import line, moment, pairs, plural
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.registry.records import Head, Region
    from tui.app import ModelyardApp


class View:
    """One kind of record; `owner` is the screen that shows it."""

    EMPTY: ClassVar[str] = ""

    def __init__(self, owner: Screen[Any]) -> None:
        self._owner = owner

    @property
    def app(self) -> ModelyardApp:
        """The app, in its own type."""
        return cast("ModelyardApp", self._owner.app)

    @property
    def yard(self) -> Modelyard:
        """The core."""
        return cast("Modelyard", self._owner.yard)  # type: ignore[attr-defined]

    def make_list(self) -> PagedList[Any]:
        """A list over what `read` brought."""
        raise NotImplementedError

    async def read(self, text: str) -> int:
        """Bring the rows that hold every word of `text` up to date; how many there are in all."""
        raise NotImplementedError

    def card(self, row: Any, room: int) -> Content:  # noqa: ANN401 - a row of this view
        """The details of a row."""
        raise NotImplementedError

    def why_not(self, action: str, row: Any) -> str:  # noqa: ANN401 - the same
        """Why `add`, `edit` or `remove` can't be done; "" when it can."""
        if action in {"edit", "remove"} and row is None:
            return "Nothing is selected."
        return ""

    def form(self, row: Any) -> Screen[str | None]:  # noqa: ANN401 - the same
        """The form that adds a record, or edits this one."""
        raise NotImplementedError

    async def remove(self, row: Any) -> bool:  # noqa: ANN401 - the same
        """Remove it after a question; whether it was."""
        raise NotImplementedError


@dataclass(frozen=True)
class HeadRow:
    """A head, and how many models have it as their first way in."""

    head: Head
    models: int


@dataclass(frozen=True)
class RegionRow:
    """A region, and who is in it."""

    region: Region
    models: int
    heads: tuple[str, ...]


class Snapshot(PagedList[Any]):
    """A list of rows that are all there."""

    def __init__(self) -> None:
        super().__init__(id="list")
        self.rows: Sequence[Any] = ()

    async def fetch(self, offset: int, limit: int) -> Chunk[Any]:
        return Chunk(self.rows[offset : offset + limit], len(self.rows))


class HeadList(Snapshot):
    """Heads by name."""

    COLUMNS = (
        Column("NAME", 14, weight=2, most=32),
        Column("REGION", 10),
        Column("URL", 20, weight=4),
        Column("MODELS", 7, right=True),
    )

    def row_id(self, row: HeadRow) -> str:
        return row.head.id

    def cells(self, row: HeadRow) -> tuple[Cell, ...]:
        head = row.head
        return (Cell(head.name), Cell(head.region or "-"), Cell(head.url or "-", "dim"), Cell(f"{row.models:,}"))


class RegionList(Snapshot):
    """One's own regions and those in use, then the others."""

    COLUMNS = (
        Column("CODE", 12, weight=1, most=24),
        Column("NAME", 20, weight=4),
        Column("OWNER", 9),
        Column("HEADS", 6, right=True),
        Column("MODELS", 7, right=True),
    )

    def row_id(self, row: RegionRow) -> str:
        return row.region.id

    def cells(self, row: RegionRow) -> tuple[Cell, ...]:
        owner = Cell("built in", "dim") if row.region.builtin else Cell("yours", "strong")
        return (
            Cell(row.region.id),
            Cell(row.region.name),
            owner,
            Cell(str(len(row.heads) or "-")),
            Cell(f"{row.models:,}" if row.models else "-"),
        )


class HeadsView(View):
    """Gateways."""

    EMPTY = (
        "No heads yet.\n\nA head is a gateway that is a model's first way in. Press a to add one, v for the regions."
    )

    def __init__(self, owner: Screen[Any]) -> None:
        super().__init__(owner)
        self._regions: dict[str, str] = {}

    def make_list(self) -> PagedList[Any]:
        return HeadList()

    async def read(self, text: str) -> int:
        registry = self.yard.registry
        self._regions = {region.id: region.name for region in await registry.regions()}
        _, models = await registry.count_uses()
        heads = await registry.heads()
        found = [head for head in heads if _holds(text, head.name, head.region, head.url, head.description)]
        self._owner.query_one(Snapshot).rows = [HeadRow(head, models.get(head.name, 0)) for head in found]
        return len(heads)

    def card(self, row: HeadRow, room: int) -> Content:
        head = row.head
        region = f"{head.region}  {self._regions.get(head.region, '')}" if head.region else ""
        facts = pairs(
            [
                ("Region", region),
                ("URL", head.url),
                ("API key", f"the key named {head.api_key_ref}" if head.api_key_ref else "none"),
                ("Models", f"{row.models:,} have it as their head" if row.models else "none has it as its head"),
                ("About", head.description),
                ("Added", moment(head.created_at)),
                ("Changed", moment(head.updated_at)),
                ("Id", head.id),
            ],
            room,
        )
        return Content("\n\n").join([line(head.name).stylize("bold"), facts])

    def why_not(self, action: str, row: HeadRow | None) -> str:
        if action == "remove" and row is not None and row.models:
            return f"{plural(row.models, 'model')} still {'has' if row.models == 1 else 'have'} it as head."
        return super().why_not(action, row)

    def form(self, row: HeadRow | None) -> Screen[str | None]:
        from tui.modals.head_form import HeadForm

        return HeadForm(self.yard, row.head if row else None)

    async def remove(self, row: HeadRow) -> bool:
        name = row.head.name
        details = [f"Forgotten: {name} ({row.head.url}).", "The gateway itself is not stopped or changed."]
        if not await operations.confirm(self.app, f"Forget the head {name}?", details=details, yes="Forget"):
            return False
        await self.yard.registry.remove_head(row.head.id)
        self.app.toast(f"Forgot the head {name}")
        return True


class RegionsView(View):
    """Where models and heads can be."""

    EMPTY = "No regions.\n\nPress a to add one."

    def make_list(self) -> PagedList[Any]:
        return RegionList()

    async def read(self, text: str) -> int:
        registry = self.yard.registry
        regions = await registry.regions()
        models, _ = await registry.count_uses()
        heads: dict[str, list[str]] = {}
        for head in await registry.heads():
            heads.setdefault(head.region, []).append(head.name)
        rows = [
            RegionRow(region, models.get(region.id, 0), tuple(heads.get(region.id, ())))
            for region in regions
            if _holds(text, region.id, region.name)
        ]
        rows.sort(key=lambda row: row.region.builtin and not row.models and not row.heads)
        self._owner.query_one(Snapshot).rows = rows
        return len(regions)

    def card(self, row: RegionRow, room: int) -> Content:
        region = row.region
        facts = pairs(
            [
                ("Name", region.name),
                ("Owner", "built in, read-only" if region.builtin else "you"),
                ("Heads", ", ".join(row.heads) or "none"),
                ("Models", f"{row.models:,}" if row.models else "none"),
                ("Added", "" if region.builtin else moment(region.created_at)),
            ],
            room,
        )
        return Content("\n\n").join([line(region.id).stylize("bold"), facts])

    def why_not(self, action: str, row: RegionRow | None) -> str:
        if action in {"edit", "remove"} and row is not None and row.region.builtin:
            return "It is a built-in region."
        if action == "remove" and row is not None and (row.models or row.heads):
            return f"{plural(row.models, 'model')} and {plural(len(row.heads), 'head')} are in it."
        return super().why_not(action, row)

    def form(self, row: RegionRow | None) -> Screen[str | None]:
        from tui.modals.head_form import RegionForm

        return RegionForm(self.yard, row.region if row else None)

    async def remove(self, row: RegionRow) -> bool:
        code = row.region.id
        question = f"Remove the region {code}?"
        if not await operations.confirm(self.app, question, details=[f"Removed: {row.region.name}."], yes="Remove"):
            return False
        await self.yard.registry.remove_region(code)
        self.app.toast(f"Removed the region {code}")
        return True


def _holds(text: str, *parts: str) -> bool:
    whole = " ".join(parts).casefold()
    return all(word in whole for word in text.casefold().split())
