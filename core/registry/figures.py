"""The figures of calls and of engines, added up where they are kept (N3)."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from core.events import RecordChanged
from core.registry.base import Store, chunks
from core.registry.counting import add_reading, fold
from core.registry.records import Call, Counter, Model, Reading

if TYPE_CHECKING:
    from core.registry.counting import Told

_GROUPS = """
SELECT model_id, server_id, kind, count(*) calls, sum(NOT ok) failures,
       sum(prompt_tokens) prompt_tokens, sum(completion_tokens) completion_tokens,
       count(rating) ratings, ifnull(sum(rating), 0) rating_sum,
       ifnull(sum(completion_tokens - 1) FILTER (WHERE completion_tokens > 1 AND first_token_s IS NOT NULL), 0) written,
       ifnull(sum(seconds - first_token_s) FILTER (WHERE completion_tokens > 1), 0.0) writing_s,
       collected(seconds) FILTER (WHERE ok) latencies,
       collected(first_token_s) FILTER (WHERE ok AND first_token_s IS NOT NULL) first_tokens
FROM calls WHERE user_id = ? AND at >= ?
GROUP BY model_id, server_id, kind
"""
_POINTS = """
SELECT at, server_id, kind, ok, seconds, prompt_tokens, completion_tokens
FROM calls WHERE user_id = ? AND model_id = ? AND at >= ?
"""
_AFTER = "datetime(at, '+' || seconds || ' seconds') > substr(:since, 1, 19)"  # a span that ends later
_SHARE = "CASE WHEN at >= :since THEN 1.0 ELSE 1.0 + (julianday(at) - julianday(:since)) * 86400 / seconds END"
_COUNTED_SUMS = f"""
SELECT model_id, server_id, sum(requests * share), sum(failures * share), sum(prompt_tokens * share),
       sum(generation_tokens * share), sum(generation_seconds * share),
       merged(latency, share), merged(first_token, share)
FROM (SELECT *, {_SHARE} AS share FROM counters WHERE {_AFTER})
GROUP BY model_id, server_id
"""  # noqa: S608 - our own words
_COUNTED = f"""
SELECT model_id, server_id, requests, failures, prompt_tokens, generation_tokens, generation_seconds, latency,
       first_token, at, seconds
FROM counters WHERE {_AFTER} AND model_id = :model_id
"""  # noqa: S608 - our own words


@dataclass(frozen=True, kw_only=True)
class CallGroup:
    """The calls of one model, server and kind: sums, and every latency of those that were answered.

    `written` and `writing_s` are the tokens after each first one and the seconds spent on them.
    """

    model_id: str
    server_id: str
    kind: str
    calls: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    ratings: int
    rating_sum: int
    written: int
    writing_s: float
    latencies: array[float]
    first_tokens: array[float]


@dataclass(kw_only=True)
class CallSlot:
    """The calls of one server and kind between two edges of a plot."""

    calls: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True)
class CountedSum:
    """What a server's engine counted; the fields are those of `Counter`."""

    model_id: str
    server_id: str
    requests: float | None
    failures: float | None
    prompt_tokens: float
    generation_tokens: float
    generation_seconds: float
    latency: Mapping[str, float]
    first_token: Mapping[str, float]


@dataclass(frozen=True)
class Counted(CountedSum):
    """The same of the `seconds` from `at` on."""

    at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class Named:
    """What a model is called: `ref` is its record's id, `model_id` what a person reads (N1)."""

    ref: str
    name: str
    model_id: str
    provider: str
    gone: bool = False


class FigureRecords(Store):
    """Sums of calls and of what engines counted."""

    async def call_groups(self, *, since: datetime | None = None) -> list[CallGroup]:
        """The user's calls by model, server and kind, added up by SQLite from one index: 50 ms for 100,000 calls."""

        def work(session: Session) -> list[CallGroup]:
            connection = session.connection()
            raw: Any = connection.connection.driver_connection
            raw.create_aggregate("collected", 1, _Collected)
            rows = connection.exec_driver_sql(_GROUPS, (self.user_id, _stored(since))).mappings()
            return [CallGroup(**_unpacked(dict(row))) for row in rows]

        return await self._db.read(work)

    async def call_slots(self, model_id: str, edges: Sequence[datetime]) -> dict[tuple[int, str, str], CallSlot]:
        """The user's calls of one model by slot (n: from edge n to the next), server and kind."""

        def work(session: Session) -> dict[tuple[int, str, str], CallSlot]:
            arguments = (self.user_id, model_id, _stored(edges[0]))
            rows = session.connection().exec_driver_sql(_POINTS, arguments)
            return _in_slots(rows.all(), [_stored(edge) for edge in edges])

        return await self._db.read(work)

    async def first_call(self, model_id: str) -> datetime | None:
        """When the user asked a model first."""

        def work(session: Session) -> datetime | None:
            mine = (col(Call.user_id) == self.user_id, col(Call.model_id) == model_id)
            return session.exec(select(Call.at).where(*mine).order_by(col(Call.at)).limit(1)).first()

        return await self._db.read(work)

    async def names(self, model_ids: Collection[str]) -> dict[str, Named]:
        """How models are called; those whose records are gone as their calls or counters knew them."""

        def work(session: Session) -> dict[str, Named]:
            found: dict[str, Named] = {}
            for some in chunks(list(model_ids)):
                for model in session.exec(select(Model).where(col(Model.id).in_(some))):
                    found[model.id] = Named(model.id, model.name, model.model_id, model.provider)
            gone = (model_id for model_id in model_ids if model_id not in found)
            return {**found, **{model_id: self._gone(session, model_id) for model_id in gone}}

        return await self._db.read(work)

    def _gone(self, session: Session, model_id: str) -> Named:
        mine = (col(Call.user_id) == self.user_id, col(Call.model_id) == model_id)
        called = session.exec(select(Call.model_name).where(*mine).limit(1)).first()
        counted = session.exec(select(Counter.model_name).where(col(Counter.model_id) == model_id).limit(1)).first()
        return Named(model_id, called or counted or model_id, "", "", gone=True)

    async def counted_sums(self, *, since: datetime | None = None) -> list[CountedSum]:
        """What engines counted, by model and server; of a span that began before `since`, the share after it."""

        def work(session: Session) -> list[CountedSum]:
            connection = session.connection()
            raw: Any = connection.connection.driver_connection
            raw.create_aggregate("merged", 2, _Merged)
            return [_counted_sum(row) for row in connection.exec_driver_sql(_COUNTED_SUMS, {"since": _stored(since)})]

        return await self._db.read(work)

    async def counted(self, model_id: str, *, since: datetime | None = None) -> list[Counted]:
        """What engines counted of one model in the spans that end after `since`."""

        def work(session: Session) -> list[Counted]:
            arguments = {"since": _stored(since), "model_id": model_id}
            return [_counted(row) for row in session.connection().exec_driver_sql(_COUNTED, arguments)]

        return await self._db.read(work)

    async def read_at(self) -> dict[str, datetime]:
        """When each server was read last."""
        return await self._db.read(lambda session: dict(session.exec(select(Reading.server_id, Reading.at)).all()))

    async def add_readings(self, told: Sequence[Told]) -> int:
        """Compare with the readings before and keep what was gained, in one transaction; the rows that changed.

        Readings that another program has overtaken are left out: nothing is counted twice.
        """

        def work(session: Session) -> int:
            return sum(add_reading(session, one) for one in told)

        changed = await self._db.write(work)
        if changed:
            self._bus.publish(RecordChanged(kind="counter", id="", action="added", count=changed))
        return changed

    async def fold_counters(self, at: datetime) -> int:
        """Fold rows of more than six hours into hours, and of more than eight days into days; the rows fewer."""
        return await self._db.write(lambda session: fold(session, at))


class _Collected:
    """An aggregate of SQLite: all values, packed."""

    def __init__(self) -> None:
        self._values = array("d")
        self.step = self._values.append

    def finalize(self) -> bytes:
        return self._values.tobytes()


class _Merged:
    """An aggregate of SQLite: histograms as JSON, each with its share, become one."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = defaultdict(float)

    def step(self, histogram: str, share: float) -> None:
        if histogram != "{}":
            for bounds, count in json.loads(histogram).items():
                self._counts[bounds] += count * share

    def finalize(self) -> str:
        return json.dumps(self._counts)


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{name: array("d", row[name] or b"") for name in ("latencies", "first_tokens")}}


def _stored(at: datetime | None) -> str:
    """As SQLAlchemy writes a time into SQLite; earlier than all others when there is none."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _counted_sum(row: Sequence[Any]) -> CountedSum:
    *values, latency, first_token = row
    return CountedSum(*[*values, json.loads(latency), json.loads(first_token)])


def _counted(row: Sequence[Any]) -> Counted:
    *values, latency, first_token, at, seconds = row
    begin = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return Counted(*[*values, json.loads(latency), json.loads(first_token), begin, seconds])


def _in_slots(rows: Sequence[Any], edges: list[str]) -> dict[tuple[int, str, str], CallSlot]:
    slots: dict[tuple[int, str, str], CallSlot] = {}
    for at, server_id, kind, ok, seconds, tokens_in, tokens_out in rows:
        key = (bisect_right(edges, at) - 1, server_id, kind)
        slot = slots.get(key) or slots.setdefault(key, CallSlot())
        slot.calls += 1
        slot.failures += not ok
        slot.prompt_tokens += tokens_in
        slot.completion_tokens += tokens_out
        if ok:
            slot.latencies.append(seconds)
    return slots
