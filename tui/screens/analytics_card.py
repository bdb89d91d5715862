"""The selected model's figures over time, what each source has, and its tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from textual.content import Content

from core.analytics.values import Figures, Period
from core.text import clean_line
from tui.show import NOTHING, hanging
from tui.widgets.chart import bars

if TYPE_CHECKING:
    from core.analytics.values import Point, Usage

_GAP = 3
_SLOTS = {Period.HOUR: "5 min", Period.DAY: "hour", Period.WEEK: "6 hours"}
_MOMENTS = {Period.HOUR: "%H:%M", Period.DAY: "%a %H:%M", Period.WEEK: "%a %d %b", Period.MONTH: "%d %b"}


class Metric(StrEnum):
    """What the second plot shows."""

    LATENCY = "latency"
    TOKENS = "tokens"


@dataclass(frozen=True)
class Plot:
    """One of the two plots: what its highest bar means, and the bars."""

    title: str
    values: Sequence[float | None]
    style: str


def usage_card(
    usage: Usage, points: Sequence[Point], *, period: Period, metric: Metric, room: int, height: int
) -> Content:
    """Everything about one line, within `room` cells; the plots are `height` lines high."""
    parts = [_title(usage, room), *_plots(points, period, metric, room, height), *_sources(usage, room)]
    return Content("\n").join(part for part in parts if part.plain)


def _title(usage: Usage, room: int) -> Content:
    name = clean_line(usage.model_name)
    beside = [usage.model_id, usage.provider, "record deleted" if usage.gone else "", usage.host]
    more = " · ".join(clean_line(part) for part in beside if part)
    return Content.assemble((name, "bold"), ("  ", ""), (more, "$quiet")).truncate(room, ellipsis=True)


def _plots(points: Sequence[Point], period: Period, metric: Metric, room: int, height: int) -> list[Content]:
    width = (room - _GAP) // 2
    if not points:
        return []
    left, right = _requests(points, period), _latency(points) if metric is Metric.LATENCY else _tokens(points)
    titles = _beside((left.title, "$quiet"), (right.title, "$quiet"), width)
    drawn = zip(*(bars(plot.values, width=width, height=height) for plot in (left, right)), strict=True)
    lines = [_beside((one, left.style), (two, right.style), width) for one, two in drawn]
    axis = _axis(points[0].at, period, width)
    return [titles, *lines, _beside((axis, "$faint"), (axis, "$faint"), width)]


def _beside(left: tuple[str, str], right: tuple[str, str], width: int) -> Content:
    return Content.assemble((left[0][:width].ljust(width), left[1]), (" " * _GAP, ""), (right[0][:width], right[1]))


def _requests(points: Sequence[Point], period: Period) -> Plot:
    most, slot = max(point.requests for point in points), _SLOTS.get(period) or _days(points)
    title = f"Requests, most {amount(round(most))} per {slot}" if most else "Requests: none told"
    return Plot(title, [point.requests for point in points], "$text-primary")


def _days(points: Sequence[Point]) -> str:
    """How long a slot is; a day on which the clock changed has 23 or 25 hours."""
    days = round((points[1].at - points[0].at).total_seconds() / 86400) if len(points) > 1 else 1
    return "day" if days == 1 else f"{days} days"


def _latency(points: Sequence[Point]) -> Plot:
    values = [point.latency_p50 for point in points]
    known = [value for value in values if value is not None]
    title = f"Median latency, {seconds(min(known))} to {seconds(max(known))}" if known else "Median latency: not known"
    return Plot(title, values, "$text-accent")


def _tokens(points: Sequence[Point]) -> Plot:
    values = [point.prompt_tokens + point.completion_tokens for point in points]
    return Plot(f"Tokens in and out, most {amount(round(max(values)))}", values, "$text-success")


def _axis(first: datetime, period: Period, width: int) -> str:
    begin = first.astimezone().strftime(_MOMENTS.get(period, "%Y-%m-%d"))
    return begin + "now".rjust(max(0, width - len(begin)))


def _sources(usage: Usage, room: int) -> list[Content]:
    asked = f"{plural_of(usage.asked.requests, 'request')}, {_flow(usage.asked)}"
    lines = [("Asked here", asked if usage.asked.requests else "nothing")]
    if usage.counted is not None:
        requests = usage.counted.requests
        told = "requests not told" if requests is None else plural_of(requests, "request")
        lines.append(("By engines", f"{told}, {_flow(usage.counted)}; those included"))
    first, speed = usage.all.first_token_p50, usage.all.tokens_per_second
    times = [f"first token {seconds(first)}"] if first is not None else []
    times += [f"{speed:.1f} tokens/s"] if speed is not None else []
    times += [f"rated {usage.rating:.1f} ({usage.ratings})"] if usage.rating is not None else []
    times += [f"tests {usage.tests - usage.tests_failed}/{usage.tests}"] if usage.tests else []
    lines += [("Also", " · ".join(times))] if times else []
    return [hanging(Content.styled(label.ljust(12), "$quiet"), Content(text), room) for label, text in lines]


def _flow(figures: Figures) -> str:
    return f"{amount(figures.prompt_tokens)} tokens in, {amount(figures.completion_tokens)} out"


def plural_of(count: int | None, word: str) -> str:
    """`1 request`, `1.2k requests`."""
    return f"{amount(count)} {word}{'' if count == 1 else 's'}"


def amount(count: int | None) -> str:
    """In five cells at most: `999`, `12.3k`, `4.56M`."""
    if count is None:
        return NOTHING
    if count < 1000:
        return str(count)
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if count < size * 999.5:
            return f"{count / size:.3g}{unit}"
    return f"{count:.0e}"


def percent(share: float | None) -> str:
    """A share from 0 to 1; only all is 100 %."""
    if share is None:
        return NOTHING
    return f"{min(share * 100, 99.9 if share < 1 else 100):.1f}".removesuffix(".0") + " %"


def seconds(value: float | None) -> str:
    """In five cells at most: `85ms`, `1.25s`, `93s`, `12m`."""
    if value is None:
        return NOTHING
    if value < 0.9995:
        return f"{value * 1000:.0f}ms"
    if value < 999.5:
        return f"{value:.3g}s"
    return f"{value / 60:.0f}m" if value < 59_970 else f"{value / 3600:.0f}h"
