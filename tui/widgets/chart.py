"""A plot over time as text: bars of block characters, in one style a line, so that a change costs few bytes."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bars(values: Sequence[float | None], *, width: int, height: int) -> list[str]:
    """Lines from the top down, each `width` cells: a bar for every value, as wide as all of them fit; None: no bar.

    Every value above zero is seen, however small. More values than cells are joined, the largest of each group.
    """
    shown = _joined(list(values), width)
    if not shown:
        return [" " * width] * height
    most = max((value for value in shown if value), default=0)
    tops = [_eighths(value, most, height) for value in shown]
    ends = [(number + 1) * width // len(shown) for number in range(len(shown))]
    spans = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [_line(tops, spans, height - 1 - row) for row in range(height)]


def _joined(values: list[float | None], width: int) -> list[float | None]:
    size = -(-len(values) // max(1, width))
    groups = (values[start : start + size] for start in range(0, len(values), max(1, size)))
    return [max((value for value in group if value is not None), default=None) for group in groups]


def _eighths(value: float | None, most: float, height: int) -> int:
    return max(1, round(value / most * height * 8)) if value and most else 0


def _line(tops: Sequence[int], spans: Sequence[int], row: int) -> str:
    """One line of the plot; where there is room, bars have a gap between them."""
    gap = 1 if min(spans) > 2 else 0
    drawn = (_EIGHTHS[min(8, max(0, top - row * 8))] for top in tops)
    return "".join(one * (span - gap) + " " * gap for one, span in zip(drawn, spans, strict=True))
