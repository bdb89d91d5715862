"""What every part of the registry stands on: one transaction and one event for a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel

from core.errors import InvalidInput, NotFound
from core.events import EventBus, RecordChanged, now

if TYPE_CHECKING:
    from core.db import Database

R = TypeVar("R", bound=SQLModel)


class Store:
    """Records of one user; what it returns are values, changed only through here."""

    def __init__(self, db: Database, bus: EventBus, *, user_id: str) -> None:
        self._db = db
        self._bus = bus
        self.user_id = user_id

    async def _save(self, record: R, kind: str, action: str, duplicate: Mapping[str, str] | None = None) -> R:
        def work(session: Session) -> R:
            session.add(record)
            return record

        return await self._change(work, kind, action, duplicate)

    async def _change(
        self, work: Callable[[Session], R], kind: str, action: str, duplicate: Mapping[str, str] | None = None
    ) -> R:
        try:
            record = await self._db.write(partial(_flushed, work))
        except IntegrityError as error:
            if duplicate is None or "UNIQUE" not in str(error.orig):
                raise
            raise InvalidInput(duplicate) from error
        self._bus.publish(RecordChanged(kind=kind, id=str(record.id), action=action))  # type: ignore[attr-defined]
        return record


def _flushed(work: Callable[[Session], R], session: Session) -> R:
    record = work(session)
    session.flush()
    return record


def assign(record: SQLModel, changes: Mapping[str, Any]) -> None:
    """Set columns and the time of the change."""
    for name, value in changes.items():
        setattr(record, name, value)
    record.updated_at = now()


def get(session: Session, table: type[R], record_id: str | int) -> R:
    """The record of this id, or `NotFound`."""
    record = session.get(table, record_id)
    if record is None:
        raise NotFound(f"There is no {table.__name__.lower()} {record_id!r} any more.")
    return record
