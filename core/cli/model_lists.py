"""`modelyard models list`: searched, filtered, sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.cli.views import model_fields
from core.registry.values import DEPLOYABLE, Capability, ModelQuery, ModelSort, Ownership, Provider, ServerStatus

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Model
    from core.registry.values import ModelRow

_PAGE = 1000
_ALL = "all"


def _choice(values: type[Provider | Ownership | ServerStatus]) -> click.Choice[str]:
    return click.Choice([*dict.fromkeys([_ALL, *map(str, values)])])


@command("list")
@click.option("--search", default="", help="Words that name, model id, served name or a tag must hold, every one.")
@click.option("--provider", type=_choice(Provider), default=_ALL, help="Only models of this provider.")
@click.option("--ownership", type=_choice(Ownership), default=_ALL, help="Only global models, or only yours.")
@click.option("--region", metavar="CODE", help='Only models of this region; "" for those of none.')
@click.option("--state", type=_choice(ServerStatus), default=_ALL, help="By server; stopped includes never deployed.")
@click.option(
    "--capability", type=click.Choice([*map(str, Capability)]), multiple=True, help="Only models that can; repeatable."
)
@click.option("--archived", is_flag=True, help="The archived models instead of the others.")
@click.option("--sort", type=click.Choice([*map(str, ModelSort)]), default="name", help="By this, then by name.")
@click.option("--desc", is_flag=True, help="The last first.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many first.")
async def list_models(yard: Modelyard, *, out: Output, limit: int | None, offset: int, **options: object) -> None:
    """List and search models."""
    rows, shown, total = await _rows(yard, _query(**options), offset, limit)  # type: ignore[arg-type]
    if out.json:
        models = [model_fields(row.model, row.server) for row in rows]
        out.document({"models": models, "offset": offset, "shown": shown, "total": total})
        return
    headers = ("NAME", "PROVIDER", "MODEL ID", "CONTEXT", "OWNER", "REGION", "STATUS", "PORT")
    out.table(headers, map(_line, rows))
    out.line(f"Showing {len(rows):,} of {total:,} models")


def _query(
    *,
    search: str,
    provider: str,
    ownership: str,
    region: str | None,
    state: str,
    capability: tuple[str, ...],
    archived: bool,
    sort: str,
    desc: bool,
) -> ModelQuery:
    return ModelQuery(
        text=search,
        provider=None if provider == _ALL else Provider(provider),
        ownership=Ownership(ownership),
        region=region,
        state=None if state == _ALL else ServerStatus(state),
        capabilities=frozenset(map(Capability, capability)),
        archived=archived,
        sort=ModelSort(sort),
        descending=desc,
    )


async def _rows(yard: Modelyard, query: ModelQuery, offset: int, limit: int | None) -> tuple[list[ModelRow], int, int]:
    counts = await yard.registry.count_models(query)
    rows: list[ModelRow] = []
    while True:
        wanted = _PAGE if limit is None else min(_PAGE, limit - len(rows))
        start = offset + len(rows)
        page = await yard.registry.model_rows(query, start, wanted, shown=counts.shown) if wanted else []
        rows += page
        if len(page) < wanted or len(rows) == limit:
            return rows, counts.shown, counts.total


def _line(row: ModelRow) -> tuple[object, ...]:
    model, server = row.model, row.server
    status = server.status if server else _without_server(model)
    owner = "global" if model.is_global else "mine"
    port = server.port if server and server.status != "stopped" else None
    return (model.name, model.provider, model.model_id, model.context_length, owner, model.region, status, port)


def _without_server(model: Model) -> str:
    """What can't be deployed isn't stopped either."""
    if model.is_global:
        return ""
    return "stopped" if model.provider in DEPLOYABLE else "hosted"
