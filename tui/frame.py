"""What the terminal shows, cell by cell, so that only what changed is sent to it.

Textual writes whole regions, each piece of text with its full style: a cursor that moves by a line costs 5.7 KB.
A `Frame` takes what Textual drew, compares it with what was written last, and gives the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from unicodedata import category

from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate

from tui.brush import Brush, holds_odd
from tui.looks import PLAIN, Cell, Look, look_of

Update = LayoutUpdate | ChopsUpdate
_UNKNOWN: Cell = ("\0", PLAIN)  # no text becomes this one

_LEAP = 4  # to step over so many cells costs as much as to write them again
_ONE_CELL = frozenset(
    chain(map(chr, chain(range(0x20, 0x7F), range(0xA1, 0xAD), range(0xAE, 0x300), range(0x2500, 0x25FD))), "…•✓")
)
_JOINERS = frozenset("\u200c\u200d")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Frame:
    """The cells that are wanted, and those that the terminal shows."""

    def __init__(self, system: ColorSystem = ColorSystem.TRUECOLOR, *, erases: bool = False) -> None:
        """`erases`: the terminal erases in the colour of the pen (`bce` in terminfo)."""
        self._system = system
        self._erases = erases
        self._wanted: list[list[Cell]] = []
        self._shown: list[list[Cell]] = []
        self._changed: set[int] = set()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; none before the first update."""
        return (len(self._wanted[0]), len(self._wanted)) if self._wanted else (0, 0)

    def forget(self) -> None:
        """What the terminal shows is not known: all that is wanted is written again."""
        self._shown = [[_UNKNOWN] * len(row) for row in self._wanted]
        self._changed.update(range(len(self._wanted)))

    def take(self, update: Update) -> None:
        """What Textual drew is wanted from now on."""
        columns, rows = _size_of(update)
        if (columns, rows) != self.size:
            self._wanted = [[_UNKNOWN] * columns for _ in range(rows)]
            self._changed.clear()
            self.forget()
        for x, y, segments in _pieces(update):
            _place(self._wanted[y], x, cells_of(segments, self._system))
            self._changed.add(y)

    def changes(self) -> str:
        """What makes the terminal show what is wanted, "" when it does; it counts as written."""
        brush = Brush(self.size[0], erases=self._erases)
        for y in sorted(self._changed):
            shown, wanted = self._shown[y], self._wanted[y]
            if shown != wanted:
                for start, end in _runs(shown, wanted):
                    brush.write(start, y, wanted[start:end])
                self._shown[y] = wanted.copy()
        self._changed.clear()
        return brush.finish()


def _size_of(update: Update) -> tuple[int, int]:
    if isinstance(update, LayoutUpdate):
        return update.region.right, update.region.bottom
    return max(chain.from_iterable(update.chop_ends), default=0), len(update.chops)


def _pieces(update: Update) -> Iterator[tuple[int, int, Iterable[Segment]]]:
    """Column, row and content of what was drawn; of a partial update only the pieces on its spans are valid."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            yield update.region.x, y, chain.from_iterable(strips)
        return
    for y, first, last in update.spans:
        for (x, strip), end in zip(update.chops[y].items(), update.chop_ends[y], strict=False):
            if strip is not None and x < last and first < end:
                yield x, y, strip


def cells_of(segments: Iterable[Segment], system: ColorSystem = ColorSystem.TRUECOLOR) -> list[Cell]:
    """One for each column; what would steer the terminal is left out."""
    cells: list[Cell] = []
    for text, style, _ in segments:
        look = look_of(style, system)
        if _ONE_CELL.issuperset(text):
            blank = (" ", look.blank)
            cells += [blank if glyph == " " else (glyph, look) for glyph in text]
        else:
            _add_unusual(cells, text, look)
    return cells


def _add_unusual(cells: list[Cell], text: str, look: Look) -> None:
    for start, end, width in split_graphemes(text)[0]:
        glyph = _visible(text[start:end], width)
        if width:
            cells.append((glyph, look.blank if glyph == " " else look))
            cells.extend(repeat(("", look), width - 1))
        elif glyph and cells:  # a mark that begins a piece belongs to the character before it
            head = -1 if cells[-1][0] else -2
            cells[head] = (cells[head][0] + glyph, cells[head][1])


@lru_cache(maxsize=4096)
def _visible(grapheme: str, width: int) -> str:
    kept = "".join(char for char in grapheme if char in _JOINERS or category(char) not in _UNSEEN)
    return kept if kept or not width else " " * width


def _place(row: list[Cell], x: int, cells: Sequence[Cell]) -> None:
    """Put cells into a row; a wide character that loses a half is seen no more."""
    cells = cells[: len(row) - x]
    end = x + len(cells)
    if row[x][0] == "" and x:
        row[x - 1] = (" ", row[x][1].blank)
    if end < len(row) and row[end][0] == "":
        row[end] = (" ", row[end][1].blank)
    row[x:end] = cells


def _runs(shown: Sequence[Cell], wanted: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """The stretches [start, end) to write; one may go on over a few cells that the pen could write as well."""
    whole = holds_odd(shown) or holds_odd(wanted)
    start = end = -1
    for x, (old, new) in enumerate(zip(shown, wanted, strict=True)):
        if new is _UNKNOWN or (old == new and not whole):
            continue
        if end < 0:
            start = x
        elif x > end and not _few_alike(wanted[end - 1 : x]):
            yield start, end
            start = x
        end = x + 1
    if end > 0:
        yield start, end


def _few_alike(cells: Sequence[Cell]) -> bool:
    """Whether they are few, and would be written in one look."""
    look = cells[0][1]
    return (
        len(cells) <= _LEAP + 1
        and _UNKNOWN not in cells
        and all(cell[1] is look or cell == (" ", look.blank) for cell in cells)
    )
