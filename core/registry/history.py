"""The change log, read: who changed what and when."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from core.errors import NotFound
from core.registry.base import Store
from core.registry.records import Change, Model

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One action of a user: its lines of the log are taken back together."""

    id: str
    at: datetime
    who: str
    mine: bool
    actions: dict[str, int]  # "edited model" → how many
    names: tuple[str, ...]  # the first few
    count: int
    undoes: str
    taken_back: bool
    note: str

    @property
    def text(self) -> str:
        """In a few words, such as `edited 3 models: a, b, c`; names are not yet harmless for a terminal."""
        if self.undoes:
            return self.note
        done = ", ".join(_counted(action, count) for action, count in self.actions.items())
        more = f" and {self.count - len(self.names):,} more" if self.count > len(self.names) else ""
        note = f" ({self.note})" if self.note else ""
        return f"{done}: {', '.join(self.names)}{more}{note}"


class HistoryRecords(Store):
    """The log's lines, singly and by action."""

    async def history(self, ref: str | None = None, *, limit: int = 100, offset: int = 0) -> list[Change]:
        """The lines of the log, newest first: one's own, and those of what all share (heads, regions).

        Raises:
            NotFound: `ref` names nothing that is or was.
        """

        def work(session: Session) -> list[Change]:
            wanted = select(Change).where(*self._about(session, ref)).order_by(col(Change.id).desc())
            return list(session.exec(wanted.offset(offset).limit(limit)))

        return await self._db.read(work)

    async def batches(self, ref: str | None = None, *, limit: int = 100, offset: int = 0) -> list[Batch]:
        """The same, a line for each action, newest first."""

        def work(session: Session) -> list[Batch]:
            newest = func.max(Change.id)
            wanted = select(Change.batch).where(*self._about(session, ref)).group_by(col(Change.batch))
            ids = session.exec(wanted.order_by(newest.desc()).offset(offset).limit(limit))
            gone = taken_back(session)
            return [self._batch(session, one, gone) for one in ids]

        return await self._db.read(work)

    async def count_batches(self, ref: str | None = None) -> int:
        """How many actions `batches` has."""

        def work(session: Session) -> int:
            return session.exec(
                select(func.count(col(Change.batch).distinct())).where(*self._about(session, ref))
            ).one()

        return await self._db.read(work)

    async def batch(self, batch_id: str, *, limit: int = 100) -> tuple[Batch, list[Change]]:
        """One action and its first lines, in order.

        Raises:
            NotFound: there is none of this id.
        """

        def work(session: Session) -> tuple[Batch, list[Change]]:
            batch = self._batch(session, batch_id, taken_back(session))
            lines = select(Change).where(Change.batch == batch_id).order_by(col(Change.id)).limit(limit)
            return batch, list(session.exec(lines))

        return await self._db.read(work)

    async def taken_back(self) -> set[str]:
        """The batches that are taken back now."""
        return await self._db.read(taken_back)

    def _about(self, session: Session, ref: str | None) -> list[ColumnElement[bool]]:
        """What this user may see, of one record when `ref` names it."""
        mine = or_(col(Change.user_id) == self.user_id, col(Change.kind) != "model")
        if ref is None:
            return [mine]
        named = or_(col(Change.record_id) == ref, col(Change.name) == ref)
        ids = set(session.exec(select(Change.record_id).where(mine, named).distinct()))
        owned = or_(col(Model.user_id) == self.user_id, col(Model.is_global))
        answering = or_(*(col(column) == ref for column in (Model.id, Model.name, Model.model_id, Model.served_name)))
        ids.update(session.exec(select(Model.id).where(owned, answering)))
        if not ids:
            raise NotFound(f"Nothing is known of {ref!r}.", remedy="modelyard models history shows all changes.")
        return [mine, col(Change.record_id).in_(sorted(ids))]

    def _batch(self, session: Session, batch_id: str, gone: Set[str]) -> Batch:
        of_it = Change.batch == batch_id
        first = session.exec(select(Change).where(of_it).order_by(col(Change.id)).limit(1)).first()
        if first is None or not self._may_see(first):
            raise NotFound(f"There is no change {batch_id!r}.", remedy="modelyard models history shows them all.")
        counted = select(Change.action, Change.kind, func.count()).where(of_it).group_by(Change.action, Change.kind)
        actions = {f"{action} {kind}": int(count) for action, kind, count in session.exec(counted)}
        names = session.exec(select(Change.name).where(of_it).order_by(col(Change.id)).limit(_NAMED))
        return Batch(
            id=batch_id,
            at=first.at,
            who=first.who,
            mine=first.user_id == self.user_id,
            actions=actions,
            names=tuple(names),
            count=sum(actions.values()),
            undoes=first.undoes,
            taken_back=batch_id in gone,
            note=first.note,
        )

    def _may_see(self, line: Change) -> bool:
        return line.user_id == self.user_id or line.kind != "model"


def taken_back(session: Session) -> set[str]:
    """The batches that are taken back now: an undo that was itself taken back doesn't count."""
    gone: set[str] = set()
    for batch, undoes in undos(session).items():
        if batch not in gone:
            gone.add(undoes)
    return gone


def undos(session: Session) -> dict[str, str]:
    """What each undo took back, and each redo; newest first."""
    wanted = select(Change.batch, Change.undoes).where(Change.undoes != "").group_by(Change.batch, Change.undoes)
    return dict(session.exec(wanted.order_by(func.max(Change.id).desc())).all())


def _counted(action: str, count: int) -> str:
    return action if count == 1 else f"{action.replace(' ', f' {count:,} ', 1)}s"
