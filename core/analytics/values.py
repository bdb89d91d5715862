"""What the analytics tell: figures of a period, by model or server, and over time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.errors import InvalidInput
from core.registry.spans import floor

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Period(StrEnum):
    """The periods of the screen; each ends now."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    ALL = "all"


LENGTHS = {
    Period.HOUR: timedelta(hours=1),
    Period.DAY: timedelta(days=1),
    Period.WEEK: timedelta(days=7),
    Period.MONTH: timedelta(days=30),
}


class By(StrEnum):
    """What a line of the figures stands for."""

    MODEL = "model"
    SERVER = "server"


def begin(period: Period, at: datetime) -> datetime | None:
    """The beginning of a period that ends at `at`, at the grain of the counters; None: there is none."""
    return floor(at - LENGTHS[period]) if period in LENGTHS else None


def parse_since(text: str, at: datetime) -> datetime | None:
    """A period's name, a length (`90m`, `24h`, `7d`, `4w`), or a date with or without a time; None for `all`.

    Raises:
        InvalidInput: it is none of these.
    """
    word = text.strip().lower()
    if word in set(Period):
        return begin(Period(word), at)
    if length := re.fullmatch(r"(\d{1,6})([mhdw])", word):
        return _earlier(at, timedelta(**{_UNITS[length[2]]: int(length[1])}))
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        periods = ", ".join(Period)
        says = f"Must be one of {periods}, a length such as 90m, 24h, 7d or 4w, or a date such as 2026-01-31."
        raise InvalidInput({"since": says}) from None


def _earlier(at: datetime, length: timedelta) -> datetime | None:
    """All there is, when that is before the calendar."""
    try:
        return floor(at - length)
    except (OverflowError, ValueError, OSError):
        return None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Sums and times of some requests; seconds; None: not known."""

    requests: int | None
    failures: int | None
    prompt_tokens: int
    completion_tokens: int
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    tokens_per_second: float | None

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1."""
        return None if not self.requests or self.failures is None else 1 - self.failures / self.requests

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked."""
        return not (self.requests or self.prompt_tokens or self.completion_tokens)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The figures of a model, or of one server of it; `model_id` is what a person reads (N1), `model_ref` the record.

    `all` never counts a request twice: for each server the larger of `asked` and `counted` stands, and what hosted
    endpoints answered is added. `asked` is what this program asked, `counted` what the engines counted, whoever asked.
    """

    model_ref: str
    model_name: str
    model_id: str
    provider: str
    gone: bool  # there is no such record any more
    server_id: str = ""
    host: str = ""
    all: Figures
    asked: Figures
    counted: Figures | None
    tests: int
    tests_failed: int
    rating: float | None
    ratings: int


@dataclass(frozen=True, kw_only=True)
class Point:
    """What happened in one slot of a plot."""

    at: datetime
    requests: float
    failures: float
    prompt_tokens: float
    completion_tokens: float
    latency_p50: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of a period, one line for each model or server that was used."""

    since: datetime | None
    until: datetime
    by: By
    with_tests: bool
    rows: tuple[Usage, ...]
