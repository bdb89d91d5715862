"""The routes on the Heads screen (L2): which served name is answered where, and who quarrels about one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.screen import Screen

from core.routes.values import Health
from tui.screens.head_views import Snapshot, View
from tui.show import Mark, hanging, line, pairs, toned
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import PagedList

if TYPE_CHECKING:
    from core.routes.values import Route, Target

MARKS = {
    Health.UP: Mark("●", "up", "good"),
    Health.STARTING: Mark("◐", "starting", "busy"),
    Health.UNTESTED: Mark("·", "untested", "dim"),
    Health.UNREACHABLE: Mark("?", "lost", "warn"),
    Health.FAILED: Mark("✗", "failed", "bad"),
    Health.DOWN: Mark("○", "down", "dim"),
}
_FOLLOWS = "Routes follow from servers and from models with an endpoint."


class RouteList(Snapshot):
    """Routes by served name."""

    COLUMNS = (
        Column("SERVED NAME", 14, weight=3, most=40),
        Column("TASK", 8),
        Column("HEALTH", 10),
        Column("REGION", 7, from_width=76),
        Column("HEAD", 8, weight=1, most=16, from_width=76),
        Column("ANSWERED AT", 14, weight=4),
    )

    def row_id(self, row: Route) -> str:
        return row.served_name

    def cells(self, row: Route) -> tuple[Cell, ...]:
        mark = MARKS[row.health]
        name = Cell(f"{row.served_name} !", "warn") if row.conflict else Cell(row.served_name)
        more = f" +{len(row.urls) - 1}" if len(row.urls) > 1 else ""
        return (
            name,
            Cell(row.task),
            Cell(mark.text, mark.tone),
            Cell(row.region or "-"),
            Cell(row.head or "-"),
            Cell(f"{row.urls[0]}{more}" if row.urls else "-", "dim"),
        )


class RoutesView(View):
    """Which served name is answered where."""

    EMPTY = "No routes yet.\n\nA route is there once a model is deployed, or has an endpoint."

    def make_list(self) -> PagedList[Any]:
        return RouteList()

    async def read(self, text: str) -> int:
        from core.routes.service import routes

        found = await routes(self.yard.registry)
        self._owner.query_one(Snapshot).rows = [route for route in found if route.holds(text)]
        return len(found)

    def card(self, row: Route, room: int) -> Content:
        head = f"{row.head}  {row.head_url}".strip()
        facts = pairs(
            [("Task", row.task), ("Region", row.region), ("Head", head), ("Models", ", ".join(row.models))], room
        )
        parts = [line(row.served_name).stylize("bold"), facts]
        if row.conflict:
            advice = toned(f"{row.conflict} Give one of them another served name.", "warn")
            parts.append(hanging(toned("! ", "warn"), advice, room))
        return Content("\n\n").join([*parts, *(_target(target, room) for target in row.targets)])

    def why_not(self, action: str, row: Any) -> str:  # noqa: ANN401 - a row of this view
        return _FOLLOWS if action in {"add", "edit", "remove"} else super().why_not(action, row)

    def form(self, row: Any) -> Screen[str | None]:  # noqa: ANN401 - the same
        raise NotImplementedError(_FOLLOWS)

    async def remove(self, row: Any) -> bool:  # noqa: ANN401 - the same
        return False


def _target(target: Target, room: int) -> Content:
    """One place that answers: its state, where it is, and the name that it knows the model by."""
    mark = MARKS[target.health]
    where = f"server on {target.host}" if target.server_id or target.host else "endpoint"
    rows = pairs(
        [("URL", target.url), ("Model", target.model_name), ("Asks for", target.asks_for), ("Engine", target.engine)],
        room,
    )
    return Content("\n").join([toned(f"{mark.text}  {where}", mark.tone), rows])
