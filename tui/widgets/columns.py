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
    """What stands in a column, and its tone; where `text` has no room `short`, or its end if that tells more."""

    text: str
    tone: str = ""
    short: str = ""
    end_tells: bool = False

    def within(self, width: int) -> str:
        """The longest form that fits."""
        if cell_len(self.text) <= width:
            return self.text
        return _end(self.text, width) if self.end_tells else self.short or self.text


def _end(text: str, width: int) -> str:
    """What fits of its end, after an ellipsis."""
    while text and cell_len(text) >= width:
        text = text[1:]
    return f"…{text}"


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
