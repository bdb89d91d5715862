"""The figures of use over 100,000 calls and the counters of a fleet: python -m tests.bench.analytics."""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from core.analytics.service import AnalyticsService
from core.analytics.values import By, Period, begin
from core.db import Database
from core.events import EventBus, now
from core.registry.records import Call, Counter
from core.registry.spans import floor
from core.registry.store import Registry
from tests.bench.measure import show, summary

_MODELS = 50
_SERVERS = 20
_DAYS = 30
_BATCH = 10_000
_BASE = "all calls fetched"
_RANGES = {"0.3-0.5": 3, "0.5-0.8": 5, "0.8-1": 8, "1-1.5": 11, "1.5-2": 6, "2-2.5": 3, "2.5-5": 2, "5-10": 1}
Measured = dict[str, Callable[[], Awaitable[object]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="my-") as folder:
        show(asyncio.run(_measure(Path(folder), arguments.calls, arguments.rounds)))


async def _measure(folder: Path, calls: int, rounds: int) -> dict[str, object]:
    database = Database(folder / "registry.db")
    await database.open()
    registry = Registry(database, EventBus(), user_id="me")
    service = AnalyticsService(registry, cast("Any", None))
    await _fill(registry, calls)
    plain: Measured = {_BASE: lambda: asyncio.to_thread(_fetched, database.path)}
    alone = await _in_turns({**plain, "by model, all": service.report}, rounds)
    await _add(registry, [row for number in range(_SERVERS) for row in _counters(number, now())])
    measured: Measured = {
        **plain,
        "by model, all": service.report,
        "by server, all": lambda: service.report(by=By.SERVER),
        "by model, last week": lambda: service.report(begin(Period.WEEK, now())),
        "by model, last hour": lambda: service.report(begin(Period.HOUR, now())),
        "plot of one model, last month": lambda: service.series("m01", Period.MONTH),
        "plot of the model with a tenth of all calls, all": lambda: service.series("m00", Period.ALL),
        "a call more": lambda: registry.record_call(_call(random.Random(1), now())),
    }
    with_counters = await _in_turns(measured, rounds)
    await database.close()
    return {
        "calls": calls,
        "bytes": database.path.stat().st_size,
        "calls alone": alone,
        f"with {_SERVERS * _rows_each()} counters of {_SERVERS} servers": with_counters,
    }


async def _in_turns(measured: Measured, rounds: int) -> dict[str, object]:
    results: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + 1):
        for name, work in measured.items():
            value = await _milliseconds(work)
            if number:
                results[name].append(value)
    return summary(results, unit="ms", base=_BASE)


def _fetched(path: Path) -> int:
    """What a program pays that adds up by itself: the figures of all calls, fetched."""
    connection = sqlite3.connect(path)
    columns = "model_id, server_id, kind, ok, prompt_tokens, completion_tokens, first_token_s, seconds, rating"
    rows = connection.execute(f"SELECT {columns} FROM calls").fetchall()
    connection.close()
    return len(rows)


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def _fill(registry: Registry, calls: int) -> None:
    chance, at = random.Random(1), now()
    for start in range(0, calls, _BATCH):
        batch = [_call(chance, at) for _ in range(min(_BATCH, calls - start))]
        await _add(registry, batch)


async def _add(registry: Registry, records: list[Any]) -> None:
    await registry._db.write(lambda session: session.bulk_save_objects(records))


def _call(chance: random.Random, at: datetime) -> Call:
    """A tenth of all calls goes to one model."""
    number = 0 if chance.random() < 0.1 else chance.randrange(_MODELS)
    return Call(
        at=at - timedelta(seconds=chance.uniform(0, _DAYS * 86400)),
        user_id="me",
        model_id=f"m{number:02}",
        model_name=f"model {number}",
        server_id=f"s{number:02}" if number < _SERVERS else "",
        kind="test" if chance.random() < 0.1 else "chat",
        ok=chance.random() < 0.98,
        prompt_tokens=chance.randrange(2000),
        completion_tokens=chance.randrange(900),
        first_token_s=chance.random(),
        seconds=1 + chance.lognormvariate(0, 1),
        rating=chance.choice([None, None, None, 3, 4, 5]),
    )


def _spans(at: datetime) -> list[tuple[datetime, int]]:
    """As the sampler keeps them: five minutes for six hours, hours for a week, days before."""
    minutes = [(floor(at - timedelta(minutes=5 * number)), 300) for number in range(6 * 12)]
    hours = [(floor(at - timedelta(hours=number), 3600), 3600) for number in range(7, 8 * 24)]
    days = [(floor(at - timedelta(days=number), 86400), 86400) for number in range(9, _DAYS)]
    return [*minutes, *hours, *days]


def _rows_each() -> int:
    return len(_spans(now()))


def _counters(number: int, at: datetime) -> list[Counter]:
    return [
        Counter(
            at=begin_,
            seconds=seconds,
            server_id=f"s{number:02}",
            model_id=f"m{number:02}",
            model_name=f"model {number}",
            requests=39,
            failures=0,
            prompt_tokens=16_000,
            generation_tokens=9_000,
            generation_seconds=180.0,
            latency=_RANGES,
            first_token=_RANGES,
        )
        for begin_, seconds in _spans(at)
    ]


if __name__ == "__main__":
    main()
