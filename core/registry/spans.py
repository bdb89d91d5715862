"""The spans of time that counters are kept in; light to import."""

from __future__ import annotations

from datetime import UTC, datetime

SPAN_S = 300


def floor(at: datetime, seconds: int = SPAN_S) -> datetime:
    """The beginning of the span in which `at` lies; spans are counted in UTC, so that no clock change moves them."""
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)
