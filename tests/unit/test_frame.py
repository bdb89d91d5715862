"""What is sent to the terminal makes it show what Textual's own, whole output would show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyte.screens import Char
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip
from wcwidth import wcwidth

from tui.frame import Frame, cells_of
from tui.looks import PLAIN, look_of, switch

COLUMNS, ROWS = 18, 2
CONSOLE = Console(color_system="truecolor", force_terminal=True, legacy_windows=False)
GLYPHS = ["a", "B", "7", " ", " ", " ", "é", "│", "▌", "…", "→", "漢", "語", "가", "⚡", "🚀"]
JOINED = ["e\u0301", "漢\u0301"]
PUT_TOGETHER = ["⚠\ufe0f", "👨\u200d👩\u200d👧", "🇩🇪", "👍🏽"]
COLOURS = ["default", "red", "#102030", "#a0b0c0", "color(200)"]
ATTRIBUTES = ["", "bold", "dim", "bold dim", "underline", "reverse", "italic strike", "bold underline reverse"]
ALL = [*GLYPHS, *JOINED, *PUT_TOGETHER]

Span = tuple[int, int, int]

styles = st.builds(
    lambda attributes, ink, ground: Style.parse(f"{attributes} {ink} on {ground}"),
    st.sampled_from(ATTRIBUTES),
    st.sampled_from(COLOURS),
    st.sampled_from(COLOURS),
)


def segments(glyphs: Sequence[str]) -> st.SearchStrategy[Segment]:
    return st.builds(lambda chars, style: Segment("".join(chars), style), st.lists(st.sampled_from(glyphs)), styles)


def lines(glyphs: Sequence[str] = tuple(GLYPHS)) -> st.SearchStrategy[list[Strip]]:
    line = st.lists(segments(glyphs), max_size=5).map(lambda parts: Strip(parts).adjust_cell_length(COLUMNS))
    return st.lists(line, min_size=ROWS, max_size=ROWS)


def whole(strips: Sequence[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[strip] for strip in strips], Region(0, 0, COLUMNS, ROWS))


def part(strips: Sequence[Strip], cuts: Sequence[int], spans: list[Span]) -> ChopsUpdate:
    """As the compositor makes it: lines cut where widgets begin, of which the spans are valid."""
    places = sorted({0, COLUMNS, *cuts})
    chops = [dict(zip(places, strip.divide(places[1:]), strict=False)) for strip in strips]
    return ChopsUpdate(chops, spans, [places[1:]] * ROWS)


spans = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 2), st.integers(1, COLUMNS)).map(
        lambda span: (span[0], span[1], max(span[1] + 1, span[2]))
    ),
    min_size=1,
    max_size=4,
)


class Terminal(pyte.Screen):
    """As real ones: marks join the character before them, and half of a wide character is not left over."""

    def __init__(self, *, narrow: str = "") -> None:
        super().__init__(COLUMNS, ROWS)
        self.narrow = narrow
        self.stream = pyte.Stream(self)

    def draw(self, data: str) -> None:
        for char in data:
            width = 1 if char in self.narrow else max(0, wcwidth(char))
            if width:
                self._put(char, width)
            else:
                self._join(char)

    def _put(self, char: str, width: int) -> None:
        row, x = self.buffer[self.cursor.y], min(self.cursor.x, COLUMNS - width)
        for place, other in ((x, x - 1), (x + width, x + width)):
            if 0 <= other < COLUMNS and row[place].data == "":
                row[other] = row[other]._replace(data=" ")
        for place, part in enumerate((char, "")[:width], x):
            row[place] = self.cursor.attrs._replace(data=part)
        self.cursor.x = x + width

    def _join(self, mark: str) -> None:
        row, x = self.buffer[self.cursor.y], self.cursor.x - 1
        x -= row[x].data == ""
        row[x] = row[x]._replace(data=row[x].data + mark)

    def seen(self) -> list[list[tuple[object, ...]]]:
        """What a person sees: of a space only its ground and what is drawn on it."""
        return [[_seen(self.buffer[y][x]) for x in range(COLUMNS)] for y in range(ROWS)]


def _seen(cell: Char) -> tuple[object, ...]:
    plain_space = cell.data == " " and not (cell.reverse or cell.underscore or cell.strikethrough)
    return tuple(
        None if plain_space and name in {"fg", "bold", "italics"} else value for name, value in cell._asdict().items()
    )


def seen_whole(strips: Sequence[Strip]) -> list[list[tuple[object, ...]]]:
    """What Textual's own output makes a fresh terminal show."""
    terminal = Terminal()
    terminal.stream.feed(whole(strips).render_segments(CONSOLE).replace("\n", "\r\n"))
    return terminal.seen()


@settings(max_examples=100, deadline=None)
@given(st.lists(lines([*GLYPHS, *JOINED, " " * 12]), min_size=1, max_size=3), st.booleans())
def test_differences_of_whole_frames_show_the_last_one(frames: list[list[Strip]], erases: bool) -> None:
    frame, terminal = Frame(erases=erases), Terminal()
    for strips in frames:
        frame.take(whole(strips))
        terminal.stream.feed(frame.changes())
        assert terminal.seen() == seen_whole(strips)


@settings(max_examples=100, deadline=None)
@given(lines(), lines(), st.lists(st.integers(1, COLUMNS - 1), max_size=4), spans)
def test_partial_updates_change_their_pieces_only(
    before: list[Strip], after: list[Strip], cuts: list[int], touched: list[Span]
) -> None:
    frame, terminal = Frame(erases=True), Terminal()
    for update in (whole(before), part(after, cuts, touched)):
        frame.take(update)
        terminal.stream.feed(frame.changes())
    expected = Terminal()
    expected.stream.feed(whole(before).render_segments(CONSOLE).replace("\n", "\r\n"))
    expected.stream.feed(part(after, cuts, _pieces(cuts, touched)).render_segments(CONSOLE))
    assert terminal.seen() == expected.seen()


def _pieces(cuts: Sequence[int], touched: Sequence[Span]) -> list[Span]:
    """Whole pieces between cuts, where spans touch them."""
    pieces = list(itertools.pairwise(sorted({0, COLUMNS, *cuts})))
    return sorted({(y, x, end) for y, first, last in touched for x, end in pieces if x < last and first < end})


@settings(max_examples=100, deadline=None)
@given(lines(ALL), lines(ALL), st.sampled_from(["", "🚀👨👩👧👍"]))
def test_where_a_terminal_disagrees_about_a_width_the_rest_stays_in_its_place(
    before: list[Strip], after: list[Strip], narrow: str
) -> None:
    frame, terminal = Frame(erases=True), Terminal(narrow=narrow)
    for strips in (before, after):
        frame.take(whole(strips))
        terminal.stream.feed(frame.changes())
    for y, strip in enumerate(after):
        for x, (glyph, _) in enumerate(cells_of(strip)[: COLUMNS - 2]):
            if glyph and wcwidth(glyph[0]) == 1 and not set(glyph) & {*"\u200d\ufe0f⚠"}:
                assert terminal.buffer[y][x].data == glyph, (y, x)


@settings(deadline=None)
@given(st.lists(styles, min_size=1, max_size=6))
def test_changes_of_style_arrive_at_the_last_one(wanted: list[Style]) -> None:
    looks = [PLAIN, *(look_of(style, ColorSystem.TRUECOLOR) for style in wanted)]
    changed, anew = Terminal(), Terminal()
    changed.stream.feed("".join(switch(a, b) for a, b in itertools.pairwise(looks)) + "x")
    anew.stream.feed(wanted[-1].render("x", color_system=ColorSystem.TRUECOLOR))
    assert changed.buffer[0][0] == anew.buffer[0][0]


def test_what_did_not_change_is_not_sent() -> None:
    frame, strips = Frame(), [Strip([Segment("x" * COLUMNS)])] * ROWS
    frame.take(whole(strips))
    assert frame.changes()
    frame.take(whole(strips))
    assert frame.changes() == ""


def test_a_changed_letter_costs_its_place_and_itself() -> None:
    frame = Frame()
    for text in ("a" * COLUMNS, "a" * 5 + "b" + "a" * (COLUMNS - 6)):
        frame.take(whole([Strip([Segment(text)])] * ROWS))
        sent = frame.changes()
    assert sent == "\x1b[1;6Hb\x1b[B\bb"


def test_after_forgetting_and_after_a_resize_everything_is_sent() -> None:
    strips = [Strip([Segment("x" * COLUMNS)])] * ROWS
    frame = Frame()
    frame.take(whole(strips))
    first = frame.changes()
    frame.forget()
    assert frame.changes() == first
    frame.take(LayoutUpdate([[strips[0]]], Region(0, 0, COLUMNS, 1)))
    assert frame.changes().count("x") == COLUMNS


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\x9b2Jb", "a\rb", "a\u202eb", "a\u2028b", "a\udcffb", "\x07ab"])
def test_what_steers_a_terminal_never_reaches_it(text: str) -> None:
    frame = Frame()
    frame.take(LayoutUpdate([[Strip([Segment(text)]).adjust_cell_length(COLUMNS)]], Region(0, 0, COLUMNS, 1)))
    sent = frame.changes()
    assert sent.startswith("\x1b[1Ha")
    assert not {*sent[4:]} & {*"\x1b\x9b\r\u202e\u2028\udcff\x07"}


def test_links_begin_and_end() -> None:
    frame = Frame()
    parts = [Segment("ab", Style(link="https://example.org")), Segment("c" * (COLUMNS - 2))]
    frame.take(LayoutUpdate([[Strip(parts)]], Region(0, 0, COLUMNS, 1)))
    assert "\x1b]8;;https://example.org\x1b\\ab\x1b]8;;\x1b\\c" in frame.changes()
