"""Medians and percentiles of times that are known exactly, of times that an engine only counted by ranges, or both."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

_STEPS = 28  # halvings: to a part in 100 millions


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

    def add_histogram(self, histogram: Mapping[str, float], share: float = 1.0) -> None:
        """Counts by "low-high", as `Counter` keeps them."""
        for bounds, count in histogram.items():
            low, _, high = bounds.partition("-")
            self._ranges[float(low), float(high)] += count * share

    def add(self, other: Spread) -> None:
        """All of another one; the first is taken over as it is."""
        if self._values:
            self.add_values(other._values)
        else:
            other._sort()
            self._values, self._sorted = array("d", other._values), True
        for bounds, count in other._ranges.items():
            self._ranges[bounds] += count

    def quantile(self, share: float) -> float | None:
        """The time within which `share` of all were; within a range, evenly spread; of nothing, None.

        Of an even number of exact values the median lies in the middle between two.
        """
        self._sort()
        if self._ranges:
            return self._estimate(share)
        return self._exact(share) if self._values else None

    def _sort(self) -> None:
        if not self._sorted:
            self._values = array("d", sorted(self._values))
            self._sorted = True

    def _exact(self, share: float) -> float:
        place = share * (len(self._values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(self._values) - 1)
        low, high = self._values[below], self._values[above]
        return low + (high - low) * (place - below)

    def _estimate(self, share: float) -> float:
        """Halve the space in which the quantile must be; what is beyond the last bound counts as at that bound."""
        values = self._values
        ranges = [(low, _end(low, high), count) for (low, high), count in self._ranges.items()]
        wanted = share * (len(values) + sum(count for _, _, count in ranges))
        low, high = 0.0, max([end for _, end, _ in ranges] + list(values[-1:]))
        for _ in range(_STEPS):
            middle = (low + high) / 2
            below = float(bisect_right(values, middle))
            for begin, end, count in ranges:
                if middle >= end:
                    below += count
                elif middle > begin:
                    below += count * (middle - begin) / (end - begin)
            low, high = (low, middle) if below >= wanted else (middle, high)
        return high


def _end(low: float, high: float) -> float:
    return low if math.isinf(high) else high
