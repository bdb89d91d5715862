"""The Catalog tab (D1, D8): what is offered for download, how large, under which conditions, and what is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from tui.screens.download_table import Line, Order, facets
from tui.screens.download_views import DownloadList, DownloadsView, Known, within
from tui.show import line, pairs, size, toned
from tui.widgets.columns import Cell, Column

if TYPE_CHECKING:
    from core.catalog.weights import Weights
    from tui.screens.download_cards import FileRow

ACCESS = {
    "": "free: no account needed",
    "auto": "a token, of an account that accepted its licence on its page",
    "manual": "a token, of an account that its authors let in, on its page",
}
_SHORT = {"": "free", "auto": "token", "manual": "request"}


class OfferList(DownloadList):
    """Weights with their conditions."""

    COLUMNS = (
        Column("NAME", 20, weight=5, most=56),
        Column("FAMILY", 10, weight=1, most=14, from_width=84),
        Column("TYPE", 9),
        Column("SIZE", 8, right=True),
        Column("LICENCE", 12, weight=2, most=24, from_width=96),
        Column("STATE", 11),
    )

    def __init__(self, known: Callable[[], Known]) -> None:
        super().__init__()
        self._known = known

    def row_id(self, row: Weights) -> str:
        return row.id

    def cells(self, row: Weights) -> tuple[Cell, ...]:
        state, tone = _state(row, self._known())
        return (
            Cell(row.name),
            Cell(row.family, "dim"),
            Cell(row.type, "dim"),
            Cell(size(row.size)),
            Cell(row.licence or "-", "dim"),
            Cell(state, tone),
        )


def _state(row: Weights, known: Known) -> tuple[str, str]:
    if here(row, known) is not None:
        return "✓ installed", "good"
    if base(row.source) in known.fetching:
        return "◐ fetching", "busy"
    return f"{'!' if row.gated else '·'} {_SHORT.get(row.gated, row.gated)}", "warn" if row.gated else "dim"


def base(source: str) -> str:
    """A source without its revision."""
    return source.partition("@")[0]


def here(row: Weights, known: Known) -> FileRow | None:
    """The installed model that these weights are."""
    from core.catalog.weights import installed_as

    rows = known.sources.get(base(row.source), ())
    found = installed_as(row, [one.model for one in rows if one.model is not None])
    return next((one for one in rows if one.model is found), None) if found is not None else None


class CatalogView(DownloadsView):
    """What can be fetched with one key."""

    NAME = "catalog"
    EMPTY = "The catalog offers nothing to download.\n\nPress a to download from elsewhere."
    ACTIONS = frozenset({"use"})
    ORDERS = (
        Order("name", "", lambda row: row.name.casefold()),
        Order("family", "FAMILY", lambda row: (row.family, row.name.casefold())),
        Order("type", "TYPE", lambda row: (row.type, row.name.casefold())),
        Order("size", "SIZE", lambda row: row.size or 0, descending=True),
    )

    def make_list(self, known: Callable[[], Known]) -> DownloadList:
        return OfferList(known)

    def fill(self, known: Known) -> None:
        self.table.fill(known.catalog, lambda row: _line(row, known))

    def summary(self, known: Known, room: int) -> Content:
        parts = [] if known.free is None else [toned(f"{size(known.free)} free on this machine", "")]
        installed = sum("state:installed" in one.facets for one in self.table.lines)
        parts.append(toned(f"{installed:,} of these installed", "dim"))
        dates = {row.as_of for row in known.catalog if row.as_of}
        parts += [toned(f"facts of {max(dates)}", "dim")] if dates else []
        return within(parts, room)

    def amount(self, row: Weights) -> int:
        return row.size or 0

    def card(self, row: Weights, known: Known, room: int) -> Content:
        installed = here(row, known)
        fits = "" if known.free is None or (row.size or 0) < known.free else "; more than is free here"
        facts: list[tuple[str, Content | str]] = [
            ("State", toned(f"✓ installed as {installed.path}", "good") if installed else ""),
            ("Size", toned(f"{size(row.size)}{fits}", "warn" if fits else "")),
            ("Type", row.type),
            ("Family", row.family),
            ("Access", toned(ACCESS.get(row.gated, row.gated), "warn" if row.gated else "")),
            ("Licence", row.licence or "not told by the catalog"),
            ("Parameters", row.parameters),
            ("Quantized", row.quantization),
            ("From", row.source),
            ("Files", Content("\n").join(line(name) for name in row.files or row.patterns) or "all of the repository"),
            ("Notes", row.notes),
            ("Facts of", row.as_of),
            ("Id", row.id),
        ]
        hint = "→ d downloads it again, or another revision." if installed else "→ d looks at it, then downloads it."
        return Content("\n\n").join([line(row.name).stylize("bold"), pairs(facts, room), toned(hint, "dim")])

    def refusal(self, action: str, row: Weights, known: Known) -> str:
        return ""


def _line(row: Weights, known: Known) -> Line:
    state = "installed" if here(row, known) is not None else "not installed"
    access = _SHORT.get(row.gated, row.gated)
    told = facets({"type": row.type, "family": row.family, "access": access, "state": state})
    return Line(row, row.text, told, row.name.casefold())
