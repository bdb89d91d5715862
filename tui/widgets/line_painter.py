"""Lines of a list as the terminal gets them; what a style is made of is looked up once, not for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment
from textual.strip import Strip

from core.text import clean_line
from tui.widgets.columns import GAP, Cell, Column, fit, widths

if TYPE_CHECKING:
    from rich.style import Style
    from textual.widget import Widget

TONES = ("dim", "good", "busy", "warn", "bad", "strong")
_CURSOR = "▌"
_MARK = "✓"
_AHEAD = 2  # cells for the cursor and the mark


class RowLook(NamedTuple):
    """All that the line of a row shows; `cells` is None while the row is on its way."""

    at_cursor: bool
    has_focus: bool
    is_marked: bool
    cells: tuple[Cell, ...] | None
    width: int


class LinePainter:
    """Paints for one widget, in the styles of its component classes `list--…`."""

    def __init__(self, widget: Widget, columns: Sequence[Column]) -> None:
        self._widget = widget
        self._columns = columns
        self._styles: dict[tuple[str, str], Style] = {}
        self._room: tuple[int, list[int]] = (-1, [])

    def forget(self) -> None:
        """The styles have changed."""
        self._styles.clear()

    def style(self, tone: str = "", base: str = "") -> Style:
        """The widget's own, with those of a base ("cursor") and a tone laid over it."""
        known = self._styles.get((tone, base))
        if known is None:
            known = self._widget.rich_style
            for name in filter(None, (base, tone)):
                known += self._widget.get_component_rich_style(f"list--{name}", partial=True)
            self._styles[tone, base] = known
        return known

    def blank(self, width: int) -> Strip:
        """An empty line."""
        return Strip.blank(width, self.style())

    def text(self, text: str, width: int, tone: str = "") -> Strip:
        """A line that is no row."""
        return self._strip([Segment("  " + clean_line(text), self.style(tone))], width, self.style())

    def header(self, titles: Sequence[str], width: int) -> Strip:
        """The columns' titles."""
        shown = zip(titles, self._columns, self._widths(width), strict=True)
        texts = [fit(title, room, right=column.right) for title, column, room in shown if room]
        style = self.style("header")
        return self._strip([Segment("  " + (" " * GAP).join(texts), style)], width, style)

    def row(self, look: RowLook) -> Strip:
        """A row's line; one that is on its way is an ellipsis."""
        base = ("cursor" if look.has_focus else "cursor-blurred") if look.at_cursor else ""
        plain = self.style("", base)
        ahead = (_CURSOR if look.at_cursor else " ") + (_MARK if look.is_marked else " ")
        segments = [Segment(ahead, self.style("strong", base) if ahead.strip() else plain)]
        if look.cells is None:
            return self._strip([*segments, Segment("…", plain)], look.width, plain)
        for cell, column, room in zip(look.cells, self._columns, self._widths(look.width), strict=True):
            if room:
                text = fit(clean_line(cell.within(room)), room, right=column.right)
                segments.append(Segment(text + " " * GAP, self.style(cell.tone, base)))
        return self._strip(segments, look.width, plain)

    def column_at(self, x: int, width: int) -> Column | None:
        """The column that stands at a cell of the line."""
        end = _AHEAD
        for column, room in zip(self._columns, self._widths(width), strict=True):
            end += room + GAP if room else 0
            if x < end:
                return column
        return None

    def _widths(self, width: int) -> list[int]:
        if self._room[0] != width:
            self._room = (width, widths(self._columns, width - _AHEAD))
        return self._room[1]

    def _strip(self, segments: list[Segment], width: int, style: Style) -> Strip:
        return Strip(segments).adjust_cell_length(width, style)
