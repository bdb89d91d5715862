"""The Analytics screen."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
    "analytics": Group(
        title="Analytics",
        keys=(
            Key(
                id="analytics.search",
                keys="slash",
                action="search",
                label="Search",
                help="Search as you type",
                weight=8,
            ),
            Key(
                id="analytics.period",
                keys="p",
                action="period(1)",
                label="Period",
                help="The next period: hour, day, week, month, all",
                weight=9,
            ),
            Key(
                id="analytics.period_back",
                keys="P",
                action="period(-1)",
                label="Period back",
                help="The period before",
                weight=0,
            ),
            Key(
                id="analytics.by",
                keys="b",
                action="by",
                label="By server",
                help="A line for each model, or for each server",
                weight=8,
            ),
            Key(
                id="analytics.metric",
                keys="m",
                action="metric",
                label="Plot",
                help="The second plot: latency, or tokens",
                weight=7,
            ),
            Key(id="analytics.sort", keys="o", action="sort", label="Sort", help="Sort by any column", weight=6),
            Key(
                id="analytics.reverse",
                keys="O",
                action="reverse",
                label="Reverse",
                help="Sort the other way round",
                weight=0,
            ),
            Key(
                id="analytics.tests",
                keys="t",
                action="tests",
                label="Tests",
                help="Count connection tests as requests, too, or leave them out again",
                weight=4,
            ),
            Key(
                id="analytics.write",
                keys="w",
                action="do('write')",
                label="Write",
                help="Write the figures to a file, as CSV or JSON",
                needs="there are none",
                weight=5,
            ),
        ),
    ),
}
