"""Requests, tokens, times and ratings per model and per server, from this program's calls and the engines' counters."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from core.analytics.series import edges
from core.analytics.tally import Choice, Tally, overlap
from core.analytics.values import By, Period, Point, Report, Usage, begin
from core.events import now

if TYPE_CHECKING:
    from core.analytics.sampler import Sampler
    from core.registry.figures import CallGroup, CallSlot, Counted, CountedSum, Named
    from core.registry.store import Registry

TEST = "test"  # `Call.kind` of a connection test
_DECIMALS = 2


@dataclass(kw_only=True)
class _Line:
    """What is added up for one model and server."""

    asked: Tally = field(default_factory=Tally)
    counted: Tally = field(default_factory=Tally)
    tests: int = 0
    tests_failed: int = 0
    ratings: int = 0
    rating_sum: int = 0

    def merge(self, other: _Line) -> None:
        self.asked.add(other.asked)
        self.counted.add(other.counted)
        self.tests += other.tests
        self.tests_failed += other.tests_failed
        self.ratings += other.ratings
        self.rating_sum += other.rating_sum


class AnalyticsService:
    """Reads the figures; `watch` and `sample` keep the engines' counters."""

    def __init__(self, registry: Registry, sampler: Sampler) -> None:
        self._registry = registry
        self._sampler = sampler

    async def watch(self) -> None:
        """Read the counters of running servers about once a minute, for as long as it is not cancelled."""
        await self._sampler.run()

    async def sample(self) -> int:
        """Read the counters of running servers now; how many rows they changed."""
        return await self._sampler.sample()

    async def close(self) -> None:
        """Let go of the ways to the servers."""
        await self._sampler.close()

    async def report(
        self,
        since: datetime | None = None,
        *,
        by: By = By.MODEL,
        model_ref: str | None = None,
        with_tests: bool = False,
    ) -> Report:
        """The figures from `since` on, the most used first.

        Connection tests are counted beside the requests and are no part of them, nor of the success rate, unless
        `with_tests`. What engines counted contains whatever reached them.
        """
        both = self._registry.call_groups(since=since), self._registry.counted_sums(since=since)
        lines = _lines(*await asyncio.gather(*both), with_tests=with_tests)
        if model_ref is not None:
            lines = {key: line for key, line in lines.items() if key[0] == model_ref}
        names = await self._registry.names({model for model, _ in lines})
        hosts = {server.id: server.host_name for server in await self._registry.servers()}
        rows = await asyncio.to_thread(_ranked, lines, names, hosts, by)
        return Report(since=since, until=now(), by=by, with_tests=with_tests, rows=tuple(rows))

    async def series(self, model_ref: str, period: Period, *, server_id: str | None = None) -> list[Point]:
        """The slots of a plot of one model, or of one of its servers, up to now; they add up to the report's figures.

        Tests are left out.
        """
        at = now()
        counted = await self._registry.counted(model_ref, since=begin(period, at))
        first = await self._registry.first_call(model_ref) if period is Period.ALL else None
        known = [moment for moment in (first, *(one.at for one in counted)) if moment is not None]
        slots = edges(period, at, min(known, default=None))
        calls = await self._registry.call_slots(model_ref, slots)
        if server_id is not None:
            counted = [one for one in counted if one.server_id == server_id]
            calls = {key: slot for key, slot in calls.items() if key[1] == server_id}
        return await asyncio.to_thread(_points, slots, calls, counted)


def _lines(
    groups: Iterable[CallGroup], counted: Iterable[CountedSum], *, with_tests: bool
) -> dict[tuple[str, str], _Line]:
    lines: dict[tuple[str, str], _Line] = defaultdict(_Line)
    for group in groups:
        line = lines[group.model_id, group.server_id]
        if group.kind == TEST:
            line.tests += group.calls
            line.tests_failed += group.failures
        if group.kind != TEST or with_tests:
            line.asked.add_calls(group)
        line.ratings += group.ratings
        line.rating_sum += group.rating_sum
    for one in counted:
        lines[one.model_id, one.server_id].counted.add_counted(one)
    return lines


def _ranked(
    lines: Mapping[tuple[str, str], _Line], names: Mapping[str, Named], hosts: Mapping[str, str], by: By
) -> list[Usage]:
    """The medians want sorting: not on the loop's thread."""
    rows = _by_server(lines, names, hosts) if by is By.SERVER else _by_model(lines, names)
    return sorted(rows, key=lambda row: (-(row.all.requests or 0), -row.all.completion_tokens, row.model_name))


def _by_server(
    lines: Mapping[tuple[str, str], _Line], names: Mapping[str, Named], hosts: Mapping[str, str]
) -> Iterable[Usage]:
    for (model, server), line in lines.items():
        chosen = Choice.between(line.asked, line.counted).of(line.asked, line.counted)
        yield _usage(line, chosen, names[model], server_id=server, host=hosts.get(server, ""))


def _by_model(lines: Mapping[tuple[str, str], _Line], names: Mapping[str, Named]) -> Iterable[Usage]:
    sums: dict[str, _Line] = defaultdict(_Line)
    chosen: dict[str, Tally] = defaultdict(Tally)
    for (model, _), line in lines.items():
        sums[model].merge(line)
        chosen[model].add(Choice.between(line.asked, line.counted).of(line.asked, line.counted))
    return [_usage(line, chosen[model], names[model]) for model, line in sums.items()]


def _usage(line: _Line, chosen: Tally, named: Named, *, server_id: str = "", host: str = "") -> Usage:
    counted = line.counted.figures()
    return Usage(
        model_ref=named.ref,
        model_name=named.name,
        model_id=named.model_id,
        provider=named.provider,
        gone=named.gone,
        server_id=server_id,
        host=host,
        all=chosen.figures(),
        asked=line.asked.figures(),
        counted=None if counted.is_empty else counted,
        tests=line.tests,
        tests_failed=line.tests_failed,
        rating=round(line.rating_sum / line.ratings, _DECIMALS) if line.ratings else None,
        ratings=line.ratings,
    )


def _points(
    slots: list[datetime], calls: Mapping[tuple[int, str, str], CallSlot], counted: Iterable[Counted]
) -> list[Point]:
    asked: dict[tuple[int, str], Tally] = defaultdict(Tally)
    heard: dict[tuple[int, str], Tally] = defaultdict(Tally)
    for (number, server, kind), slot in calls.items():
        if kind != TEST and number < len(slots) - 1:
            asked[number, server].add_slot(slot)
    for one in counted:
        for number, share in _shares(one, slots):
            heard[number, one.server_id].add_counted(one, share)
    choices = _choices(asked, heard)
    tallies: dict[int, Tally] = defaultdict(Tally)
    for number, server in {*asked, *heard}:
        key = (number, server)
        tallies[number].add(choices[server].of(asked[key], heard[key]))
    return [_point(slots[number], tallies[number]) for number in range(len(slots) - 1)]


def _choices(asked: Mapping[tuple[int, str], Tally], heard: Mapping[tuple[int, str], Tally]) -> dict[str, Choice]:
    """One source for the whole plot of a server, as in the report: else a request could be in two slots."""
    sums: dict[str, tuple[Tally, Tally]] = defaultdict(lambda: (Tally(), Tally()))
    for (_, server), tally in asked.items():
        sums[server][0].add(tally)
    for (_, server), tally in heard.items():
        sums[server][1].add(tally)
    return {server: Choice.between(*both) for server, both in sums.items()}


def _shares(counted: Counted, slots: list[datetime]) -> Iterable[tuple[int, float]]:
    for number in range(len(slots) - 1):
        if share := overlap(counted, slots[number], slots[number + 1]):
            yield number, share


def _point(at: datetime, tally: Tally) -> Point:
    return Point(
        at=at,
        requests=tally.requests or 0,
        failures=tally.failures or 0,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        latency_p50=tally.latency.quantile(0.5),
    )
