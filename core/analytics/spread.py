"""Medians and percentiles of times that are known exactly, of times that an engine only counted by ranges, or both."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

_STEPS = 50  # halvings: more than a double has digits for


class Spread:
    """Times in seconds; `ranges` holds counts by (low, high), fractions of a count too."""

    def __init__(self) -> None:
        self._values: array[float] = array("d")
        self._ranges: dict[tuple[float, float], float] = defaultdict(float)
        self._sorted = True

    def add_values(self, values: Iterable[float]) -> None:
        """Times as they were measured."""
        self._values.extend(values)
        self._sorted = False

    def add_histogram(self, histogram: Mapping[str, int], share: float = 1.0) -> None:
        """Counts by "low-high", as `Counter` keeps them."""
        for bounds, count in histogram.items():
            low, _, high = bounds.partition("-")
            self._ranges[float(low), float(high)] += count * share

    def add(self, other: Spread) -> None:
        """All of another one."""
        self.add_values(other._values)
        for bounds, count in other._ranges.items():
            self._ranges[bounds] += count

    def quantile(self, share: float) -> float | None:
        """The time within which `share` of all were; within a range, evenly spread; of nothing, None.

        Of an even number of exact values the median lies in the middle between two.
        """
        if not self._sorted:
            self._values = array("d", sorted(self._values))
            self._sorted = True
        if self._ranges:
            return self._estimate(share)
        return self._exact(share) if self._values else None

    def _exact(self, share: float) -> float:
        place = share * (len(self._values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(self._values) - 1)
        low, high = self._values[below], self._values[above]
        return low + (high - low) * (place - below)

    def _estimate(self, share: float) -> float:
        """Halve the space in which the quantile must be; what is beyond the last bound counts as at that bound."""
        wanted = share * (len(self._values) + sum(self._ranges.values()))
        low = 0.0
        high = max([_end(*bounds) for bounds in self._ranges] + list(self._values[-1:]))
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._up_to(middle) >= wanted else (middle, high)
        return high

    def _up_to(self, time: float) -> float:
        """How many were at most this long."""
        within = (count * _part(time, *bounds) for bounds, count in self._ranges.items())
        return bisect_right(self._values, time) + sum(within)


def _end(low: float, high: float) -> float:
    return low if math.isinf(high) else high


def _part(time: float, low: float, high: float) -> float:
    if time >= _end(low, high):
        return 1.0
    return max(0.0, (time - low) / (high - low)) if math.isfinite(high) else 0.0
