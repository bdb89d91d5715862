"""Pages of the model list: filtered, sorted by any column and then by name, fast at any depth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import case
from sqlmodel import Session, col, select

from core.registry.records import Model, Server
from core.registry.search_plan import PREFERRED, SORT_COLUMNS, Question, Test, Way, ids
from core.registry.values import ModelCounts, ModelPage, ModelQuery, ModelRow, ModelSort

_CHUNK = 500
_NEAR = 4_000  # rows of the list's beginning that are looked through first
_NumberedRow = Sequence[Any]  # id, number, the sort column's value


def search_models(session: Session, query: ModelQuery, *, user_id: str, offset: int, limit: int) -> ModelPage:
    """One page of the list, with the counts of its line "Showing X of Y"."""
    counts = count_models(session, query, user_id=user_id)
    rows = model_rows(session, query, user_id=user_id, offset=offset, limit=limit, shown=counts.shown)
    return ModelPage(rows=rows, offset=offset, shown=counts.shown, total=counts.total)


def count_models(session: Session, query: ModelQuery, *, user_id: str) -> ModelCounts:
    """How many match, and how many there are."""
    question = Question(session.connection(), query, user_id)
    total = question.total()
    return ModelCounts(shown=total if question.tests == question.seen else question.count(), total=total)


def model_rows(
    session: Session, query: ModelQuery, *, user_id: str, offset: int, limit: int, shown: int | None = None
) -> list[ModelRow]:
    """Rows [offset, offset + limit); when it is known how many match, pages near the end are reached from there."""
    pages = Pages(Question(session.connection(), query, user_id), shown)
    return _rows(session, pages.page(offset, limit))


def place_of(session: Session, query: ModelQuery, *, user_id: str, model_id: str) -> int | None:
    """The index at which a model stands in the list; None when it doesn't match."""
    return Pages(Question(session.connection(), query, user_id), None).place(model_id)


def model_names(session: Session, query: ModelQuery, *, user_id: str, most: int) -> dict[str, tuple[str, bool]]:
    """By id, the name of each of the first `most` that match, and whether it is global."""
    wanted = Pages(Question(session.connection(), query, user_id), None).page(0, most)
    named: dict[str, tuple[str, bool]] = {}
    for start in range(0, len(wanted), _CHUNK):
        some = select(Model.id, Model.name, Model.is_global).where(col(Model.id).in_(wanted[start : start + _CHUNK]))
        named.update((ident, (name, is_global)) for ident, name, is_global in session.exec(some))
    return {ident: named[ident] for ident in wanted if ident in named}


def regions_of(session: Session) -> list[str]:
    """The regions that models are in, found by jumping from one to the next in the index."""
    following = "SELECT min(region) FROM model_search INDEXED BY model_search_region WHERE archived = ? AND region > ?"
    found: set[str] = set()
    for archived in (0, 1):
        region = ""
        while (region := session.connection().exec_driver_sql(following, (archived, region)).scalar_one()) is not None:
            found.add(region)
    return sorted(found)


class Pages:
    """The ids of a question's rows, in the order of the list."""

    def __init__(self, question: Question, shown: int | None) -> None:
        self._question = question
        self._shown = shown
        self._descending = question.query.descending
        self._column = SORT_COLUMNS.get(question.query.sort, "")

    def page(self, offset: int, limit: int) -> list[str]:
        """The ids [offset, offset + limit)."""
        if self._question.query.sort is ModelSort.STATUS:
            return self._by_status(offset, limit)
        if not self._column:
            return ids(self._stretch(offset, limit, backward=self._descending))
        direction = " DESC" if self._descending else ""
        few = self._question.few()
        if few is None and self._question.words and (near := self._near(offset + limit)) is not None:
            return near[offset:]
        if (sortable := few or self._question.sortable()) is not None:
            return ids(self._question.ask("s.id", sortable, f"s.{self._column}{direction}, s.n", page=(offset, limit)))
        if not self._descending:
            return ids(self._stretch(offset, limit, backward=False))
        return self._ties_by_name(self._stretch(offset, limit, backward=True))

    def _near(self, wanted: int) -> list[str] | None:
        """The first `wanted` rows, if they are among those that the list begins with: so with most words."""
        if wanted > _NEAR:
            return None
        way, key = self._question.begins_with(self._column, _NEAR, backward=self._descending), f"s.{self._column}"
        rows = self._question.ask(f"s.id, s.n, {key}", way)
        if self._descending and rows:  # the last group may go on, with names that come earlier
            last = self._question.value_at(self._column, _NEAR - 1)
            rows = [row for row in rows if row[2] != last]
        rows = sorted(sorted(rows, key=lambda row: row[1]), key=lambda row: row[2], reverse=self._descending)
        return ids(rows[:wanted]) if len(rows) >= wanted else None

    def place(self, model_id: str) -> int | None:
        """How many rows stand before this one."""
        question, key = self._question, f"s.{self._column}" if self._column else "0"
        found = question.ask(f"s.n, {key}", Way("model_search s"), "", Test("s.id = ?", (model_id,)))
        if not found:
            return None
        number, value = found[0]
        if question.query.sort is ModelSort.STATUS:
            return self._place_by_status(model_id, number)
        sign = ">" if self._descending else "<"
        if not self._column:
            return question.count(Test(f"s.n {sign} ?", (number,)))
        before = self._count(Test(f"{key} {sign} ?", (value,)))
        return before + self._count(Test(f"{key} = ?", (value,)), Test("s.n < ?", (number,)))

    def _count(self, *more: Test) -> int:
        """Rows within bounds of the sort column."""
        question = self._question
        way = question.sortable() or question.by_column(self._column)
        return int(question.ask("count(*)", way, "", *more)[0][0])

    # Walking

    def _stretch(self, offset: int, limit: int, *, backward: bool, more: tuple[Test, ...] = ()) -> list[_NumberedRow]:
        """Rows of the list's own order or of its exact reverse; from the other end where that is nearer."""
        shown = self._shown if not more else None
        if shown is None or offset <= shown // 2:
            return self._walk(offset, limit, backward=backward, more=more)
        taken = min(limit, shown - offset)
        if taken <= 0:
            return []
        return self._walk(shown - offset - taken, taken, backward=not backward, more=more)[::-1]

    def _walk(self, offset: int, limit: int, *, backward: bool, more: tuple[Test, ...]) -> list[_NumberedRow]:
        direction = " DESC" if backward else ""
        if self._column:
            way, key = self._question.by_column(self._column), f"s.{self._column}"
            order = f"{key}{direction}, s.n{direction}"
        else:
            way, key = self._question.by_name(), "0"
            order = f"{way.number}{direction}"
        return list(self._question.ask(f"s.id, s.n, {key}", way, order, *more, page=(offset, limit)))

    def _ties_by_name(self, backward: list[_NumberedRow]) -> list[str]:
        """A page of the exact reverse as it should be: equal values in the order of the names all the same.

        Only the first and the last group can be cut by the page's ends; they are asked for again.
        """
        groups = [(value, list(rows)) for value, rows in groupby(backward, key=lambda row: row[2])]
        found: list[str] = []
        for place, (value, rows) in enumerate(groups):
            if place == 0:
                found += self._of_group(value, self._after(value, rows[0][1]), len(rows))
            elif place == len(groups) - 1:
                found += self._of_group(value, 0, len(rows))
            else:
                found += ids(rows[::-1])
        return found

    def _after(self, value: object, number: int) -> int:
        """How many rows of this value have a later name: in a reversed list they stand before it."""
        same = Test(f"s.{self._column} = ?", (value,))
        way = self._question.by_column(self._column)
        later = Test("s.n > ?", (number,))
        return int(self._question.ask("count(*)", way, "", same, later)[0][0])

    def _of_group(self, value: object, offset: int, limit: int) -> list[str]:
        same = Test(f"s.{self._column} = ?", (value,))
        way = self._question.by_column(self._column)
        return ids(self._question.ask("s.id", way, "s.n", same, page=(offset, limit)))

    # By the state of the server: a few models have one

    def _by_status(self, offset: int, limit: int) -> list[str]:
        served = self._served()
        if not self._descending:
            head = served[offset : offset + limit]
            return head + self._unserved(max(0, offset - len(served)), limit - len(head))
        head = self._unserved(offset, limit)
        if len(head) == limit:
            return head
        skipped = max(0, offset - self._question.count(*self._no_server()))
        return head + served[skipped : skipped + limit - len(head)]

    def _unserved(self, offset: int, limit: int) -> list[str]:
        return ids(self._stretch(offset, limit, backward=False, more=self._no_server())) if limit > 0 else []

    def _no_server(self) -> tuple[Test, ...]:
        if not self._question.ranks:
            return ()
        return (Test("s.id NOT IN (SELECT value FROM json_each(?))", (json.dumps(list(self._question.ranks)),)),)

    def _served(self) -> list[str]:
        """Those with a server, in the order of the list."""
        ranks = self._question.ranks
        rows = self._question.ask("s.id, s.n", self._question.served())
        sign = -1 if self._descending else 1
        return ids(sorted(rows, key=lambda row: (sign * ranks[row[0]], row[1])))

    def _place_by_status(self, model_id: str, number: int) -> int:
        served = self._served()
        if model_id in self._question.ranks:
            before = self._question.count(*self._no_server()) if self._descending else 0
            return before + served.index(model_id)
        before = 0 if self._descending else len(served)
        return before + self._question.count(*self._no_server(), Test("s.n < ?", (number,)))


def _rows(session: Session, wanted: list[str]) -> list[ModelRow]:
    models = {model.id: model for model in session.exec(select(Model).where(col(Model.id).in_(wanted)))}
    servers = _servers_of(session, wanted)
    return [ModelRow(model=models[ident], server=servers.get(ident)) for ident in wanted if ident in models]


def _servers_of(session: Session, model_ids: list[str]) -> dict[str, Server]:
    """By model, the server to show: a running one is preferred (P14), then the newest."""
    rank = case(*((col(Server.status) == status.value, i) for i, status in enumerate(PREFERRED)), else_=99)
    servers = select(Server).where(col(Server.model_id).in_(model_ids)).order_by(rank, col(Server.created_at).desc())
    best: dict[str, Server] = {}
    for server in session.exec(servers):
        best.setdefault(server.model_id, server)
    return best
