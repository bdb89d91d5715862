"""What the three tabs of the Downloads screen share: what was read, and what a tab says of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content

from core.registry.values import LOCAL_HOST
from tui.screens.download_checks import Checks
from tui.screens.download_table import Order, Table
from tui.screens.head_views import Snapshot
from tui.show import size

if TYPE_CHECKING:
    from core.catalog.weights import Weights
    from core.files.service import Usage
    from core.registry.jobs import ListedJob
    from tui.screens.download_cards import FileRow

NO_ROW = "Nothing is selected."


@dataclass(frozen=True)
class Known:
    """What was read last; `files`, `usage` and `checks` are of one host, all else is of this machine.

    `sources` are the models here by where they came from, without the revision; `free` is what is free here, in bytes.
    """

    jobs: Sequence[ListedJob] = ()
    files: Sequence[FileRow] = ()
    catalog: Sequence[Weights] = ()
    usage: Usage | None = None
    checks: Checks = field(default_factory=Checks)
    sources: Mapping[str, Sequence[FileRow]] = field(default_factory=dict)
    fetching: frozenset[str] = frozenset()
    has_unknown: bool = False
    limit: str = ""  # on bandwidth
    free: int | None = None
    host: str = LOCAL_HOST  # whose files are shown
    is_asking: bool = False  # whether it has not told yet what is there now
    old: str = ""  # since when it doesn't


class DownloadList(Snapshot):
    """Rows that can be marked; what leaves the list loses its mark."""

    def put(self, rows: Sequence[Any]) -> None:
        """Other rows."""
        self.rows = rows
        if self.marked:
            there = {self.row_id(row) for row in rows}
            self.marked = {key: row for key, row in self.marked.items() if key in there}

    def mark(self) -> None:
        """Mark the selected row, or take its mark off, and go on to the next."""
        if (row := self.selected) is not None:
            key = self.row_id(row)
            if self.marked.pop(key, None) is None:
                self.marked[key] = row
            self.move_to(self.cursor + 1)
            self.redraw()

    def mark_all(self) -> None:
        """All that are listed, or none."""
        every = {self.row_id(row): row for row in self.rows}
        self.marked = {} if len(self.marked) == len(every) else dict(every)
        self.redraw()

    def unmark(self) -> None:
        """No marks."""
        self.marked = {}
        self.redraw()

    def meant(self) -> list[Any]:
        """The marked rows in their order; where none is, the selected one."""
        if self.marked:
            return [row for row in self.rows if self.row_id(row) in self.marked]
        return [] if self.selected is None else [self.selected]


class DownloadsView:
    """One tab; `known` is the screen's. Search, filters and order are its own, and stay while others are shown."""

    NAME: ClassVar[str] = ""
    EMPTY: ClassVar[str] = ""
    ACTIONS: ClassVar[frozenset[str]] = frozenset()
    OF_HOST: ClassVar[bool] = False  # whether its rows are of the host that was chosen
    ORDERS: ClassVar[tuple[Order, ...]] = ()

    def __init__(self) -> None:
        self.table = Table(self.ORDERS)

    def make_list(self, known: Callable[[], Known]) -> DownloadList:
        """A list over rows that the screen puts into it."""
        raise NotImplementedError

    def fill(self, known: Known) -> None:
        """Take over all rows, and how they are searched and filtered."""
        raise NotImplementedError

    def tab(self, known: Known) -> str:
        """What stands beside its name."""
        return f"{len(self.table.rows):,}"

    def empty(self, known: Known) -> str:
        """What stands in the place of rows."""
        return self.EMPTY

    def summary(self, known: Known, room: int) -> Content:
        """One line on all of it."""
        raise NotImplementedError

    def marked_summary(self, rows: Sequence[Any]) -> Content:
        """The same of those that are marked."""
        amount = sum(self.amount(row) for row in rows)
        return Content.styled(f"{len(rows):,} marked" + (f", {size(amount)}" if amount else ""), "bold")

    def amount(self, row: Any) -> int:  # noqa: ANN401 - the same
        """Bytes of a row."""
        raise NotImplementedError

    def card(self, row: Any, known: Known, room: int) -> Content:  # noqa: ANN401 - a row of this view
        """The details of a row."""
        raise NotImplementedError

    def why_not(self, action: str, rows: Sequence[Any], known: Known) -> str:
        """Why an action of this view can't be done with any of these rows; "" when it can."""
        if not rows:
            return NO_ROW
        if all(self.refusal(action, row, known) for row in rows):
            return self.refusal(action, rows[0], known)
        return ""

    def refusal(self, action: str, row: Any, known: Known) -> str:  # noqa: ANN401 - a row of this view
        """The same of one row."""
        raise NotImplementedError


def within(parts: Sequence[Content], room: int, *, gap: str = "  ·  ") -> Content:
    """As many parts as fit whole."""
    shown = Content()
    for number, part in enumerate(parts):
        longer = part if not number else Content.assemble(shown, (gap, "$faint"), part)
        if number and longer.cell_length > room:
            break
        shown = longer
    return shown
