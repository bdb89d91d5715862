"""The lines of the analytics: what is chosen, how they are sorted, and what stands in the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from core.analytics.values import By, Period
from tui.screens.analytics_card import Metric, amount, percent, seconds
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList

if TYPE_CHECKING:
    from core.analytics.values import Usage


@dataclass(frozen=True)
class Sort:
    """A column that the list can be sorted by: its word, its title in the list, and what is compared."""

    word: str
    title: str
    value: Callable[[Usage], Any]


SORTS = {
    "requests": Sort("requests", "REQS", lambda row: row.all.requests),
    "name": Sort("name", "NAME", lambda row: row.model_name.casefold()),
    "model_id": Sort("model id", "MODEL ID", lambda row: row.model_id.casefold()),
    "provider": Sort("provider", "PROVIDER", lambda row: row.provider),
    "host": Sort("host", "HOST", lambda row: row.host),
    "success": Sort("success", "SUCCESS", lambda row: row.all.success_rate),
    "tokens_in": Sort("tokens in", "IN/OUT", lambda row: row.all.prompt_tokens),
    "tokens_out": Sort("tokens out", "IN/OUT", lambda row: row.all.completion_tokens),
    "p50": Sort("median latency", "P50/P95", lambda row: row.all.latency_p50),
    "p95": Sort("95th percentile of the latency", "P50/P95", lambda row: row.all.latency_p95),
    "rating": Sort("rating", "RATED", lambda row: row.rating),
}


@dataclass(frozen=True)
class View:
    """What is shown, kept from one run to the next."""

    period: Period = Period.WEEK
    by: By = By.MODEL
    metric: Metric = Metric.LATENCY
    sort: str = "requests"
    descending: bool = True
    with_tests: bool = False

    @classmethod
    def from_kept(cls, kept: dict[str, Any]) -> View:
        """What is not understood is left out."""
        view = cls(descending=kept.get("descending") is not False, with_tests=kept.get("with_tests") is True)
        for name, known in (("period", Period), ("by", By), ("metric", Metric)):
            with suppress(ValueError):
                view = replace(view, **{name: known(kept.get(name))})  # type: ignore[arg-type]
        return replace(view, sort=kept["sort"]) if kept.get("sort") in SORTS else view

    def as_kept(self) -> dict[str, Any]:
        """As JSON."""
        return {name: str(value) if isinstance(value, str) else value for name, value in vars(self).items()}


class UsageList(PagedList["Usage"]):
    """One snapshot of the figures."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("NAME", 14, weight=4, most=36),
        Column("MODEL ID", 10, weight=5, most=44),
        Column("PROVIDER", 9, from_width=100),
        Column("REQS", 6, right=True),
        Column("SUCCESS", 8, right=True),
        Column("IN/OUT", 11, right=True),
        Column("P50/P95", 11, right=True),
        Column("RATED", 6, right=True),
    )

    def __init__(self) -> None:
        super().__init__(id="list")
        self.snapshot: Sequence[Usage] = ()

    async def fetch(self, offset: int, limit: int) -> Chunk[Usage]:
        return Chunk(self.snapshot[offset : offset + limit], len(self.snapshot))

    def row_id(self, row: Usage) -> str:
        return f"{row.model_ref} {row.server_id}"

    def cells(self, row: Usage) -> tuple[Cell, ...]:
        figures = row.all
        rate = figures.success_rate
        return (
            Cell(row.model_name, "dim" if row.gone else ""),
            Cell(row.model_id or "deleted", "dim"),
            self.where(row),
            Cell(amount(figures.requests)),
            Cell(percent(rate), "" if rate is None or rate >= 0.99 else "warn" if rate >= 0.9 else "bad"),
            Cell(f"{amount(figures.prompt_tokens)}/{amount(figures.completion_tokens)}"),
            Cell(f"{seconds(figures.latency_p50)}/{seconds(figures.latency_p95)}" if figures.latency_p50 else "-"),
            Cell("-" if row.rating is None else f"{row.rating:.1f}"),
        )

    def where(self, row: Usage) -> Cell:
        """Who serves it."""
        return Cell(row.provider, "strong")


class ServerUsageList(UsageList):
    """A line for each server, and one for what a model's endpoint answered."""

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        UsageList.COLUMNS[0],
        replace(UsageList.COLUMNS[1], from_width=100),
        Column("HOST", 10, weight=2, most=24),
        *UsageList.COLUMNS[3:],
    )

    def where(self, row: Usage) -> Cell:
        return Cell(row.host or ("removed" if row.server_id else row.provider), "strong" if row.host else "dim")


def ordered(rows: Iterable[Usage], sort: Sort, *, descending: bool) -> list[Usage]:
    """Those of which the value is not known come last, whichever way round."""
    known = [(sort.value(row), row) for row in rows]
    told = [pair for pair in known if pair[0] not in (None, "")]
    named = sorted(told, key=lambda pair: pair[1].model_name.casefold())
    ordered = sorted(named, key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in ordered] + [row for value, row in known if value in (None, "")]
