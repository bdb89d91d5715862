"""Taking changes back, by the change log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from core.errors import NotAllowed, NotFound, Refused
from core.registry.base import assign, chunks
from core.registry.history import Batch, HistoryRecords, taken_back, undos
from core.registry.journal import KINDS
from core.registry.places import unknown_places
from core.registry.records import Change, Model, Server
from core.registry.undo import Net, brought_back, conflicts, net_changes, restored

if TYPE_CHECKING:
    from sqlmodel.sql.expression import SelectOfScalar

_NAMED = 3
_NAME_TAKEN = {"name": "Another record bears it by now."}
_UNDO, _REDO = "took back: ", "did again: "


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What an undo took back; `lost` names values of secrets that could not be: the log never held them."""

    batch: Batch
    changes: list[Change] = field(repr=False)
    lost: tuple[str, ...] = ()
    redone: bool = False

    def record(self, kind: str) -> str | None:
        """The id of the one record of this kind that it is about and that is there now; None for none or several."""
        there = {line.record_id for line in self.changes if line.kind == kind and line.action != "added"}
        return there.pop() if len(there) == 1 and len(self.changes) == 1 else None


class ChangeRecords(HistoryRecords):
    """Undo, and what it needs to know."""

    async def undoable(self, batch: str | None = None, *, redo: bool = False, kinds: Sequence[str] = ()) -> Batch:
        """What `undo` would take back, if it can be.

        Raises:
            NotFound: nothing of the kind was done. NotAllowed: another user did it. Refused: something stands in
            the way.
        """

        def work(session: Session) -> Batch:
            chosen = self._choose(session, batch, redo=redo, kinds=kinds)
            self._check(session, net_changes(_lines(session, chosen.id)))
            return chosen

        return await self._db.read(work)

    async def undo(self, batch: str | None = None, *, redo: bool = False, kinds: Sequence[str] = ()) -> Undone:
        """Take back a batch, by default this user's newest that is not taken back; `redo`: the newest undo.

        `kinds` are those of the records that the newest has to touch: "model", "head", "region"; none is any.

        An undo is a batch too: taking it back does it again. Records come back with their ids; their deployments and
        servers, and the values of secrets, which the log does not hold, do not.

        Raises:
            NotFound: nothing of the kind was done. NotAllowed: another user did it. Refused: a record changed since.
        """
        chosen = await self._db.read(partial(self._choose, batch_id=batch, redo=redo, kinds=kinds))
        touched: list[SQLModel] = []

        def work(session: Session) -> Undone:
            lost: list[str] = []
            lines = _lines(session, self._choose(session, chosen.id).id)
            nets = net_changes(lines)
            found = self._check(session, nets)
            for same in _groups(nets):
                touched.extend(_take_back(session, net, found.get(_key(net)), lost) for net in same)
                session.flush()
            return Undone(batch=chosen, changes=lines, lost=tuple(lost), redone=bool(chosen.undoes))

        done = await self._write(work, self._entry(undoes=chosen.id, note=_note(chosen)), _NAME_TAKEN)
        for kind, table in KINDS.items():
            self._publish(kind, "edited", [record for record in touched if isinstance(record, table)])
        return done

    def _choose(
        self, session: Session, batch_id: str | None, *, redo: bool = False, kinds: Sequence[str] = ()
    ) -> Batch:
        """The batch to take back.

        Raises:
            NotFound: there is none. NotAllowed: it is another user's. Refused: it is taken back already.
        """
        batch = self._batch(session, batch_id or self._newest(session, redo=redo, kinds=kinds), taken_back(session))
        if not batch.mine:
            raise NotAllowed(f"That was done by {batch.who}.", remedy="Only they can take it back.")
        if batch.taken_back:
            raise Refused(f"That is taken back already: {batch.text}.", remedy="modelyard models undo --redo")
        return batch

    def _newest(self, session: Session, *, redo: bool, kinds: Sequence[str]) -> str:
        """This user's newest action that is not taken back; `redo`: the newest undo that is not."""
        gone, undone = taken_back(session), undos(session)
        newest = select(Change.batch).where(Change.user_id == self.user_id, (Change.undoes != "") == redo)
        newest = newest.where(col(Change.kind).in_(kinds)) if kinds else newest
        grouped = newest.group_by(col(Change.batch)).order_by(func.max(Change.id).desc())
        found = next(
            (batch for batch in session.exec(grouped) if batch not in gone and not _is_redo(batch, undone)), None
        )
        if found is None:
            raise NotFound("There is nothing to do again." if redo else "There is nothing to take back.")
        return found

    def _check(self, session: Session, nets: Sequence[Net]) -> dict[tuple[str, str], SQLModel]:
        """The records there are now, by kind and id.

        Raises:
            Refused: one changed since, is gone, is used, or its name is taken.
        """
        found: dict[tuple[str, str], SQLModel] = {}
        for kind, table in KINDS.items():
            for some in chunks([net.last.record_id for net in nets if net.last.kind == kind]):
                records = session.exec(select(table).where(col(table.id).in_(some)))  # type: ignore[attr-defined]
                found.update(((kind, str(record.id)), record) for record in records)  # type: ignore[attr-defined]
        reasons = [reason for net in nets if (reason := _in_the_way(net, found.get(_key(net))))]
        reasons += self._used(session, nets) + self._taken_names(session, nets) + _missing_places(session, nets)
        if reasons:
            more = f" (and {len(reasons) - _NAMED} more)" if len(reasons) > _NAMED else ""
            raise Refused(
                f"Not taken back: {'; '.join(reasons[:_NAMED])}{more}.",
                cause="A record changed after what you want to take back.",
                remedy="Take back the later change first, or edit the record: modelyard models history shows both.",
            )
        return found

    def _used(self, session: Session, nets: Sequence[Net]) -> list[str]:
        """The records that would be deleted and that others hold on to."""
        reasons: list[str] = []
        going = [net.last for net in nets if net.exists and not net.existed]
        ids = {line.record_id for line in going}
        for some in chunks([line.record_id for line in going if line.kind == "model"]):
            reasons += [f"{name} was deployed" for name in session.exec(_served(some))]
        for kind, column in (("head", Model.head), ("region", Model.region)):
            names = [line.name if kind == "head" else line.record_id for line in going if line.kind == kind]
            using = session.exec(select(Model.id, Model.name, column).where(col(column).in_(names)))
            reasons += [f"the model {model} names {name}" for id_, model, name in using if id_ not in ids]
        return reasons

    def _taken_names(self, session: Session, nets: Sequence[Net]) -> list[str]:
        """The names that would come back and that another model bears by now."""
        own = {net.last.record_id for net in nets}
        reasons: list[str] = []
        for some in chunks([net for net in nets if net.last.kind == "model" and net.before.get("name")]):
            names = [str(net.before["name"]) for net in some]
            bearing = select(Model.id, Model.name).where(Model.user_id == self.user_id, col(Model.name).in_(names))
            reasons += [f"another model is called {name}" for id_, name in session.exec(bearing) if id_ not in own]
        return reasons


def _is_redo(batch: str, undone: Mapping[str, str]) -> bool:
    steps = 0
    while batch in undone:
        batch, steps = undone[batch], steps + 1
    return steps > 0 and steps % 2 == 0


def _missing_places(session: Session, nets: Sequence[Net]) -> list[str]:
    """The regions and heads that would be named again and are gone."""
    returning = {name for net in nets if not net.exists for name in (net.last.record_id, net.last.name)}
    wanted = {(column, net.before.get(column) or "") for net in nets for column in ("region", "head")}
    missing = [(column, name) for column, name in sorted(wanted) if name and name not in returning]
    return [
        f"there is no {column} {name} any more" for column, name in missing if unknown_places(session, {column: name})
    ]


def _served(ids: Sequence[str]) -> SelectOfScalar[str]:
    return select(Server.model_name).where(col(Server.model_id).in_(ids)).distinct()


def _lines(session: Session, batch: str) -> list[Change]:
    return list(session.exec(select(Change).where(Change.batch == batch).order_by(col(Change.id))))


def _groups(nets: Sequence[Net]) -> tuple[list[Net], ...]:
    """What goes, what is set back, what returns: in this order names are free when they are needed."""
    goes = [net for net in nets if not net.existed]
    edited = [net for net in reversed(nets) if net.existed and net.exists]
    return goes, edited, [net for net in nets if not net.exists]


def _key(net: Net) -> tuple[str, str]:
    return net.last.kind, net.last.record_id


def _in_the_way(net: Net, record: SQLModel | None) -> str:
    name = net.last.name
    if not net.exists:
        return f"{name} is there again" if record is not None else ""
    if record is None:
        return f"{name} was deleted since"
    changed = conflicts(net, record)
    return f"{name} changed since: {', '.join(changed)}" if changed else ""


def _take_back(session: Session, net: Net, record: SQLModel | None, lost: list[str]) -> SQLModel:
    missing: list[str] = []
    if record is None:
        record = brought_back(net, KINDS[net.last.kind], missing)
        session.add(record)
    elif not net.existed:
        session.delete(record)
    else:
        assign(record, restored(net, record, missing))
    lost += [f"{net.last.name}: {name}" for name in missing]
    return record


def _note(batch: Batch) -> str:
    """What the log says of an undo or, where an undo is taken back, of doing it again."""
    if batch.undoes:
        return (
            batch.note.replace(_UNDO, _REDO, 1) if batch.note.startswith(_UNDO) else batch.note.replace(_REDO, _UNDO, 1)
        )
    return f"{_UNDO}{batch.text}"
