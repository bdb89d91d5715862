"""Keeps the models' search index up to date, inside the transaction that changed the models.

The index numbers the models in the order of their folded names, with gaps: a new name takes the middle of the gap
where it belongs, and where a gap is used up, its neighbourhood is numbered anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlmodel import Session

_ROOM = 1 << 62  # numbers lie between 0 and this
_CHUNK = 500
_REBUILD_FROM = 5_000  # changed models; from here on, and when they are most of all, the index is made anew
_COLUMNS = (
    *("n", "id", "name", "hay", "model_id", "provider", "region", "context", "updated", "archived"),
    *("owner", "is_global", "abilities"),
)
_MARKS = ", ".join("?" * len(_COLUMNS))
_INSERT = f"INSERT INTO model_search ({', '.join(_COLUMNS)}) VALUES ({_MARKS})"  # noqa: S608 - our own names
_FORGET_PIECES = "INSERT INTO model_search_pieces (model_search_pieces, rowid, hay) VALUES ('delete', ?, ?)"
_ADD_PIECES = "INSERT INTO model_search_pieces (rowid, hay) VALUES (?, ?)"
_MODELS = (
    "SELECT id, name, model_id, served_name, tags, provider, region, context_length, updated_at,"
    " archived_at IS NOT NULL, user_id, is_global, supports_streaming, supports_tools, supports_vision FROM models"
)


@dataclass(frozen=True)
class Entry:
    """What the index keeps of a model; `rest` are its columns after `hay`."""

    id: str
    name: str
    hay: str
    rest: tuple[Any, ...]

    def row(self, n: int) -> tuple[Any, ...]:
        """The line of the table."""
        return (n, self.id, self.name, self.hay, *self.rest)


def fold(text: str) -> str:
    """The text as it is compared: upper and lower case are the same, in every script."""
    return text.casefold().replace("\0", "\ufffd")


def bring_up_to_date(session: Session) -> None:
    """Take over every change of the models since the last time."""
    connection = session.connection()
    todo = list(connection.exec_driver_sql("SELECT id FROM model_search_todo").scalars())
    if not todo:
        return
    known = connection.exec_driver_sql("SELECT count(*) FROM model_search").scalar_one()
    if len(todo) > max(_REBUILD_FROM, known):
        _rebuild(connection)
    else:
        for start in range(0, len(todo), _CHUNK):
            _update(connection, todo[start : start + _CHUNK])
    connection.exec_driver_sql("DELETE FROM model_search_todo")


def is_behind(session: Session) -> bool:
    """Whether another program changed models and left the index to us."""
    return bool(session.connection().exec_driver_sql("SELECT EXISTS (SELECT 1 FROM model_search_todo)").scalar_one())


def _entry(row: Sequence[Any]) -> Entry:
    ident, name, model_id, served_name, tags, provider, region, context, updated, archived, owner, *flags = row
    is_global, *abilities = flags
    words = [name, model_id, served_name, *(str(tag) for tag in json.loads(tags or "[]"))]
    able = sum(1 << bit for bit, has in enumerate(abilities) if has)
    hay = "\n".join(map(fold, words)) + "\n\n"  # every letter begins a piece of three
    rest = (fold(model_id), provider, region, context, updated, archived, owner or "", is_global, able)
    return Entry(ident, fold(name), hay, rest)


def _update(connection: Connection, ids: Sequence[str]) -> None:
    """Some models: forget those that are gone, put new and renamed ones where they belong."""
    marks = ", ".join("?" * len(ids))
    now = {row[0]: _entry(row) for row in connection.exec_driver_sql(f"{_MODELS} WHERE id IN ({marks})", (*ids,))}
    listed = f"SELECT id, n, name, hay FROM model_search WHERE id IN ({marks})"  # noqa: S608 - marks only
    stays: list[tuple[int, Entry]] = []
    for ident, n, name, hay in connection.exec_driver_sql(listed, (*ids,)).all():
        connection.exec_driver_sql(_FORGET_PIECES, (n, hay))
        connection.exec_driver_sql("DELETE FROM model_search WHERE n = ?", (n,))
        if ident in now and now[ident].name == name:
            stays.append((n, now.pop(ident)))
    _put(connection, stays)
    _place(connection, sorted(now.values(), key=lambda entry: (entry.name, entry.id)))


def _put(connection: Connection, numbered: Sequence[tuple[int, Entry]]) -> None:
    if numbered:
        connection.exec_driver_sql(_INSERT, [entry.row(n) for n, entry in numbered])
        connection.exec_driver_sql(_ADD_PIECES, [(n, entry.hay) for n, entry in numbered])


def _place(connection: Connection, entries: list[Entry]) -> None:
    """Number sorted entries between their neighbours, all that fall into one gap at once."""
    while entries:
        before, after, next_name = _neighbours(connection, entries[0].name)
        count = next((i for i, e in enumerate(entries) if next_name is not None and e.name >= next_name), len(entries))
        step = (after - before) // (count + 1)
        if step < 1:
            _make_room(connection, before, count)
            continue
        _put(connection, [(before + step * (i + 1), entry) for i, entry in enumerate(entries[:count])])
        entries = entries[count:]


def _neighbours(connection: Connection, name: str) -> tuple[int, int, str | None]:
    """The numbers around the gap where a name belongs, and the name after the gap (None: there is none)."""
    last = "SELECT n FROM model_search WHERE name <= ? ORDER BY name DESC, n DESC LIMIT 1"
    before = connection.exec_driver_sql(last, (name,)).scalar() or 0
    following = "SELECT n, name FROM model_search WHERE n > ? ORDER BY n LIMIT 1"
    after = connection.exec_driver_sql(following, (before,)).first()
    return (before, after[0], after[1]) if after is not None else (before, _ROOM, None)


def _make_room(connection: Connection, around: int, count: int) -> None:
    """Spread the neighbourhood evenly, as much of it as makes gaps that last."""
    reach = 64
    while True:
        low, lower = _reached(connection, "n <= ?", "DESC", around, reach)
        high, upper = _reached(connection, "n > ?", "ASC", around, reach)
        rows = [*reversed(lower), *upper]
        step = (high - low) // (len(rows) + 1)
        if step > (count + 1) << 8 or (low == 0 and high == _ROOM):
            break
        reach *= 2
    for n, hay in [(row[0], row[3]) for row in rows]:
        connection.exec_driver_sql(_FORGET_PIECES, (n, hay))
        connection.exec_driver_sql("DELETE FROM model_search WHERE n = ?", (n,))
    spread = [(low + step * (i + 1), Entry(row[1], row[2], row[3], tuple(row[4:]))) for i, row in enumerate(rows)]
    _put(connection, spread)


def _reached(
    connection: Connection, where: str, order: str, around: int, reach: int
) -> tuple[int, list[Sequence[Any]]]:
    """The number at which the neighbourhood ends on one side, which stays, and the rows before it."""
    wanted = f"SELECT {', '.join(_COLUMNS)} FROM model_search WHERE {where} ORDER BY n {order} LIMIT ?"  # noqa: S608
    rows: list[Sequence[Any]] = list(connection.exec_driver_sql(wanted, (around, reach + 1)))
    if len(rows) > reach:
        return rows[-1][0], rows[:-1]
    return (0 if order == "DESC" else _ROOM), rows


def _rebuild(connection: Connection) -> None:
    """All models at once, in their order; what does not fit in memory is sorted by the database."""
    connection.exec_driver_sql("INSERT INTO model_search_pieces (model_search_pieces) VALUES ('delete-all')")
    connection.exec_driver_sql("DELETE FROM model_search")
    columns = ", ".join(_COLUMNS[1:])
    connection.exec_driver_sql(f"CREATE TEMP TABLE fresh ({columns})")
    marks = _MARKS.removesuffix(", ?")
    for rows in _chunks(connection):
        connection.exec_driver_sql(
            f"INSERT INTO temp.fresh VALUES ({marks})",  # noqa: S608 - marks only
            [_entry(row).row(0)[1:] for row in rows],
        )
    connection.exec_driver_sql(
        f"INSERT INTO model_search ({', '.join(_COLUMNS)})"  # noqa: S608 - our own names
        f" SELECT row_number() OVER (ORDER BY name, id) * (? / (SELECT count(*) + 1 FROM temp.fresh)), {columns}"
        " FROM temp.fresh ORDER BY name, id",
        (_ROOM,),
    )
    connection.exec_driver_sql("DROP TABLE temp.fresh")
    connection.exec_driver_sql(
        "INSERT INTO model_search_pieces (rowid, hay) SELECT n, hay FROM model_search ORDER BY n"
    )


def _chunks(connection: Connection) -> Iterator[Sequence[Sequence[Any]]]:
    last = 0
    while True:
        wanted = f"{_MODELS.replace('SELECT', 'SELECT rowid,', 1)} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        rows = connection.exec_driver_sql(wanted, (last, _CHUNK * 4)).all()
        if not rows:
            return
        last = rows[-1][0]
        yield [row[1:] for row in rows]
