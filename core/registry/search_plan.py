"""How a question to the model list is asked in SQL, so that a page costs about the same whatever matches.

The index numbers models in the order of their names (`n`), so every way in that walks `n` is sorted already. Which way
is taken depends on how many rows it leads to: a few are fetched and sorted, many are walked in the list's own order
until the page is full.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.registry.search_index import fold
from core.registry.values import Capability, ModelQuery, ModelSort, Ownership, ServerStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection

FEW = 3_000  # rows that are fetched and sorted in a few milliseconds, wherever they lie
MANY = 100_000  # rows that are, when they come in order; a walk to them could pass a million others
_SOME = 150_000  # rows up to which the pieces of a short word are worth their lists
_MOST_TERMS = 200
_PIECE = 3  # letters
PREFERRED = (
    ServerStatus.RUNNING,
    ServerStatus.LOADING,
    ServerStatus.STARTING,
    ServerStatus.STOPPING,
    ServerStatus.FAILED,
    ServerStatus.STOPPED,
)
_RANKS = {status.value: rank for rank, status in enumerate(PREFERRED)}
_BITS = {Capability.STREAMING: 1, Capability.TOOLS: 2, Capability.VISION: 4}
SORT_COLUMNS = {
    ModelSort.PROVIDER: "provider",
    ModelSort.MODEL_ID: "model_id",
    ModelSort.CONTEXT: "context",
    ModelSort.REGION: "region",
    ModelSort.UPDATED: "updated",
    ModelSort.OWNER: "is_global",
}
_PIECES = "model_search_pieces p CROSS JOIN model_search s ON s.n = p.rowid"
_SERVED = "json_each(?) j CROSS JOIN model_search s ON s.id = j.value"
_SCAN = "model_search s NOT INDEXED"


def _index(name: str) -> str:
    return f"model_search s INDEXED BY model_search_{name}"


@dataclass(frozen=True)
class Test:
    """A condition on a row, with what stands for its marks."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Way:
    """A way in to the rows: tables in the order they are walked, and the condition that this way itself needs."""

    tables: str
    values: tuple[Any, ...] = ()
    test: Test | None = None

    @property
    def number(self) -> str:
        """The row's number as this way yields it in order."""
        return "p.rowid" if self.tables == _PIECES else "s.n"


class Question:
    """One query of one user, asked on one connection."""

    def __init__(self, connection: Connection, query: ModelQuery, user_id: str) -> None:
        self._connection = connection
        self.query = query
        self.words = [fold(word) for word in query.text.split()]
        self._user_id = user_id
        self.ranks = self._served() if query.state is not None or query.sort is ModelSort.STATUS else {}
        self.seen = (Test("s.archived = ?", (int(query.archived),)), *self._visible())
        self.tests = (*self.seen, *self._filters(), *(Test("instr(s.hay, ?)", (word,)) for word in self.words))
        self._match = self._matching()

    def ask(self, columns: str, way: Way, order: str = "", *more: Test, page: tuple[int, int] | None = None) -> Any:  # noqa: ANN401 - rows of these columns
        """Rows that pass every test; `page` is (offset, limit)."""
        tests = [*((way.test,) if way.test else ()), *self.tests, *more]
        where = " AND ".join(test.sql for test in tests)
        sql = f"SELECT {columns} FROM {way.tables} WHERE {where}"  # noqa: S608 - our own names; values are bound
        values = [*way.values, *(value for test in tests for value in test.values)]
        if order:
            sql += f" ORDER BY {order}"
        if page is not None:
            sql += " LIMIT ? OFFSET ?"
            values += [page[1], page[0]]
        return self._connection.exec_driver_sql(sql, tuple(values)).all()

    def count(self, *more: Test) -> int:
        """How many rows pass."""
        return int(self.ask("count(*)", self._way_to_count(), "", *more)[0][0])

    def total(self) -> int:
        """How many rows there are to filter."""
        where = " AND ".join(test.sql for test in self.seen)
        values = tuple(value for test in self.seen for value in test.values)
        sql = f"SELECT count(*) FROM {_index('archived')} WHERE {where}"  # noqa: S608 - as above
        return int(self._connection.exec_driver_sql(sql, values).scalar_one())

    # Conditions

    def _visible(self) -> tuple[Test, ...]:
        """Mine and the global ones; nothing to test where nobody else has a record."""
        others = (
            "SELECT EXISTS (SELECT 1 FROM models WHERE user_id < ?) OR EXISTS (SELECT 1 FROM models WHERE user_id > ?)"
        )
        if not self._connection.exec_driver_sql(others, (self._user_id, self._user_id)).scalar_one():
            return ()
        return (Test("(s.owner = ? OR s.is_global = 1)", (self._user_id,)),)

    def _filters(self) -> list[Test]:
        query = self.query
        tests = []
        if query.provider is not None:
            tests.append(Test("s.provider = ?", (query.provider.value,)))
        if query.region is not None:
            tests.append(Test("s.region = ?", (query.region,)))
        if query.ownership is not Ownership.ALL:
            tests.append(Test(f"s.is_global = {int(query.ownership is Ownership.GLOBAL)}"))
        if query.capabilities:
            bits = sum(_BITS[ability] for ability in query.capabilities)
            tests.append(Test("s.abilities & ? = ?", (bits, bits)))
        return [*tests, *self._state()]

    def _state(self) -> list[Test]:
        if self.query.state is None:
            return []
        ids = json.dumps(self._of_state())
        negated = "NOT " if self.query.state is ServerStatus.STOPPED else ""
        return [Test(f"s.id {negated}IN (SELECT value FROM json_each(?))", (ids,))]  # noqa: S608

    def _of_state(self) -> list[str]:
        """The models of this state; for STOPPED, those of any other, since having no server counts as stopped."""
        wanted = _RANKS[self.query.state.value] if self.query.state else -1
        stopped = self.query.state is ServerStatus.STOPPED
        return [model for model, rank in self.ranks.items() if (rank == wanted) != stopped]

    def _served(self) -> dict[str, int]:
        """By model, the rank of the state of its server that is shown."""
        ranks: dict[str, int] = {}
        for model, status in self._connection.exec_driver_sql("SELECT model_id, status FROM servers"):
            ranks[model] = min(ranks.get(model, len(_RANKS)), _RANKS.get(status, len(_RANKS)))
        return ranks

    # Ways in

    def _matching(self) -> str:
        """The words as an expression over pieces of three letters; "" where that leads nowhere."""
        pieces = {word[i : i + _PIECE] for word in self.words for i in range(len(word) - _PIECE + 1)}
        if pieces:
            return " AND ".join(map(_quoted, sorted(pieces)))
        most = FEW if self.query.sort not in {ModelSort.NAME, ModelSort.STATUS} else _SOME
        expressions = [self._beginning_with(word, most) for word in self.words]
        return min(filter(None, expressions), key=len, default="")

    def _beginning_with(self, word: str, most: int) -> str:
        """A word of one or two letters: the pieces that begin with it, unless they are in too many rows."""
        terms, rows = [], 0
        listed = "SELECT term, doc FROM model_search_terms WHERE term >= ? AND term < ?"
        cursor = self._connection.exec_driver_sql(listed, (word, word + "\U0010ffff"))
        for term, documents in cursor:
            terms.append(_quoted(term))
            rows += documents
            if rows > most or len(terms) > _MOST_TERMS:
                cursor.close()
                return ""
        return " OR ".join(terms) or _quoted(_NOWHERE)

    def _pieces(self) -> Way:
        return Way(_PIECES, test=Test("model_search_pieces MATCH ?", (self._match,)))

    def _narrow(self) -> list[tuple[Way, Test | None]]:
        """The ways that may lead to a few rows only, each with the test that makes it narrow."""
        query, ways = self.query, list[tuple[Way, Test | None]]()
        by_column = {test.sql: test for test in self.tests}
        if query.state not in {None, ServerStatus.STOPPED}:
            ways.append((Way(_SERVED, (json.dumps(self._of_state()),)), None))
        if self._match:
            ways.append((self._pieces(), None))
        for column, sql in (("provider", "s.provider = ?"), ("region", "s.region = ?"), ("global", "s.is_global = 1")):
            if sql in by_column:
                ways.append((Way(_index(column)), by_column[sql]))
        return ways

    def _is_narrow(self, way: Way, test: Test | None, most: int) -> bool:
        if way.tables == _SERVED:
            return True
        tests = [way.test] if way.test else [self.seen[0], *((test,) if test else ())]
        where = " AND ".join(one.sql for one in tests)
        values = [value for one in tests for value in one.values]
        tables = way.tables if way.test is None else "model_search_pieces"
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {tables} WHERE {where} LIMIT ?)"  # noqa: S608 - our own names
        return int(self._connection.exec_driver_sql(sql, (*values, most + 1)).scalar_one()) <= most

    def few(self) -> Way | None:
        """A way that leads to a few rows, if there is one."""
        return next((way for way, test in self._narrow() if self._is_narrow(way, test, FEW)), None)

    def sortable(self) -> Way | None:
        """A way that leads to no more rows than can be sorted; those that hold pieces lie close together."""
        few = self.few()
        if few is None and self._match and self._is_narrow(self._pieces(), None, MANY):
            return self._pieces()
        return few

    def by_name(self) -> Way:
        """A way that yields rows in the order of their names."""
        ways = self._narrow()
        filtered = len(self.tests) > len(self.seen) + len(self.words)
        if filtered and (narrow := self.few()) is not None:
            return narrow
        if self._match:
            return self._pieces()
        indexed = next((way for way, test in ways if test is not None), None)
        if indexed is not None:
            return indexed
        plain = len(self.tests) == len(self.seen) or self.query.archived
        return Way(_index("archived") if plain else _SCAN)

    def served(self) -> Way:
        """The way to those with a server."""
        return Way(_SERVED, (json.dumps(list(self.ranks)),))

    def by_column(self, column: str) -> Way:
        """The way that yields rows in the order of a column, and then of their names."""
        return Way(_index(column))

    def begins_with(self, column: str, count: int, *, backward: bool) -> Way:
        """The way to the first rows of the list as it is sorted by a column; backward, to its last, from the end."""
        sql, values = self._beginning(column, "n", backward=backward)
        return Way(f"({sql} LIMIT ?) w CROSS JOIN model_search s ON s.n = w.n", (*values, count))

    def value_at(self, column: str, index: int) -> object:
        """What stands in a column at this place from the end; None where there are not so many rows."""
        sql, values = self._beginning(column, column, backward=True)
        return self._connection.exec_driver_sql(f"{sql} LIMIT 1 OFFSET ?", (*values, index)).scalar()

    def _beginning(self, column: str, shown: str, *, backward: bool) -> tuple[str, tuple[Any, ...]]:
        direction = " DESC" if backward else ""
        order = f"{column}{direction}, n{direction}"
        sql = f"SELECT {shown} FROM model_search INDEXED BY model_search_{column} WHERE archived = ? ORDER BY {order}"  # noqa: S608
        return sql, (int(self.query.archived),)

    def _way_to_count(self) -> Way:
        if (few := self.few()) is not None:
            return few
        if self._match:
            return self._pieces()
        if len(self.tests) == len(self.seen):
            return Way(_index("archived"))
        return next((way for way, test in self._narrow() if test is not None), Way(_SCAN))


_NOWHERE = "\n\n\n"


def _quoted(piece: str) -> str:
    doubled = piece.replace('"', '""')
    return f'"{doubled}"'


def ids(rows: Sequence[Sequence[Any]]) -> list[str]:
    """The first column."""
    return [row[0] for row in rows]
