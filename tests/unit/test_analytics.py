"""The figures of models and servers, held against a plain computation (N3)."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analytics.series import edges
from core.analytics.service import AnalyticsService
from core.analytics.spread import Spread
from core.analytics.tally import Choice, Tally
from core.analytics.values import By, Period, begin, parse_since
from core.db import Database, migrate
from core.errors import InvalidInput
from core.events import EventBus, now
from core.registry.counting import Told
from core.registry.records import Call, Counter, Server
from core.registry.spans import floor
from core.registry.store import Registry

SAMPLER: Any = cast("Any", None)  # these tests read no servers


@asynccontextmanager
async def opened(path: Path, user: str = "me") -> AsyncIterator[Registry]:
    database = Database(path)
    await database.open()
    try:
        yield Registry(database, EventBus(), user_id=user)
    finally:
        await database.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "registry.db"
    path.touch(mode=0o600)
    migrate(path)
    return path


@pytest.fixture
async def registry(tmp_path: Path, empty: Path) -> AsyncIterator[Registry]:
    async with opened(Path(shutil.copy(empty, tmp_path))) as it:
        yield it


def call(model: str = "m", *, server: str = "", **more: Any) -> Call:
    values: dict[str, Any] = {"kind": "chat", "ok": True, "seconds": 1.0, **more}
    return Call(user_id="me", model_id=model, model_name=f"name of {model}", server_id=server, **values)


async def add(registry: Registry, *records: Call | Counter) -> None:
    def work(session: Any) -> None:
        session.add_all(records)

    await registry._db.write(work)


async def add_server(registry: Registry, model: str = "m") -> Server:
    await registry.ensure_local_host(models_dir="/srv")
    host = await registry.get_host("local")
    return await registry.add_server(
        Server(
            user_id="me",
            model_id=model,
            model_name=f"name of {model}",
            served_name=model,
            server_type="vllm",
            runtime="docker",
            host_id=host.id,
            host_name=host.name,
        )
    )


_CALLS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a", "b"]),
        "server": st.sampled_from(["", "s", "t"]),
        "kind": st.sampled_from(["chat", "test"]),
        "ok": st.booleans(),
        "prompt_tokens": st.integers(0, 5000),
        "completion_tokens": st.integers(0, 5000),
        "first_token_s": st.none() | st.floats(0, 1),
        "seconds": st.floats(1, 1000),
        "rating": st.none() | st.integers(1, 5),
        "ago_h": st.floats(0, 60),
    }
)


@given(calls=st.lists(_CALLS, max_size=30))
@settings(max_examples=40, deadline=None)
async def test_the_figures_are_those_of_a_plain_computation(empty: Path, calls: list[dict[str, Any]]) -> None:
    """N3: what SQLite adds up is what one gets by adding up the calls one by one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(empty, folder))
        async with opened(path) as registry:
            at = now()
            made = [_made(values, at) for values in calls]
            await add(registry, *(Call(**one.model_dump()) for one in made))
            for hours in (24, None):
                since = at - timedelta(hours=hours) if hours else None
                report = await AnalyticsService(registry, SAMPLER).report(since)
                inside = [one for one in made if since is None or one.at >= since]
                assert {row.model_ref: _told(row) for row in report.rows} == _plainly(inside)


def _made(values: dict[str, Any], at: datetime) -> Call:
    values = dict(values)
    when = at - timedelta(hours=values.pop("ago_h"))
    return call(values.pop("model"), server=values.pop("server"), at=when, **values)


def _told(row: Any) -> tuple[object, ...]:
    asked = row.all
    return (
        *(asked.requests or 0, asked.failures or 0, asked.prompt_tokens, asked.completion_tokens),
        *(_rounded(asked.latency_p50), _rounded(asked.first_token_p50), _rounded(asked.tokens_per_second)),
        *(row.tests, row.tests_failed, row.ratings, _rounded(row.rating)),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _plainly(calls: list[Call]) -> dict[str, tuple[object, ...]]:
    models: dict[str, list[Call]] = defaultdict(list)
    for one in calls:
        models[one.model_id].append(one)
    return {model: _plain(some) for model, some in models.items()}


def _plain(calls: list[Call]) -> tuple[object, ...]:
    def failed(some: list[Call]) -> int:
        return len([one for one in some if not one.ok])

    chats = [one for one in calls if one.kind == "chat"]
    tests = [one for one in calls if one.kind == "test"]
    good = [one for one in chats if one.ok]
    firsts = [one.first_token_s for one in good if one.first_token_s is not None]
    timed = [one for one in chats if one.completion_tokens > 1 and one.first_token_s is not None]
    seconds = sum(one.seconds - (one.first_token_s or 0) for one in timed)
    ratings = [one.rating for one in calls if one.rating]
    return (
        *(len(chats), failed(chats), sum(c.prompt_tokens for c in chats), sum(c.completion_tokens for c in chats)),
        _rounded(statistics.median(one.seconds for one in good)) if good else None,
        _rounded(statistics.median(firsts)) if firsts else None,
        _rounded(sum(one.completion_tokens - 1 for one in timed) / seconds) if timed and seconds > 0 else None,
        *(len(tests), failed(tests), len(ratings), _rounded(statistics.mean(ratings)) if ratings else None),
    )


async def test_tests_are_apart_unless_they_are_asked_for(registry: Registry) -> None:
    await add(registry, call(), call(kind="test", ok=False, error="timeout"))
    service = AnalyticsService(registry, SAMPLER)
    (row,) = (await service.report()).rows
    assert (row.all.requests, row.all.success_rate, row.tests, row.tests_failed) == (1, 1.0, 1, 1)
    (row,) = (await service.report(with_tests=True)).rows
    assert (row.all.requests, row.all.success_rate, row.tests, row.tests_failed) == (2, 0.5, 1, 1)


async def test_a_request_that_both_sources_saw_counts_once(registry: Registry) -> None:
    """N3: the larger source stands for a server; a hosted endpoint's answers are added."""
    server = await add_server(registry)
    mine = [call(server=server.id, prompt_tokens=10, completion_tokens=20) for _ in range(3)]
    await add(registry, *mine, call(prompt_tokens=1, completion_tokens=1))
    await read(registry, server, requests=100, prompt_tokens=1000, generation_tokens=2000, failures=1)
    (row,) = (await AnalyticsService(registry, SAMPLER).report()).rows
    assert (row.all.requests, row.all.failures) == (101, 1)
    assert (row.all.prompt_tokens, row.all.completion_tokens) == (1001, 2001)
    assert row.asked.requests == 4
    assert row.counted is not None
    assert row.counted.requests == 100
    by_server = (await AnalyticsService(registry, SAMPLER).report(by=By.SERVER)).rows
    assert [(one.server_id, one.host, one.all.requests) for one in by_server] == [
        (server.id, "local", 100),
        ("", "", 1),
    ]
    points = await AnalyticsService(registry, SAMPLER).series("m", Period.DAY)
    assert sum(point.requests for point in points) == pytest.approx(101)
    assert sum(point.prompt_tokens for point in points) == pytest.approx(1001)


_SIDES = st.tuples(st.none() | st.integers(0, 900), st.integers(0, 900), st.integers(0, 5000))


def _tally(side: tuple[int | None, int, int]) -> Tally:
    requests, failures, tokens = side
    failed = None if requests is None else min(failures, requests)
    return Tally(requests=requests, failures=failed, prompt_tokens=tokens, completion_tokens=tokens)


@given(asked=_SIDES, counted=_SIDES)
def test_of_two_sources_the_larger_one_stands_for_a_server(asked: Any, counted: Any) -> None:
    mine, engines = _tally(asked), _tally(counted)
    chosen = Choice.between(mine, engines).of(mine, engines)
    assert (chosen.requests or 0) == max(mine.requests or 0, engines.requests or 0)
    assert chosen.tokens == max(mine.tokens, engines.tokens)
    assert 0 <= (chosen.failures or 0) <= (chosen.requests or 0)
    assert chosen.figures().success_rate is None or 0 <= (chosen.figures().success_rate or 0) <= 1


async def test_an_engine_that_does_not_tell_its_requests_adds_only_tokens(registry: Registry) -> None:
    server = await add_server(registry)
    await read(registry, server, prompt_tokens=500, generation_tokens=50, generation_seconds=5.0)
    (row,) = (await AnalyticsService(registry, SAMPLER).report()).rows
    assert (row.all.requests, row.all.success_rate) == (None, None)
    assert (row.all.prompt_tokens, row.all.completion_tokens, row.all.tokens_per_second) == (500, 50, 10.0)


async def test_figures_of_a_deleted_model_keep_its_name_and_survive_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "registry.db") as registry:
        await registry.record_call(call("gone"))
    async with opened(tmp_path / "registry.db") as registry:
        (row,) = (await AnalyticsService(registry, SAMPLER).report()).rows
        assert (row.model_name, row.gone, row.all.requests) == ("name of gone", True, 1)


async def test_other_users_calls_are_not_shown(tmp_path: Path) -> None:
    async with opened(tmp_path / "registry.db", "one") as one:
        await add(one, call())
        assert (await AnalyticsService(one, SAMPLER).report()).rows == ()


# Counters


async def read(
    registry: Registry, server: Server, *, ago_s: float = 0, start: datetime | None = None, **totals: Any
) -> bool:
    at = now() - timedelta(seconds=ago_s)
    told = Told(server_id=server.id, start=start, began=at, ended=at, totals=totals)
    return bool(await registry.add_readings([told]))


async def requests(registry: Registry) -> int:
    return round(sum(one.requests or 0 for one in await registry.counted_sums()))


async def test_totals_become_differences_and_a_restart_begins_anew(registry: Registry) -> None:
    server = await add_server(registry)
    first = now() - timedelta(hours=1)
    for ago_s, total in ((600, 10), (540, 10), (480, 15), (420, 3), (360, 4)):
        await read(registry, server, ago_s=ago_s, start=first, requests=total)
    assert await requests(registry) == 10 + 5 + 3 + 1


async def test_a_restart_that_counted_more_than_before_is_known_by_its_start(registry: Registry) -> None:
    server = await add_server(registry)
    first, second = (now() - timedelta(minutes=minutes) for minutes in (50, 9))
    await read(registry, server, ago_s=600, start=first, requests=10)
    await read(registry, server, ago_s=60, start=second, requests=25)
    assert await requests(registry) == 35


async def test_a_restart_seen_before_the_registry_knows_of_it_counts_once(registry: Registry) -> None:
    server = await add_server(registry)
    first, second = (now() - timedelta(minutes=minutes) for minutes in (50, 5))
    await read(registry, server, ago_s=600, start=first, requests=10)
    await read(registry, server, ago_s=120, start=first, requests=4)
    await read(registry, server, ago_s=60, start=second, requests=6)
    assert await requests(registry) == 16


async def test_two_programs_that_read_at_once_count_once(tmp_path: Path) -> None:
    """The later of two overlapping readings is left out, whichever saw more."""
    async with opened(tmp_path / "r.db") as one, opened(tmp_path / "r.db") as two:
        server = await add_server(one)
        at = now() - timedelta(minutes=5)
        for number in range(6):
            began = at + timedelta(seconds=60 * number)
            totals = ({"requests": 10.0 * number + 3}, {"requests": 10.0 * number + 1})
            for registry, total in zip((one, two), totals, strict=True):
                ended = began + timedelta(seconds=2)
                await registry.add_readings(
                    [Told(server_id=server.id, start=None, began=began, ended=ended, totals=total)]
                )
        assert await requests(one) == 53


async def test_a_clock_that_was_set_back_does_not_stop_the_counting(registry: Registry) -> None:
    server = await add_server(registry)
    await read(registry, server, ago_s=-86400, requests=10)
    await read(registry, server, requests=12)
    assert await requests(registry) == 12


async def test_what_was_counted_while_nobody_looked_is_spread_over_that_time(registry: Registry) -> None:
    server = await add_server(registry)
    await read(registry, server, ago_s=10 * 3600, start=now() - timedelta(hours=11), requests=0)
    await read(registry, server, start=now() - timedelta(hours=11), requests=1000)
    service = AnalyticsService(registry, SAMPLER)
    (row,) = (await service.report(begin(Period.HOUR, now()))).rows
    assert row.all.requests == pytest.approx(100, abs=10)
    (row,) = (await service.report()).rows
    assert row.all.requests == 1000


async def test_nothing_gained_is_no_row_and_no_event(registry: Registry) -> None:
    server = await add_server(registry)
    assert await read(registry, server, ago_s=120, requests=1)
    assert not await read(registry, server, ago_s=60, requests=1)


async def test_a_removed_server_leaves_its_figures(registry: Registry) -> None:
    server = await add_server(registry)
    await read(registry, server, requests=7)
    await registry.remove_server(server.id)
    assert await registry.read_at() == {}
    (row,) = (await AnalyticsService(registry, SAMPLER).report()).rows
    assert (row.model_name, row.gone, row.all.requests) == ("name of m", True, 7)


async def test_an_engine_that_invents_ranges_does_not_fill_the_disk(registry: Registry) -> None:
    server = await add_server(registry)
    for number in range(5):
        ranges: dict[str, Any] = {f"latency:{low}-{low + 1}": 1 for low in range(100 * number, 100 * number + 100)}
        await read(registry, server, ago_s=60 - number, **ranges)
    lengths = [len(row.latency) for row in await registry.counted("m")]
    assert 100 <= max(lengths) <= 200


async def test_old_rows_are_folded_and_nothing_is_lost(registry: Registry) -> None:
    at = now()
    histogram = {"0.5-1": 1}
    old = [
        Counter(
            at=floor(at - timedelta(days=days, minutes=5 * number)),
            seconds=300,
            server_id="s",
            model_id="m",
            model_name="m",
            requests=1,
            prompt_tokens=10,
            latency=histogram,
        )
        for days in (0, 3, 20)
        for number in range(24)
    ]
    await add(registry, *old)
    fewer = await registry.fold_counters(at)
    rows = await registry.counted("m")
    assert fewer > 40
    assert len(rows) == 72 - fewer
    assert {row.seconds for row in rows} == {300, 3600, 86400}
    assert sum(row.requests or 0 for row in rows) == 72
    assert sum(row.latency["0.5-1"] for row in rows) == 72
    assert await registry.fold_counters(at) == 0


# Times


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_exact_times_give_the_exact_median(values: list[float]) -> None:
    spread = Spread()
    spread.add_values(values)
    assert spread.quantile(0.5) == pytest.approx(statistics.median(values))
    assert spread.quantile(1.0) == max(values)


@given(st.lists(st.floats(0.01, 99.9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_ranges_give_the_quantile_within_its_range(values: list[float], share: float) -> None:
    bounds = [0, 0.3, 0.5, 1, 2.5, 5, 10, 30, 100]
    histogram: dict[str, int] = defaultdict(int)
    for value in values:
        place = next(number for number, bound in enumerate(bounds) if value <= bound)
        histogram[f"{bounds[place - 1]:g}-{bounds[place]:g}"] += 1
    spread = Spread()
    spread.add_histogram(histogram)
    found = spread.quantile(share)
    true = sorted(values)[max(0, -(-int(share * 100) * len(values) // 100) - 1)]
    place = next(number for number, bound in enumerate(bounds) if true <= bound)
    assert found is not None
    assert bounds[place - 1] - 1e-6 <= found <= bounds[place] + 1e-6


def test_exact_times_and_ranges_together() -> None:
    spread = Spread()
    spread.add_values([1.0] * 10)
    spread.add_histogram({"5-10": 8, "10-inf": 2})
    assert spread.quantile(0.25) == pytest.approx(1.0)
    assert spread.quantile(0.7) == pytest.approx(7.5)
    assert spread.quantile(0.99) == pytest.approx(10.0)
    assert Spread().quantile(0.5) is None


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham"])
async def test_figures_do_not_depend_on_the_zone_or_on_daylight_saving(name: str, registry: Registry) -> None:
    """Calls around both changes of the clock: every one in one slot, the sums the same in every zone."""
    with zone(name):
        at = now()
        moments = [at - timedelta(hours=7.7 * number) for number in range(60)]
        await add(registry, *(call(at=moment) for moment in moments))
        service = AnalyticsService(registry, SAMPLER)
        for period in Period:
            since = begin(period, at)
            inside = len([moment for moment in moments if since is None or moment >= since])
            report = await service.report(since)
            assert sum(row.all.requests or 0 for row in report.rows) == inside
            points = await service.series("m", period)
            assert sum(point.requests for point in points) == inside


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York"])
def test_days_of_a_plot_are_days_here_also_when_the_clock_changes(name: str) -> None:
    with zone(name):
        for at in (datetime(2026, 4, 10, 12, tzinfo=UTC), datetime(2026, 11, 10, 12, tzinfo=UTC)):
            start, *days = edges(Period.MONTH, at)
            assert start == at - timedelta(days=30)
            assert all(day.astimezone().hour == 0 for day in days)
            dates = [day.astimezone().date() for day in days]
            assert all(b - a == timedelta(days=1) for a, b in pairwise(dates))
            lengths = {(b - a).total_seconds() / 3600 for a, b in pairwise(days)}
            assert lengths in ({24, 23}, {24, 25}, {24})
            assert days[-2] <= at < days[-1]


def test_since_is_a_period_a_length_or_a_date() -> None:
    at = datetime(2026, 5, 4, 12, 3, 4, tzinfo=UTC)
    assert parse_since("all", at) is None
    assert parse_since("hour", at) == datetime(2026, 5, 4, 11, 0, tzinfo=UTC)
    assert parse_since("90m", at) == datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
    assert parse_since("7d", at) == datetime(2026, 4, 27, 12, 0, tzinfo=UTC)
    assert parse_since("2026-05-01T00:00:00+00:00", at) == datetime(2026, 5, 1, tzinfo=UTC)
    assert parse_since("999999w", at) is None
    for wrong in ("", "7", "7y", "yesterday", "-3d"):
        with pytest.raises(InvalidInput):
            parse_since(wrong, at)
