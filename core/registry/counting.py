"""Totals that engines tell become differences over spans of time: restarts, gaps and several readers are heeded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlmodel import Session, col, select

from core.registry.records import Counter, Reading, Server
from core.registry.spans import SPAN_S, floor

_GAP_S = 2 * SPAN_S  # a longer time between two readings is a span of its own
_CLOCK_STEP = timedelta(minutes=5)  # a reading that far ahead was made before the clock was set back
_FOLDS = ((timedelta(hours=6), 3600), (timedelta(days=8), 86400))  # age, and the span that rows are folded into then
_MOST_RANGES = 200  # of a row: an engine has some twenty, one that invents new ones must not fill the disk
_COUNTS = ("requests", "failures")
_SUMS = ("prompt_tokens", "generation_tokens", "generation_seconds")
_HISTOGRAMS = ("latency", "first_token")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a server's engine told between `began` and `ended`, and which start of the server that was.

    The names of `totals` are those of `Counter`'s columns; a histogram's are "latency:low-high".
    """

    server_id: str
    start: datetime | None
    began: datetime
    ended: datetime
    totals: Mapping[str, float]


def add_reading(session: Session, told: Told) -> bool:
    """Keep what was gained since the reading before; False when that is nothing, or somebody was faster."""
    server = session.get(Server, told.server_id)
    seen = session.get(Reading, told.server_id)
    if server is None or (seen is not None and _is_overtaken(seen, told)):
        return False
    start = told.start.isoformat() if told.start else ""
    before = seen.totals if seen is not None and (not start or seen.start in {"", start}) else {}
    gains = _gains(before, told.totals)
    if gains is None:  # restarted, and the registry has not heard of it: the start that it tells next is this one
        start, gains = "", dict(told.totals)
    if gained := any(gains.values()):
        _add(session, server, _span(seen, told), gains)
    session.merge(Reading(server_id=server.id, at=told.ended, start=start, totals=dict(told.totals)))
    return gained


def fold(session: Session, at: datetime) -> int:
    """Fold rows of more than six hours into hours, of more than eight days into days; the rows fewer."""
    fewer = 0
    for age, width in _FOLDS:
        old = (col(Counter.at) < floor(at - age, width), col(Counter.seconds) < width)
        rows = list(session.exec(select(Counter).where(*old)))
        groups: dict[tuple[str, datetime], list[Counter]] = defaultdict(list)
        for row in rows:
            groups[row.server_id, floor(row.at, width)].append(row)
        for (_, begin), group in groups.items():
            fewer += len(group) - _fold_group(session, group, begin, width)
    return fewer


def _is_overtaken(seen: Reading, told: Told) -> bool:
    """Whether another program has read meanwhile: then nobody knows which of the two saw more."""
    return told.began <= seen.at <= told.began + _CLOCK_STEP


def _gains(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float] | None:
    """None when something went down: the engine counts from 0 again."""
    if any(value > now.get(name, 0.0) for name, value in before.items()):
        return None
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def _span(seen: Reading | None, told: Told) -> tuple[datetime, int]:
    """Where the gains belong: the usual span of now, or all the time since the reading or the start before."""
    known = [at for at in (seen.at if seen else None, told.start) if at is not None]
    since = min(max(known), told.ended) if known else told.ended
    if (told.ended - since).total_seconds() <= _GAP_S:
        return floor(told.ended), SPAN_S
    begin = floor(since)
    return begin, int((floor(told.ended) - begin).total_seconds()) + SPAN_S


def _add(session: Session, server: Server, span: tuple[datetime, int], gains: Mapping[str, float]) -> None:
    same = (Counter.server_id == server.id, Counter.at == span[0], Counter.seconds == span[1])
    row = session.exec(select(Counter).where(*same)).first()
    if row is None:
        row = Counter(
            at=span[0], seconds=span[1], server_id=server.id, model_id=server.model_id, model_name=server.model_name
        )
        session.add(row)
    _gain(row, _columns(gains))


def _columns(gains: Mapping[str, float]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: gains[name] for name in (*_COUNTS, *_SUMS) if name in gains}
    for name in _HISTOGRAMS:
        head = f"{name}:"
        columns[name] = {
            key.removeprefix(head): int(gain) for key, gain in gains.items() if key.startswith(head) and gain
        }
    return columns


def _gain(row: Counter, more: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        if more.get(name) is not None:
            setattr(row, name, (getattr(row, name) or 0) + int(more[name]))
    for name in _SUMS:
        kind = type(getattr(row, name))
        setattr(row, name, getattr(row, name) + kind(more.get(name, 0)))
    for name in _HISTOGRAMS:
        setattr(row, name, _merged([getattr(row, name), more[name]]))


def _merged(histograms: Iterable[Mapping[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = defaultdict(int)
    for histogram in histograms:
        for bounds, count in histogram.items():
            merged[bounds] += count
    return dict(islice(merged.items(), _MOST_RANGES))


def _fold_group(session: Session, group: list[Counter], begin: datetime, width: int) -> int:
    """One row in place of the group's, or added to the one that is there; how many rows are new."""
    first = group[0]
    same = (Counter.server_id == first.server_id, Counter.at == begin, Counter.seconds == width)
    there = session.exec(select(Counter).where(*same)).first()
    row = there or Counter(
        at=begin, seconds=width, server_id=first.server_id, model_id=first.model_id, model_name=first.model_name
    )
    for one in group:
        _gain(row, one.model_dump(include={*_COUNTS, *_SUMS, *_HISTOGRAMS}))
        session.delete(one)
    session.add(row)
    return 0 if there else 1
