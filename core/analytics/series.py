"""The slots of a plot over time, in the zone of this machine where they are days or longer."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from core.analytics.values import LENGTHS, Period
from core.registry.spans import floor

_WIDTHS = {
    Period.HOUR: timedelta(minutes=5),
    Period.DAY: timedelta(hours=1),
    Period.WEEK: timedelta(hours=6),
    Period.MONTH: timedelta(days=1),
}
_LONGEST = 60  # slots of a plot of everything
_STEPS_DAYS = (1, 7, 30, 91, 365)


def edges(period: Period, at: datetime, first: datetime | None = None) -> list[datetime]:
    """Where the slots begin, oldest first; the last one is the end of the plot, after `at`.

    The first slot begins with the period, so that the slots hold what the figures of the period hold.
    `first` is when anything happened first, where the period is everything there is.
    """
    if period is Period.ALL:
        return _days(min(first or at, at), at)
    width, start = _WIDTHS[period], floor(at - LENGTHS[period])
    found = _days(start, at, step=width.days) if width >= timedelta(days=1) else _spans(start, at, width)
    return [start, *found[1:]]


def _spans(begin: datetime, at: datetime, width: timedelta) -> list[datetime]:
    """Spans of UTC, so that no clock change makes one longer or shorter."""
    start = floor(begin, int(width.total_seconds()))
    found = [start]
    while found[-1] <= at:
        found.append(found[-1] + width)
    return found


def _days(begin: datetime, at: datetime, *, step: int = 0) -> list[datetime]:
    """From midnight to midnight here, some days at a time; a day on which the clock changes is one day all the same."""
    day, last = begin.astimezone().date(), at.astimezone().date()
    step = step or next((days for days in _STEPS_DAYS if (last - day).days <= days * _LONGEST), _STEPS_DAYS[-1])
    found = [_midnight(day)]
    while found[-1] <= at:
        day += timedelta(days=step)
        found.append(_midnight(day))
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time()).astimezone().astimezone(UTC)
