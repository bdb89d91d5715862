"""The lines of one tab: what is searched for, which filters are on and the order, over rows that are all there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

from tui.screens.model_filters import Chip
from tui.widgets.picker import Option

_ON = "on; choose it to take it off"
OrderKey = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A row, the folded text that a search looks at, its facets, such as `family:flux`, and its folded name, if any."""

    row: Any
    text: str
    facets: frozenset[str]
    name: str = ""


@dataclass(frozen=True)
class Order:
    """A way to sort: what it is called, the column it belongs to, and whether the largest comes first."""

    name: str
    column: str
    key: OrderKey
    descending: bool = False


class Table:
    """Rows of one kind; their lines are made once, before they are needed or at last then."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.text = ""
        self.rows: Sequence[Any] = ()
        self._lines: Sequence[Line] | None = ()
        self._describe: Callable[[Any], Line] | None = None
        self._lock = Lock()
        self._orders = {order.name: order for order in orders}
        self._first = self._order = orders[0]
        self._reversed = False
        self._filters: dict[str, str] = {}

    def fill(self, rows: Iterable[Any], describe: Callable[[Any], Line]) -> None:
        """Other rows, and what makes the line of one; any thread may."""
        ordered = sorted(rows, key=self._order.key, reverse=self.descending)
        with self._lock:
            self.rows, self._lines, self._describe = ordered, None, describe

    @property
    def lines(self) -> Sequence[Line]:
        """Of every row, in their order."""
        self.make_lines()
        return self._lines or ()

    def make_lines(self) -> None:
        """Have them before they are needed: of thousands of rows it takes a while. Any thread may."""
        with self._lock:
            if self._lines is None and self._describe is not None:
                self._lines = [self._describe(row) for row in self.rows]
                self._describe = None

    def _sort(self) -> None:
        ordered = sorted(self.lines, key=lambda line: self._order.key(line.row), reverse=self.descending)
        with self._lock:
            self.rows, self._lines = [line.row for line in ordered], ordered

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self._order.descending is not self._reversed

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The column's title and the direction; none of the order that is there from the beginning."""
        return (self._order.column, self.descending) if self._is_sorted else ("", False)

    @property
    def _is_sorted(self) -> bool:
        return self._order is not self._first or self._reversed

    def found(self) -> list[Any]:
        """The rows that hold every word and have every facet that was chosen; first those that are called so."""
        if not self.is_narrowed:
            return list(self.rows)
        found, wanted = self.lines, self.facets
        if wanted:
            found = [line for line in found if wanted <= line.facets]
        for word in self.text.casefold().split():
            found = [line for line in found if word in line.text]
        called = " ".join(self.text.casefold().split())
        if called and not self._is_sorted:
            found = sorted(found, key=lambda line: called not in line.name)
        return [line.row for line in found]

    # Filters

    @property
    def facets(self) -> frozenset[str]:
        """The filters that are on."""
        return frozenset(f"{kind}:{value}" for kind, value in self._filters.items())

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the order is chosen."""
        return bool(self.text.strip() or self._filters)

    def toggle(self, key: str) -> None:
        """A filter on or off, by `kind:value`; one value of a kind at a time. `sort:` goes back to the first order."""
        kind, _, value = key.partition(":")
        if kind == "sort":
            self._order, self._reversed = self._first, False
            self._sort()
        elif self._filters.get(kind) == value:
            del self._filters[kind]
        else:
            self._filters[kind] = value

    def clear(self) -> None:
        """No search and no filter."""
        self.text = ""
        self._filters.clear()

    def chips(self) -> list[Chip]:
        """What is on, the newest last."""
        shown = [Chip(f"{kind}:{value}", f"{kind} {value}") for kind, value in self._filters.items()]
        if self._is_sorted:
            shown.append(Chip("sort:", f"by {self._order.name} {'▼' if self.descending else '▲'}"))
        return shown

    def filter_options(self) -> list[Option]:
        """Every filter that some row has, with how many rows have it."""
        counts = Counter(facet for line in self.lines for facet in line.facets)
        details = {key: f"{count:,}" for key, count in counts.items()} | dict.fromkeys(self.facets, _ON)
        return [Option(key, key.replace(":", " ", 1), details[key]) for key in sorted(details)]

    # Order

    def order_options(self) -> list[tuple[str, str]]:
        """The orders, for a menu; the one in use says what choosing it again does."""
        return [
            (name.capitalize() + (" (reverse)" if order is self._order else ""), name)
            for name, order in self._orders.items()
        ]

    @property
    def order_name(self) -> str:
        """The order in use."""
        return self._order.name

    def order(self, name: str) -> None:
        """Sort so; by the order in use, the other way round."""
        chosen = self._orders[name]
        self._reversed = chosen is self._order and not self._reversed
        self._order = chosen
        self._sort()


def facets(values: Mapping[str, str | Iterable[str]]) -> frozenset[str]:
    """`kind:value` of every value that is not empty; many rows share theirs."""
    pairs = ((kind, [value] if isinstance(value, str) else value) for kind, value in values.items())
    return _shared(frozenset(f"{kind}:{value}" for kind, several in pairs for value in several if value))


@lru_cache(maxsize=4096)
def _shared(facets: frozenset[str]) -> frozenset[str]:
    return facets
