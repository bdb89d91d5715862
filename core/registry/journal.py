"""The change log writes itself: every flush of models, heads and regions adds its lines in the same transaction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import event, inspect
from sqlmodel import Session, SQLModel

from core.registry.checks import looks_secret
from core.registry.records import Change, Head, Model, Region, new_id

Json: TypeAlias = Any
MASK = "[secret]"  # stands for the value of a secret, which no line of the log holds
MASK_CHANGED = "[secret, changed]"
KINDS: Mapping[str, type[SQLModel]] = {"model": Model, "head": Head, "region": Region}
_NAMES = {table: kind for kind, table in KINDS.items()}
_NOT_LOGGED = frozenset({"created_at", "updated_at", "last_test"})  # in a snapshot, but no change by themselves
_SECRET = re.compile(
    r"passw|passphrase|secret|credential|private_?key|api_?key|apikey|access_?key|auth(?!or(?!i))|bearer"
    r"|(signing|encryption|ssh|hmac)_?key"
    r"|(^|_)(pwd|token|cookie|jwt)$|_token_"
)
_HARMLESS = re.compile(r"_(ref|env|file|name|type)$|(eos|bos|pad|unk|sep|cls|mask|stop|start|end|image|special)_token$")
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Who changes, from where, and what the lines of one action have in common."""

    user_id: str
    machine: str
    batch: str = field(default_factory=new_id)
    undoes: str = ""
    note: str = ""

    @property
    def common(self) -> dict[str, Any]:
        """The columns that all lines share."""
        names = ("user_id", "machine", "batch", "undoes", "note")
        return {name: getattr(self, name) for name in names}

    def line(self, record: SQLModel, action: str, before: Json, after: Json) -> Change:
        """One line about one record."""
        record_id, name = str(record.id), str(record.name)  # type: ignore[attr-defined]
        return Change(
            kind=_NAMES[type(record)],
            record_id=record_id,
            name=name,
            action=action,
            before=before,
            after=after,
            **self.common,
        )


def keep_journal(session: Session, entry: Entry) -> None:
    """From now on, what this session flushes is logged."""

    @event.listens_for(session, "before_flush")
    def _log(session: Session, _context: object, _instances: object) -> None:
        session.add_all([*_lines(session, entry)])


def _lines(session: Session, entry: Entry) -> Iterator[Change]:
    for record in _owned(session.new):
        yield entry.line(record, "added", None, snapshot(record))
    for record in _logged(session.dirty):
        before, after = _changed(record)
        if after.keys() - _NOT_LOGGED:
            yield entry.line(record, _action(after), before, after)
    for record in _owned(session.deleted):
        yield entry.line(record, "deleted", snapshot(record), None)


def _owned(records: Iterable[Any]) -> list[Any]:
    """Without the global ones, which come and go with the catalog; only what a user changes of them is logged."""
    return [record for record in _logged(records) if not getattr(record, "is_global", False)]


def _logged(records: Iterable[Any]) -> list[Any]:
    return sorted(filter(_is_logged, records), key=lambda record: str(record.name))


def _is_logged(record: object) -> bool:
    """Records that users change; what the program brings along is nobody's change."""
    return type(record) in _NAMES and not getattr(record, "builtin", False)


def _action(after: Mapping[str, Json]) -> str:
    if set(after) - _NOT_LOGGED == {"archived_at"}:
        return "archived" if after["archived_at"] else "restored"
    return "edited"


def _changed(record: SQLModel) -> tuple[dict[str, Json], dict[str, Json]]:
    before, after = {}, {}
    state = inspect(record)
    for name in columns(type(record)):
        history = state.attrs[name].history
        if not history.has_changes() or name in _NOT_LOGGED:
            continue
        old, new = history.deleted[0] if history.deleted else None, history.added[0]
        if old != new:
            before[name], after[name] = masked(name, old), masked(name, new, before=old)
    return before, after


@cache
def columns(table: type[SQLModel]) -> tuple[str, ...]:
    """The names of a table's attributes."""
    return tuple(table.model_fields)


def snapshot(record: SQLModel) -> dict[str, Json]:
    """A whole record, ready for JSON, secrets masked."""
    return {name: masked(name, getattr(record, name)) for name in columns(type(record))}


def masked(name: str, value: Json, *, before: Json = None) -> Json:
    """A column's value as the log keeps it; where a secret differs from the one in `before`, that much is said."""
    if value is None or value is True or value is False or value == "":
        return value
    if is_secret(name) or (isinstance(value, str) and looks_secret(value)):
        return MASK if before in ("", None, value) else MASK_CHANGED
    if isinstance(value, str):
        return _URL_SECRET.sub(MASK, value) if "://" in value else value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        old = before if isinstance(before, Mapping) else {}
        return {key: masked(str(key), one, before=old.get(key)) for key, one in value.items()}
    return [masked("", one) for one in value] if isinstance(value, list | tuple) else value


@cache
def is_secret(key: str) -> bool:
    """Whether a value under this key is likely a secret: `token`, `HF_TOKEN`, `db-password`; not `max_tokens`.

    Names of keys (`api_key_ref`) and of variables or files that hold them (`token_env`) are none.
    """
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
    return bool(_SECRET.search(word)) and not _HARMLESS.search(word)
