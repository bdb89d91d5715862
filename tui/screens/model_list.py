"""The list of models: rows come first and the counts follow, so that a key press never waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from core.registry.values import DEPLOYABLE, ModelQuery, ModelRow, ModelSort
from tui.show import Mark, short_tokens, status_mark
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import PAGE, Chunk, PagedList

if TYPE_CHECKING:
    from core.registry.records import Server
    from core.registry.store import Registry
    from tui.screens.base import ListScreen

_TITLES = {
    ModelSort.NAME: "NAME",
    ModelSort.PROVIDER: "PROVIDER",
    ModelSort.MODEL_ID: "MODEL",
    ModelSort.CONTEXT: "CONTEXT",
    ModelSort.REGION: "REGION",
    ModelSort.STATUS: "STATUS",
    ModelSort.UPDATED: "CHANGED",
}
SORTS = {title: sort for sort, title in _TITLES.items()}
MOST_MARKED = 10_000
GLOBAL = Mark("·", "global", "dim")  # can't be deployed, so it isn't "not deployed" either
HOSTED = Mark("·", "hosted", "dim")  # the provider serves it


@dataclass(frozen=True)
class Marked:
    """What is kept of a marked row, since it may leave the list."""

    name: str
    is_global: bool


class ModelList(PagedList[ModelRow]):
    """The models that match `query_now`."""

    COLUMNS = (
        Column("NAME", 20, weight=4, most=40),
        Column("PROVIDER", 9),
        Column("MODEL", 12, weight=5),
        Column("CONTEXT", 8, right=True),
        Column("REGION", 8, from_width=110),
        Column("STATUS", 14, weight=1, most=26),
        Column("CHANGED", 10, from_width=110),
    )

    def __init__(self) -> None:
        super().__init__(id="list")
        self.query_now = ModelQuery()
        self.total: int | None = None
        self.counted = False
        self.lost_hosts: frozenset[str] = frozenset()

    @property
    def _registry(self) -> Registry:
        return cast("ListScreen", self.screen).yard.registry

    async def fetch(self, offset: int, limit: int) -> Chunk[ModelRow]:
        shown = self.count if self.counted else None
        return Chunk(await self._registry.model_rows(self.query_now, offset, limit, shown=shown), None)

    def row_id(self, row: ModelRow) -> str:
        return row.model.id

    def is_lost(self, server: Server | None) -> bool:
        """Whether its host can't be reached."""
        return server is not None and server.host_id in self.lost_hosts

    def cells(self, row: ModelRow) -> tuple[Cell, ...]:
        model = row.model
        mark = status_mark(row.server, unreachable=self.is_lost(row.server))
        if row.server is None and (model.is_global or model.provider not in DEPLOYABLE):
            mark = GLOBAL if model.is_global else HOSTED
        return (
            Cell(model.name),
            Cell(model.provider, "busy" if model.is_global else "strong"),
            Cell(model.model_id, "dim"),
            Cell(short_tokens(model.context_length)),
            Cell(model.region),
            Cell(mark.text, mark.tone, short=mark.short),
            Cell(f"{model.updated_at.astimezone():%Y-%m-%d}", "dim"),
        )

    # Loading

    def ask(self, query: ModelQuery) -> None:
        """From now on this is what is listed; `show` or `reload` brings the rows."""
        self.query_now = query
        self.sorted_by = (_TITLES.get(query.sort, ""), query.descending)  # the owner has no column
        self.redraw()

    async def reload(self, *, select: str | None = None) -> None:
        """Read again; the cursor stays on the same record, wherever that is by now, or goes to `select`."""
        query, wanted = self.query_now, select or self.selected_id
        counts, place = await asyncio.gather(self._registry.count_models(query), self._place(query, wanted))
        cursor = max(0, min(self.cursor if place is None else place, counts.shown - 1))
        pages = await self._pages_around(query, cursor, counts.shown)
        if query == self.query_now:
            self.total, self.counted = counts.total, True
            self._take(pages, counts.shown, cursor)

    async def show(self, *, follow: bool = False) -> None:
        """The rows of a new query, and only then the counts; with `follow`, the cursor follows its record."""
        query, wanted = self.query_now, self.selected_id
        place = await self._place(query, wanted) if follow else None
        if place is not None:
            await self.reload(select=wanted)
            return
        pages: dict[int, Sequence[ModelRow]] = {0: (rows := await self._registry.model_rows(query, 0, PAGE))}
        self.counted = len(rows) < PAGE
        at_least = max(len(rows), 0 if self.counted else self.count)
        cursor = self._find(pages, wanted) or 0
        if cursor + self.size.height > PAGE and not self.counted:
            pages[1] = await self._registry.model_rows(query, PAGE, PAGE)
        self._take(pages, at_least, cursor)
        await self._until_drawn()
        counts = await self._registry.count_models(query)
        self.total, self.counted = counts.total, True
        if counts.shown != self.count:
            self.take_count(counts.shown)

    async def _until_drawn(self) -> None:
        drawn = asyncio.Event()
        if self.call_after_refresh(drawn.set):
            await drawn.wait()

    async def _place(self, query: ModelQuery, wanted: str | None) -> int | None:
        return await self._registry.place_of_model(query, wanted) if wanted else None

    async def _pages_around(self, query: ModelQuery, cursor: int, shown: int) -> dict[int, Sequence[ModelRow]]:
        """The pages that are in view once the cursor is there."""
        top = max(0, cursor - max(0, self.cursor - self.scroll_offset.y))
        bottom = min(top + max(1, self.size.height), max(0, shown - 1))
        numbers = sorted({top // PAGE, cursor // PAGE, bottom // PAGE})
        read = self._registry.model_rows
        return {number: await read(query, number * PAGE, PAGE, shown=shown) for number in numbers}

    # Marks

    @property
    def marks(self) -> dict[str, Marked]:
        """The marked rows, by id."""
        return cast("dict[str, Marked]", self.marked)

    def mark(self) -> None:
        """Mark the selected row, or take its mark off, and go on to the next."""
        if (row := self.selected) is not None:
            if self.marked.pop(row.model.id, None) is None:
                self.marked[row.model.id] = Marked(row.model.name, row.model.is_global)
            self.redraw()
            self.move_to(self.cursor + 1)

    async def mark_all(self) -> bool:
        """Mark every row that is listed, or none where all are; whether there was room for all."""
        names = await self._registry.model_names(self.query_now, most=MOST_MARKED + 1)
        if names.keys() <= self.marked.keys():
            self.unmark()
            return True
        kept = list(names.items())[:MOST_MARKED]
        self.marked.update((ident, Marked(name, is_global)) for ident, (name, is_global) in kept)
        self.redraw()
        return len(names) <= MOST_MARKED

    def unmark(self) -> None:
        """Take all marks off."""
        self.marked.clear()
        self.redraw()
