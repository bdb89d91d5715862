"""Lines of text from outside, drawn by line: logs that are followed, and the talk with a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.text import StreamCleaner, clean_line

_MOST_LINES = 20_000
_DROPPED = 2_000
_TONES = ("dim", "good", "busy", "warn", "bad", "strong", "hit")


@dataclass(frozen=True)
class TextLine:
    """One harmless line and its tone."""

    text: str
    tone: str = ""


class LineView(ScrollView, can_focus=True):
    """A log: lines are added at the end; it follows them while its end is in view and `following` is set."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"view--{tone}" for tone in _TONES}

    def __init__(self, *, id: str, wide: bool = True) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.lines: list[TextLine] = []
        self.following = True
        self.hits: list[int] = []
        self.hit = -1
        self._word = ""
        self._wide = wide
        self._widest = 0
        self._due = False

    def write(self, texts: Iterable[str], tone: str = "") -> None:
        """Add lines; what is written within a twentieth of a second is drawn at once."""
        for text in texts:
            self.put(TextLine(clean_line(text), tone))

    def put(self, line: TextLine) -> None:
        """Add a line that is harmless already."""
        if self._word and self._word in line.text.lower():
            self.hits.append(len(self.lines))
        self.lines.append(line)
        self._widest = max(self._widest, cell_len(line.text)) if self._wide else 0
        self.draw_soon()

    def clear(self) -> None:
        """Forget all lines."""
        self.lines.clear()
        self.hits.clear()
        self._widest = 0
        self.draw_soon()

    def draw_soon(self) -> None:
        """Draw within a twentieth of a second."""
        if not self._due:
            self._due = True
            self.set_timer(0.05, self.draw)

    def draw(self) -> None:
        """Bring size, position and lines in view up to date."""
        self._due = False
        if len(self.lines) > _MOST_LINES:
            self._drop(_DROPPED)
        self.virtual_size = Size(max(self._widest, 1), len(self.lines))
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)
        self.refresh(self.size.region)

    def _drop(self, count: int) -> None:
        del self.lines[:count]
        self.hits = [hit - count for hit in self.hits if hit >= count]

    # Search

    def search(self, word: str) -> int:
        """Mark the lines that hold the word, upper or lower case; returns how many there are."""
        self._word = word.lower()
        self.hits = [n for n, line in enumerate(self.lines) if self._word and self._word in line.text.lower()]
        self.hit = len(self.hits)
        self.refresh(self.size.region)
        return len(self.hits)

    def go_to_hit(self, step: int) -> None:
        """To the next or previous hit, round the ends."""
        if self.hits:
            self.hit = (self.hit + step) % len(self.hits)
            self.following = False
            self.scroll_to(y=max(0, self.hits[self.hit] - self.size.height // 2), animate=False, immediate=True)
            self.refresh(self.size.region)

    # Drawing

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        style = self.rich_style
        if top + y >= len(self.lines):
            return Strip.blank(self.size.width, style)
        line = self.lines[top + y]
        shown = Strip(self._segments(line, top + y, style))
        return shown.crop_extend(left, left + self.size.width, style)

    def _segments(self, line: TextLine, number: int, style: Style) -> list[Segment]:
        base = style + self._tone(line.tone)
        if not self._word or self._word not in line.text.lower():
            return [Segment(line.text, base)]
        here = bool(self.hits) and self.hit < len(self.hits) and self.hits[self.hit] == number
        marked = base + self._tone("hit") + Style(underline=here, bold=here)
        return _split(line.text, self._word, base, marked)

    def _tone(self, tone: str) -> Style:
        return self.get_component_rich_style(f"view--{tone}", partial=True) if tone else Style.null()


def _split(text: str, word: str, base: Style, marked: Style) -> list[Segment]:
    segments, start, lower = [], 0, text.lower()
    while (at := lower.find(word, start)) >= 0:
        segments += [Segment(text[start:at], base), Segment(text[at : at + len(word)], marked)]
        start = at + len(word)
    return [*segments, Segment(text[start:], base)]


class Transcript(LineView):
    """A talk: blocks of text wrapped to the width; the last one may still be growing, and only its end is drawn."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, wide=False)
        self.blocks: list[TextLine] = []
        self._cleaner = StreamCleaner()
        self._open_from = 0
        self._open_text = ""

    def add(self, text: str, tone: str = "") -> None:
        """A whole block, harmless or not."""
        self.start(tone)
        self.grow(text)
        self.finish()

    def gap(self) -> None:
        """An empty line between blocks."""
        self.blocks.append(TextLine(""))
        self.put(TextLine(""))
        self._open_from, self._open_text = len(self.lines), ""

    def start(self, tone: str = "") -> None:
        """Begin a block that grows."""
        self._cleaner = StreamCleaner()
        self.blocks.append(TextLine("", tone))
        self._open_from, self._open_text = len(self.lines), ""

    def grow(self, piece: str) -> None:
        """More text of the last block, as it arrives."""
        self._grow(self._cleaner.feed(piece))

    def finish(self) -> None:
        """The last block is complete."""
        self._grow(self._cleaner.finish())

    def _grow(self, text: str) -> None:
        if not text:
            return
        block = self.blocks[-1]
        self.blocks[-1] = TextLine(block.text + text, block.tone)
        self._open_text += text
        del self.lines[self._open_from :]
        self.lines += self._wrap(self._open_text, block.tone)
        head, line_break, tail = self._open_text.rpartition("\n")
        if line_break:
            self._open_from += len(self._wrap(head, block.tone))
            self._open_text = tail
        self.draw_soon()

    def clear(self) -> None:
        self.blocks.clear()
        self._open_from, self._open_text = 0, ""
        super().clear()

    def _wrap(self, text: str, tone: str) -> list[TextLine]:
        width = max(20, self.size.width - 2)
        parts = [part for line in text.split("\n") for part in _wrapped(line, width)]
        return [TextLine(part, tone) for part in parts]

    def on_resize(self) -> None:
        """Wrap everything again."""
        self.lines = [line for block in self.blocks[:-1] for line in self._wrap(block.text, block.tone)]
        self._open_from = len(self.lines)
        if self.blocks:
            self._open_text = self.blocks[-1].text
            self.lines += self._wrap(self._open_text, self.blocks[-1].tone)
        self.draw_soon()


def _wrapped(line: str, width: int) -> list[str]:
    if cell_len(line) <= width:
        return [line]
    return [part.plain.rstrip() for part in Content(line).wrap(width)]
