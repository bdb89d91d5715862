"""What every part of the registry stands on: one transaction, one event and the lines of the log for a change."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel

from core.errors import InvalidInput, NotFound
from core.events import EventBus, RecordChanged, now
from core.registry.journal import Entry, keep_journal
from core.registry.search_index import bring_up_to_date

if TYPE_CHECKING:
    from core.db import Database

R = TypeVar("R", bound=SQLModel)
T = TypeVar("T")
_CHUNK = 500


class Store:
    """Records of one user; what it returns are values, changed only through here."""

    def __init__(self, db: Database, bus: EventBus, *, user_id: str) -> None:
        self._db = db
        self._bus = bus
        self.user_id = user_id
        db.before_commit = bring_up_to_date

    def _entry(self, **more: str) -> Entry:
        """What the log says of one action: by whom, and its batch."""
        return Entry(user_id=self.user_id, machine=socket.gethostname(), **more)

    async def _save(self, record: R, kind: str, action: str, duplicate: Mapping[str, str] | None = None) -> R:
        def work(session: Session) -> R:
            session.add(record)
            return record

        return await self._change(work, kind, action, duplicate)

    async def _change(
        self, work: Callable[[Session], R], kind: str, action: str, duplicate: Mapping[str, str] | None = None
    ) -> R:
        """Write in one transaction, with the log's lines, and tell of it; `duplicate` is what a taken name is told."""
        record = await self._write(work, self._entry(), duplicate)
        self._publish(kind, action, [record])
        return record

    async def _change_many(
        self,
        work: Callable[[Session], list[R]],
        kind: str,
        action: str,
        duplicate: Mapping[str, str] | None = None,
        *,
        entry: Entry | None = None,
    ) -> list[R]:
        """The same for several records: all or none of them, one event, one batch to undo."""
        records = await self._write(work, entry or self._entry(), duplicate)
        self._publish(kind, action, records)
        return records

    async def _write(self, work: Callable[[Session], T], entry: Entry, duplicate: Mapping[str, str] | None) -> T:
        try:
            return await self._db.write(partial(_flushed, work, entry))
        except IntegrityError as error:
            if duplicate is None or "UNIQUE" not in str(error.orig):
                raise
            raise InvalidInput(duplicate) from error

    def _publish(self, kind: str, action: str, records: Sequence[SQLModel]) -> None:
        if records:
            record_id = str(records[0].id) if len(records) == 1 else ""  # type: ignore[attr-defined]
            self._bus.publish(RecordChanged(kind=kind, id=record_id, action=action, count=len(records)))


def _flushed(work: Callable[[Session], T], entry: Entry, session: Session) -> T:
    keep_journal(session, entry)
    done = work(session)
    session.flush()
    return done


def chunks(items: Sequence[T], size: int = _CHUNK) -> Iterator[Sequence[T]]:
    """In pieces that fit a statement's variables."""
    return (items[start : start + size] for start in range(0, len(items), size))


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
