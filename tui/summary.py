"""What goes on over all hosts, in a few words for the first line of every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from core.registry.values import ServerStatus
from tui.show import STATUS_MARKS, UNREACHABLE, Mark, plural, toned

if TYPE_CHECKING:
    from core.app import Modelyard

_SHOWN = (ServerStatus.FAILED, ServerStatus.RUNNING, ServerStatus.LOADING, ServerStatus.STARTING)


async def summarise(yard: Modelyard) -> Content:
    """Servers by state, and hosts that can't be reached; the marks are those of the lists."""
    states = [server.status for server in await yard.registry.servers()]
    lost = sum(1 for host in await yard.registry.hosts() if host.unreachable_since is not None)
    parts = [_part(STATUS_MARKS[status], states.count(status)) for status in _SHOWN if status in states]
    if lost:
        parts.append(toned(f"{UNREACHABLE.symbol} {plural(lost, 'host')} unreachable", UNREACHABLE.tone))
    return Content("  ").join(parts)


def _part(mark: Mark, count: int) -> Content:
    return toned(f"{mark.symbol} {count} {mark.word}", mark.tone)
