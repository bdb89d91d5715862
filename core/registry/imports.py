"""Records from outside, put in by batches: each in one transaction, wholly or not at all, all of them one undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, SQLModel, col, select

from core.events import RecordChanged, now
from core.registry import naming
from core.registry.base import Store, assign, chunks
from core.registry.forms import HEAD_FIELDS, MODEL_FIELDS, REGION_FIELDS, FieldSpec
from core.registry.import_values import Decision, Incoming, OnConflict, Outcome
from core.registry.journal import KINDS, Entry, masked
from core.registry.places import builtin_regions
from core.registry.records import Change, Head, Model, Region, new_id

if TYPE_CHECKING:
    from sqlalchemy import Insert

FIELDS: Mapping[str, Mapping[str, FieldSpec]] = {"region": REGION_FIELDS, "head": HEAD_FIELDS, "model": MODEL_FIELDS}
_KEYS = {"region": "id", "head": "name", "model": "name"}  # what a record is known by
_NOT_COMPARED = frozenset({"created_at"})
_JOINED = frozenset({"flags", "extra"})


class ImportRecords(Store):
    """Deciding about records from outside, and writing them."""

    async def places(self) -> tuple[set[str], set[str]]:
        """The codes of all regions, and the names of all heads."""

        def work(session: Session) -> tuple[set[str], set[str]]:
            return {*session.exec(select(Region.id)), *builtin_regions()}, set(session.exec(select(Head.name)))

        return await self._db.read(work)

    async def models_of(self, ids: Sequence[str]) -> list[Model]:
        """The user's own models of these ids, in this order; those that are gone are left out."""

        def work(session: Session) -> list[Model]:
            found: dict[str, Model] = {}
            for some in chunks(ids):
                own = select(Model).where(col(Model.id).in_(some), Model.user_id == self.user_id)
                found.update((model.id, model) for model in session.exec(own))
            return [found[one] for one in ids if one in found]

        return await self._db.read(work)

    async def plan_import(self, incoming: Sequence[Incoming], rule: OnConflict) -> list[Decision]:
        """What would become of each, in order; nothing is written."""

        def work(session: Session) -> list[Decision]:
            planned: set[tuple[str, str]] = set()
            return [one for some in chunks(incoming) for one in self._decided(session, some, rule, planned)]

        return await self._db.read(work)

    async def import_batch(self, incoming: Sequence[Incoming], rule: OnConflict, entry: Entry) -> list[Decision]:
        """Write these in one transaction; what is there by now is looked at again."""

        def work(session: Session) -> list[Decision]:
            decisions = self._decided(session, incoming, rule, set())
            self._add(session, [one for one in decisions if one.outcome is Outcome.ADD], entry)
            for one in decisions:
                if one.outcome is Outcome.CHANGE:
                    record = session.get(KINDS[one.incoming.kind], one.record_id)
                    assert record is not None
                    assign(record, one.changes)
            return decisions

        decisions = await self._write(work, entry, {"name": "Another program has just taken it."})
        written = [one for one in decisions if one.outcome in (Outcome.ADD, Outcome.CHANGE)]
        for kind, count in Counter(one.incoming.kind for one in written).items():
            self._bus.publish(RecordChanged(kind=kind, id="", action="added", count=count))
        return decisions

    def import_entry(self, source: str) -> Entry:
        """What the log says of one import; all batches of it share this."""
        return self._entry(note=f"imported from {source}")

    def _decided(
        self, session: Session, incoming: Sequence[Incoming], rule: OnConflict, planned: set[tuple[str, str]]
    ) -> list[Decision]:
        known = self._known(session, ((one.kind, one.name) for one in incoming))
        decisions = []
        for one in incoming:
            decision = self._decide(session, one, known.get((one.kind, one.name)), rule, planned)
            if decision.outcome is Outcome.ADD:
                planned.add((one.kind, decision.name))
            decisions.append(decision)
        return decisions

    def _decide(
        self,
        session: Session,
        one: Incoming,
        existing: SQLModel | None,
        rule: OnConflict,
        planned: set[tuple[str, str]],
    ) -> Decision:
        if one.problems:
            return Decision(incoming=one, outcome=Outcome.INVALID, name=one.name)
        if existing is None and (one.kind, one.name) not in planned:
            return _added(one, one.name)
        changes = _differences(one, existing, rule) if existing is not None else {}
        if existing is None or (rule is OnConflict.RENAME and one.kind == "model" and changes):
            return self._renamed(session, one, planned)
        leaves = rule in (OnConflict.SKIP, OnConflict.RENAME)
        outcome = Outcome.UNCHANGED if not changes else Outcome.CONFLICT if leaves else Outcome.CHANGE
        record_id = str(existing.id)  # type: ignore[attr-defined]
        return Decision(incoming=one, outcome=outcome, name=one.name, changes=changes, record_id=record_id)

    def _renamed(self, session: Session, one: Incoming, planned: set[tuple[str, str]]) -> Decision:
        """Under the next free name; unchanged where an import before has put the same there."""
        number = 2
        while True:
            name = f"{one.name} ({number})"
            there = None if (one.kind, name) in planned else self._known(session, [(one.kind, name)])
            if there is not None and not there:
                return _added(one, name)
            same = there and {*_differences(one, there[one.kind, name], OnConflict.SKIP)} <= {"name", "served_name"}
            if there and same:
                return Decision(incoming=one, outcome=Outcome.UNCHANGED, name=name)
            number += 1

    def _known(self, session: Session, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SQLModel]:
        by_kind: dict[str, list[str]] = {}
        for kind, name in wanted:
            by_kind.setdefault(kind, []).append(name)
        known: dict[tuple[str, str], SQLModel] = {}
        for kind, names in by_kind.items():
            table = KINDS[kind]
            found = select(table).where(col(getattr(table, _KEYS[kind])).in_(names))
            mine = found.where(Model.user_id == self.user_id) if kind == "model" else found
            known.update(((kind, getattr(record, _KEYS[kind])), record) for record in session.exec(mine))
        return known

    def _add(self, session: Session, decisions: Sequence[Decision], entry: Entry) -> None:
        """Straight inserts of plain values: objects would take three times as long."""
        connection, at = session.connection(), now()
        for kind, table in KINDS.items():
            rows = [self._row(table, one, at) for one in decisions if one.incoming.kind == kind]
            if not rows:
                continue
            keys = {prop.key: prop.columns[0].key for prop in table.__mapper__.column_attrs}  # type: ignore[attr-defined]
            connection.execute(_insert(table), [{keys[name]: value for name, value in row.items()} for row in rows])
            shared = {**entry.common, "at": at, "kind": kind, "action": "added", "before": None}
            lines = ({"record_id": row["id"], "name": row["name"], "after": _snapshot(row)} for row in rows)
            connection.execute(_insert(Change), [{**shared, **line} for line in lines])

    def _row(self, table: type[SQLModel], one: Decision, at: datetime) -> dict[str, Any]:
        own = {"user_id": self.user_id, "is_global": False} if table is Model else {}
        made = {"id": one.record_id, "created_at": at, **one.changes, _KEYS[one.incoming.kind]: one.name}
        return {**_defaults(table), **made, **own, "updated_at": at}


def _insert(table: type[SQLModel]) -> Insert:
    return table.__table__.insert()  # type: ignore[attr-defined, no-any-return]


@cache
def _defaults(table: type[SQLModel]) -> Mapping[str, Any]:
    """What stands in a new record where nothing is said."""
    needed = {"model_id": "", "served_name": ""} if table is Model else {}
    return table(id="", name="", **needed).model_dump()


def _snapshot(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: masked(name, value) for name, value in row.items()}


def _added(one: Incoming, name: str) -> Decision:
    columns = whole(one.kind, one.columns)
    record_id = one.name if one.kind == "region" else new_id()
    return Decision(incoming=one, outcome=Outcome.ADD, name=name, changes=columns, record_id=record_id)


def whole(kind: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """All columns of a new record: what was given, and the defaults of the forms."""
    defaults: dict[str, Any] = {
        name: spec.default for name, spec in FIELDS[kind].items() if spec.default not in (None, ()) and name != "path"
    }
    if kind == "model":
        defaults |= {"tags": [], "flags": {}, "extra": {}, "archived_at": None}
    given = {**defaults, **columns}
    if kind == "model" and not given["served_name"]:
        given["served_name"] = naming.served_name(str(given["name"]))
    return given


def _differences(one: Incoming, record: SQLModel, rule: OnConflict) -> dict[str, Any]:
    """The columns that this rule would set, and to what."""
    columns = whole(one.kind, one.columns) if rule is OnConflict.REPLACE else dict(one.columns)
    if rule is OnConflict.MERGE:
        columns = {name: _merged(name, value, getattr(record, name)) for name, value in columns.items()}
    return {
        name: value for name, value in columns.items() if name not in _NOT_COMPARED and value != getattr(record, name)
    }


def _merged(name: str, value: Any, current: Any) -> Any:  # noqa: ANN401 - a column's value
    if name in _JOINED:
        return {**current, **value}
    return [*current, *(tag for tag in value if tag not in current)] if name == "tags" else value
