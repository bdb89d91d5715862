"""Columns of a list: how wide each is on a screen of a given width, and the text cut to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

GAP = 2


@dataclass(frozen=True)
class Column:
    """`width` cells at least, and a share by `weight` of what is left; left out below `from_width` cells."""

    title: str
    width: int
    weight: int = 0
    right: bool = False
    from_width: int = 0
    most: int = 1000


@dataclass(frozen=True)
class Cell:
    """What stands in a column, and its tone; where `text` has no room `short`, or of a path what tells most."""

    text: str
    tone: str = ""
    short: str = ""
    is_path: bool = False

    def within(self, width: int) -> str:
        """The longest form that fits."""
        if cell_len(self.text) <= width:
            return self.text
        return _short_path(self.text, width) if self.is_path else self.short or self.text


def _short_path(text: str, width: int) -> str:
    """Without its first folder; where that is too long, too, what it begins and ends with."""
    rest = text.partition("/")[2] or text
    if cell_len(rest) + 2 <= width:
        return f"…/{rest}"
    head = set_cell_size(rest, (width - 1) // 2).rstrip()
    while cell_len(rest) > max(0, width - 1 - cell_len(head)):
        rest = rest[1:]
    return f"{head}…{rest}"


def widths(columns: Sequence[Column], room: int) -> list[int]:
    """The width of each column in `room` cells, 0 for one that is left out."""
    shown = [column for column in columns if room >= column.from_width]
    spare = max(0, room - sum(column.width for column in shown) - GAP * (len(shown) - 1))
    weights = sum(column.weight for column in shown) or 1
    return [_width(column, spare, weights) if column in shown else 0 for column in columns]


def _width(column: Column, spare: int, weights: int) -> int:
    return min(column.most, column.width + spare * column.weight // weights)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut with an ellipsis, or padded."""
    taken = cell_len(text)
    if taken > width:
        return set_cell_size(set_cell_size(text, max(0, width - 1)).rstrip() + "…", width)
    return " " * (width - taken) + text if right else text + " " * (width - taken)
