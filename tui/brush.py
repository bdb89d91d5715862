"""The fewest bytes that put cells on a terminal: spans of one look, in the cheaper of two orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from tui.looks import PLAIN, Cell, Look, switch

_ERASED = 12  # so many blanks are erased rather than written, where a terminal erases in the colour of the pen
_BASIC = "\uffff"


@dataclass(frozen=True)
class Span:
    """What is written in one look from one place; the cursor moves on by `width`. Of a `blank` the ground is seen."""

    x: int
    y: int
    look: Look
    text: str
    width: int
    blank: bool = False


class Brush:
    """Collects cells to write, and says what to send for them."""

    def __init__(self, columns: int, *, erases: bool) -> None:
        self._columns = columns
        self._erases = erases
        self._spans: list[Span] = []
        self._fixed: list[Span] = []

    def write(self, x: int, y: int, cells: Sequence[Cell]) -> None:
        """Cells of one row from a column on; `cells` that hold odd ones are written from left to right."""
        spans = self._fixed if holds_odd(cells) else self._spans
        for start, end, erasable in _parts(cells) if self._erases else ((0, len(cells), False),):
            if erasable:
                spans.append(Span(x + start, y, cells[start][1], f"\x1b[{end - start}X", 0, blank=True))
            else:
                spans += _spans(x + start, y, cells[start:end])

    def finish(self) -> str:
        """Everything, from the plain look to the plain look."""
        orders = (self._spans, _by_look(self._spans))
        return min((_painted([*self._fixed, *spans], self._columns) for spans in orders), key=len)


def is_odd(cell: Cell) -> bool:
    """Terminals disagree about the width of emoji and of what is put together: such rows are written whole."""
    return len(cell[0]) > 1 or cell[0] > _BASIC


def holds_odd(cells: Sequence[Cell]) -> bool:
    """Whether any cell is odd; asked of every row that changed."""
    glyphs = [glyph for glyph, _ in cells]
    text = "".join(glyphs)
    if len(text) == len(glyphs) and all(glyphs):
        return max(text, default="") > _BASIC
    return any(map(is_odd, cells))


def _parts(cells: Sequence[Cell]) -> Iterator[tuple[int, int, bool]]:
    """Stretches [start, end), and whether they are blanks that can be erased."""
    begun = place = 0
    for (glyph, look), group in groupby(cells):
        end = place + sum(1 for _ in group)
        if end - place >= _ERASED and glyph == " " and not look.marks_spaces:
            if begun < place:
                yield begun, place, False
            yield place, end, True
            begun = end
        place = end
    if begun < place:
        yield begun, place, False


def _spans(x: int, y: int, cells: Sequence[Cell]) -> Iterator[Span]:
    """Spaces go with what stands before or after them, when that has the same ground."""
    text: list[str] = []
    start, pen, blank = 0, cells[0][1], True
    for place, cell in enumerate(cells):
        glyph, look = cell
        if look is not pen and not (look.goes_with(pen) and (blank or glyph == " ")):
            yield Span(x + start, y, pen, "".join(text), place - start, blank)
            text, start, pen, blank = [], place, look, True
        if glyph != " ":
            pen, blank = look, False
        text.append(_in_place(glyph, x + place + 1, cells[place + 1 :]) if is_odd(cell) else glyph)
    yield Span(x + start, y, pen, "".join(text), len(cells) - start, blank)


def _in_place(glyph: str, column: int, following: Sequence[Cell]) -> str:
    """A glyph of doubtful width on cells made empty; the cursor goes on from where the next one belongs."""
    width = 2 if following and following[0][0] == "" else 1
    return f"{' ' * width}\x1b[{column}G{glyph}\x1b[{column + width}G"


def _by_look(spans: Iterable[Span]) -> list[Span]:
    """All spans of a look one after the other: a move costs less than a colour."""
    groups: dict[Look, list[Span]] = {}
    for span in sorted(spans, key=attrgetter("blank")):
        fitting = (look for look in groups if span.blank and span.look.goes_with(look))
        groups.setdefault(next(fitting, span.look), []).append(span)
    return [span for group in groups.values() for span in group]


def _painted(spans: Iterable[Span], columns: int) -> str:
    sent: list[str] = []
    pen, x, y = PLAIN, -2, -2
    for span in spans:
        if (span.x, span.y) != (x, y):
            sent.append(_move(span.x, span.y, x, y))
        if span.look is not pen and not (span.blank and span.look.goes_with(pen)):
            sent.append(switch(pen, span.look))
            pen = span.look
        sent.append(span.text)
        x, y = span.x + span.width, span.y
        x = x if x < columns else -2  # at the margin a terminal's cursor stays on the last column
    if pen is not PLAIN:
        sent.append(switch(pen, PLAIN))
    return "".join(sent)


def _move(x: int, y: int, from_x: int, from_y: int) -> str:
    if y == from_y:
        return f"\x1b[{x + 1}G"
    if y == from_y + 1 and x in {0, from_x, from_x - 1}:
        return {0: "\r\n", from_x: "\x1b[B", from_x - 1: "\x1b[B\b"}[x]
    return f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"
