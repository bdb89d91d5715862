"""A list drawn by line over pages that are fetched when they come into view.

Only lines whose text changed are drawn again, so that a live list over a bad line costs a few bytes a change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from core.errors import ModelyardError
from tui.keys import bindings
from tui.widgets.columns import Cell, Column
from tui.widgets.line_painter import TONES, LinePainter, RowLook

if TYPE_CHECKING:
    from textual import events

RowT = TypeVar("RowT")
PAGE = 50
_KEPT_PAGES = 24
_LOOK_AROUND = 3  # pages on each side of the cursor where a selected row that moved is looked for


@dataclass(frozen=True)
class Chunk(Generic[RowT]):
    """Rows from the offset that was asked for, of `count` rows there are (None: as many as were known)."""

    rows: Sequence[RowT]
    count: int | None


class PagedList(ScrollView, Generic[RowT], can_focus=True):
    """Lines of records; a subclass says how to fetch them, their identity, and what stands in the columns."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]
    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--header",
        "list--cursor",
        "list--cursor-blurred",
        *(f"list--{tone}" for tone in TONES),
    }

    class Selected(Message):
        """Another row is selected, or the selected one has new values."""

    class TitleClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    class Failed(Message):
        """A page could not be fetched; it is asked for again at the next reload."""

        def __init__(self, error: ModelyardError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.count = 0
        self.cursor = 0
        self.marked: dict[str, object] = {}  # by id, whatever a subclass keeps of the row
        self.sorted_by: tuple[str, bool] = ("", False)  # a column's title, and whether the order is reversed
        self._version = 0
        self._pages: OrderedDict[int, Sequence[RowT]] = OrderedDict()
        self._asked: set[int] = set()
        self._painter = LinePainter(self, self.COLUMNS)
        self._drawn: dict[int, tuple[object, ...]] = {}  # by line, what it shows
        self._looks: dict[int, tuple[object, ...]] = {}  # by line, what it is to show
        self._said: tuple[str, str] = ("", "")
        self._announced: tuple[int | None, RowT | None] | None = None

    async def fetch(self, offset: int, limit: int) -> Chunk[RowT]:
        """Rows [offset, offset + limit)."""
        raise NotImplementedError

    def row_id(self, row: RowT) -> str:
        """What keeps the selection on this row when others move."""
        raise NotImplementedError

    def cells(self, row: RowT) -> tuple[Cell, ...]:
        """One per column."""
        raise NotImplementedError

    # Rows

    @property
    def selected(self) -> RowT | None:
        """The row under the cursor, where it is loaded."""
        return self.row_at(self.cursor)

    @property
    def selected_id(self) -> str | None:
        """Its id."""
        row = self.selected
        return None if row is None else self.row_id(row)

    def row_at(self, index: int) -> RowT | None:
        """The row at an index, None while its page is not here."""
        page = self._pages.get(index // PAGE)
        place = index % PAGE
        return page[place] if page is not None and place < len(page) else None

    async def reload(self, *, select: str | None = None) -> None:
        """Fetch again what is in view; the cursor stays on the same record, or goes to `select`."""
        wanted = select or self.selected_id
        first = max(0, self.scroll_offset.y)
        needed = sorted({self.cursor // PAGE, first // PAGE, (first + max(1, self.size.height)) // PAGE})
        pages: dict[int, Sequence[RowT]] = {}
        count = await self._fetch_into(pages, needed, self.count)
        found = self._find(pages, wanted)
        for page in self._around(count, pages) if wanted and found is None else ():
            count = await self._fetch_into(pages, [page], count)
            if (found := self._find(pages, wanted)) is not None:
                break
        self._take(pages, count, self.cursor if found is None else found)

    async def _fetch_into(self, pages: dict[int, Sequence[RowT]], numbers: list[int], count: int) -> int:
        for number in numbers:
            if number == 0 or number * PAGE < max(count, 1):
                chunk = await self.fetch(number * PAGE, PAGE)
                pages[number], count = chunk.rows, count if chunk.count is None else chunk.count
        return count

    def _around(self, count: int, have: dict[int, Sequence[RowT]]) -> list[int]:
        middle, last = self.cursor // PAGE, max(0, count - 1) // PAGE
        near = sorted(range(middle - _LOOK_AROUND, middle + _LOOK_AROUND + 1), key=lambda page: abs(page - middle))
        return [page for page in near if 0 <= page <= last and page not in have]

    def _find(self, pages: dict[int, Sequence[RowT]], wanted: str | None) -> int | None:
        for number, rows in pages.items():
            for place, row in enumerate(rows):
                if self.row_id(row) == wanted:
                    return number * PAGE + place
        return None

    def _take(self, pages: dict[int, Sequence[RowT]], count: int, cursor: int) -> None:
        height_before = self.cursor - self.scroll_offset.y
        moved = cursor != self.cursor
        self._version += 1
        self._pages = OrderedDict(sorted(pages.items()))
        self._asked.clear()
        self.count = count
        self.cursor = max(0, min(cursor, count - 1))
        self._resize()
        if moved:
            self.scroll_to(y=max(0, self.cursor - height_before), animate=False, immediate=True, force=True)
            self._scroll_to_cursor()
        self.redraw()
        self._announce()

    def take_count(self, count: int) -> None:
        """So many rows there are; those that are here stay."""
        before, self.count = self.count, count
        self._resize()
        if self.cursor >= count:
            self.move_to(count - 1)
        if self.scroll_offset.y + self.size.height > min(before, count):
            self.redraw()

    def _resize(self) -> None:
        """Only the scroll bar depends on how many rows there are: the screen is laid out again only for its width."""
        size = Size(self.size.width, self.count + 1)
        if size != self.virtual_size:
            self.set_reactive(ScrollView.virtual_size, size)
            self._scroll_update(size)

    def _want(self, page: int) -> None:
        if page not in self._asked:
            self._asked.add(page)
            self.run_worker(self._fetch_page(page), group="pages")

    async def _fetch_page(self, page: int) -> None:
        version = self._version
        try:
            chunk = await self.fetch(page * PAGE, PAGE)
        except ModelyardError as error:
            self.post_message(self.Failed(error))
            return
        if version != self._version:  # a page of what was shown before
            return
        self._asked.discard(page)
        self._pages[page] = chunk.rows
        self._pages.move_to_end(page)
        while len(self._pages) > _KEPT_PAGES:
            self._pages.popitem(last=False)
        self.redraw()
        if page == self.cursor // PAGE:
            self._announce()

    def _announce(self) -> None:
        state = (self.cursor if self.count else None, self.selected)
        if self._announced is None or state[0] != self._announced[0] or state[1] is not self._announced[1]:
            self._announced = state
            self.post_message(self.Selected())

    # What is said in place of rows

    def say(self, text: str, tone: str = "dim") -> None:
        """Shown where the rows would be when there are none: loading, empty, or what went wrong."""
        if self._said != (text, tone):
            self._said = (text, tone)
            if not self.count:
                self.refresh()

    # Drawing

    def redraw(self) -> None:
        """Draw again the lines in view whose text is not what was drawn."""
        self._looks.clear()
        for y in range(self.size.height):
            look = self._look(y)
            if self._drawn.get(y) != look:
                self._looks[y] = look
                self.refresh(Region(0, y, self.size.width, 1))

    def _look(self, y: int) -> tuple[object, ...]:
        index, width = self.scroll_offset.y + y - 1, self.size.width
        if y == 0:
            return (self.sorted_by, width)
        if index >= self.count:
            return ("" if self.count else self._said, width)
        row = self.row_at(index)
        marked, cells = (False, None) if row is None else (self.row_id(row) in self.marked, self.cells(row))
        return RowLook(index == self.cursor, self.has_focus, marked, cells, width)

    def render_line(self, y: int) -> Strip:
        """Header first, then rows; a page that isn't here is asked for."""
        look = self._looks.pop(y, ())
        if not look or look[-1] != self.size.width:  # laid out for another width since then
            look = self._look(y)
        self._drawn[y] = look
        if isinstance(look, RowLook):
            self._use_page((self.scroll_offset.y + y - 1) // PAGE)
            return self._painter.row(look)
        if y == 0:
            return self._painter.header([self._title(column) for column in self.COLUMNS], self.size.width)
        return self._painter.blank(self.size.width) if self.count else self._message(y)

    def _use_page(self, page: int) -> None:
        if page in self._pages:
            self._pages.move_to_end(page)
        else:
            self._want(page)

    def _title(self, column: Column) -> str:
        title, reverse = self.sorted_by
        return column.title if column.title != title else f"{title}{'▼' if reverse else '▲'}"

    def _message(self, y: int) -> Strip:
        text, tone = self._said
        lines = [part for whole in text.split("\n") for part in Content(whole).wrap(max(10, self.size.width - 4))]
        if not 0 <= y - 2 < len(lines):
            return self._painter.blank(self.size.width)
        return self._painter.text(lines[y - 2].plain, self.size.width, tone)

    def notify_style_update(self) -> None:
        """Another theme, or a class that came or went."""
        super().notify_style_update()
        self._painter.forget()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._forget_drawn()

    def _forget_drawn(self) -> None:
        self._drawn.clear()
        self._looks.clear()

    def on_resize(self) -> None:
        self._forget_drawn()
        self._resize()
        self._scroll_to_cursor()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    # Moving

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, and bring it into view."""
        index = max(0, min(index, self.count - 1))
        if index != self.cursor:
            step = index - self.cursor
            self.cursor = index
            self._scroll_to_cursor()
            self.redraw()
            self._announce()
            self._look_ahead(step)

    def _look_ahead(self, step: int) -> None:
        """Have the rows at hand that the next such step goes to."""
        ahead = self.cursor + (self.size.height if step > 0 else -self.size.height)
        page = max(0, min(ahead, self.count - 1)) // PAGE
        if page not in self._pages:
            self._want(page)

    def _scroll_to_cursor(self) -> None:
        top, rows = self.scroll_offset.y, max(1, self.size.height - 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True, force=True)
        elif self.cursor >= top + rows:
            self.scroll_to(y=self.cursor - rows + 1, animate=False, immediate=True, force=True)

    def action_cursor(self, step: int) -> None:
        """By lines."""
        self.move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """By pages."""
        self.move_to(self.cursor + step * max(1, self.size.height - 2))

    def action_first(self) -> None:
        """To the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last row."""
        self.move_to(self.count - 1)

    def on_click(self, event: events.Click) -> None:
        """A click selects a row, a second one shows its details; one on a title tells the screen."""
        index = self.scroll_offset.y + event.y - 1
        if event.y == 0 and (column := self._painter.column_at(event.x, self.size.width)):
            self.post_message(self.TitleClicked(column))
        if event.y == 0 or index >= self.count:
            return
        again = index == self.cursor
        self.move_to(index)
        if again and event.chain == 2:
            self.run_worker(self.screen.run_action("details"))
