"""Adds figures up, and chooses between what this program asked and what an engine counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from core.analytics.spread import Spread
from core.analytics.values import Figures

if TYPE_CHECKING:
    from core.registry.figures import CallGroup, CallSlot, Counted, CountedSum


@dataclass(kw_only=True)
class Tally:
    """Sums that grow; `requests` and `failures` are None while only engines were heard that don't tell them."""

    requests: float | None = None
    failures: float | None = None
    prompt_tokens: float = 0
    completion_tokens: float = 0
    written: float = 0  # tokens after each first one
    writing_s: float = 0.0  # seconds spent on them
    latency: Spread = field(default_factory=Spread)
    first_token: Spread = field(default_factory=Spread)

    @property
    def tokens(self) -> float:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens

    def add_calls(self, calls: CallGroup) -> None:
        """Calls of this program."""
        self._count(calls.calls, calls.failures)
        self.prompt_tokens += calls.prompt_tokens
        self.completion_tokens += calls.completion_tokens
        self.written += calls.written
        self.writing_s += calls.writing_s
        self.latency.add_values(calls.latencies)
        self.first_token.add_values(calls.first_tokens)

    def add_slot(self, calls: CallSlot) -> None:
        """Calls of this program in a slot of a plot."""
        self._count(calls.calls, calls.failures)
        self.prompt_tokens += calls.prompt_tokens
        self.completion_tokens += calls.completion_tokens
        self.latency.add_values(calls.latencies)

    def add_counted(self, counted: CountedSum, share: float = 1.0) -> None:
        """What an engine counted, or the share of it that belongs here."""
        self._count(counted.requests, counted.failures, share)
        self.prompt_tokens += counted.prompt_tokens * share
        self.completion_tokens += counted.generation_tokens * share
        self.written += max(0, counted.generation_tokens - (counted.requests or 0)) * share
        self.writing_s += counted.generation_seconds * share
        self.latency.add_histogram(counted.latency, share)
        self.first_token.add_histogram(counted.first_token, share)

    def add(self, other: Tally) -> None:
        """All of another one."""
        self.add_requests(other)
        self.add_tokens(other)

    def add_requests(self, other: Tally) -> None:
        """How often was asked, how it went, and how long it took."""
        self._count(other.requests, other.failures)
        self.latency.add(other.latency)
        self.first_token.add(other.first_token)

    def add_tokens(self, other: Tally) -> None:
        """What went in and out, and how fast."""
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.written += other.written
        self.writing_s += other.writing_s

    def _count(self, requests: float | None, failures: float | None, share: float = 1.0) -> None:
        if requests is not None:
            self.requests = (self.requests or 0) + requests * share
        if failures is not None:
            self.failures = (self.failures or 0) + failures * share

    def figures(self) -> Figures:
        """As they are shown."""
        return Figures(
            requests=None if self.requests is None else round(self.requests),
            failures=None if self.failures is None else round(self.failures),
            prompt_tokens=round(self.prompt_tokens),
            completion_tokens=round(self.completion_tokens),
            latency_p50=self.latency.quantile(0.5),
            latency_p95=self.latency.quantile(0.95),
            first_token_p50=self.first_token.quantile(0.5),
            tokens_per_second=self.written / self.writing_s if self.written and self.writing_s > 0 else None,
        )


@dataclass(frozen=True)
class Choice:
    """Which source stands for a server: the larger one, since an engine counts what this program asked, too."""

    requests: bool  # the engine's, else this program's
    tokens: bool

    @classmethod
    def between(cls, asked: Tally, counted: Tally) -> Choice:
        """By what both have in the whole period."""
        return cls((counted.requests or 0) > (asked.requests or 0), counted.tokens > asked.tokens)

    def of(self, asked: Tally, counted: Tally) -> Tally:
        """One tally of the two; failures that never reached the engine are kept."""
        chosen = Tally()
        chosen.add_requests(counted if self.requests else asked)
        chosen.add_tokens(counted if self.tokens else asked)
        if self.requests and asked.failures:
            chosen.failures = min(max(asked.failures, chosen.failures or 0), chosen.requests or 0)
        return chosen


def overlap(counted: Counted, begin: datetime, end: datetime) -> float:
    """The share of a counted span that lies between two moments."""
    start = counted.at.timestamp()
    first, last = max(start, begin.timestamp()), min(start + counted.seconds, end.timestamp())
    return max(0.0, last - first) / counted.seconds
