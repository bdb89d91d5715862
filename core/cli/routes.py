"""`modelyard routes`: which served name is answered where (L2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.routes.values import Route


@command("list")
@click.option("--search", default="", help="Words that served name, models, head or region must hold.")
@click.option("--task", help="Only routes for this: generate, embed, rerank, classify.")
@click.option("--up", is_flag=True, help="Only what answers now.")
async def list_routes(yard: Modelyard, *, out: Output, search: str, task: str | None, up: bool) -> None:
    """List served names with the URLs that answer them, task, region, priority head and health."""
    from core.routes.service import routes
    from core.routes.values import Health

    found = await routes(yard.registry)
    shown = [
        route
        for route in found
        if route.holds(search) and task in {None, route.task} and (route.health is Health.UP or not up)
    ]
    if out.json:
        out.document({"routes": [route.as_dict() for route in shown], "total": len(found)})
        return
    out.table(("SERVED NAME", "TASK", "HEALTH", "REGION", "HEAD", "MODELS", "URLS"), map(_line, shown))
    out.line(f"Showing {len(shown):,} of {len(found):,} routes")
    _conflicts(shown)


def _line(route: Route) -> tuple[object, ...]:
    return (route.served_name, route.task, route.health, route.region, route.head, route.models, route.urls)


def _conflicts(shown: list[Route]) -> None:
    from core.cli.diagnostics import notice

    for route in shown:
        if route.conflict:
            notice(f"{route.served_name}: {route.conflict} Give one of them another served name.")
