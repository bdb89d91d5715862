"""`modelyard models …`: the registry's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.catalog.copying import with_copy
from core.cli import ask
from core.cli.command import command
from core.cli.model_options import field_values, model_options
from core.cli.views import model_fields
from core.registry.values import ModelQuery, Ownership, Provider

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Model, Server
    from core.registry.values import ModelRow

_PAGE = 1000


@command("list")
@click.option("--search", default="", help="Words that name, model id or served name must hold.")
@click.option(
    "--provider", type=click.Choice(["all", *map(str, Provider)]), default="all", help="Only models of this provider."
)
@click.option(
    "--ownership", type=click.Choice([*map(str, Ownership)]), default="all", help="Only global models, or only yours."
)
@click.option("--archived", is_flag=True, help="The archived models instead of the others.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many first.")
async def list_models(
    yard: Modelyard,
    *,
    out: Output,
    search: str,
    provider: str,
    ownership: str,
    archived: bool,
    limit: int | None,
    offset: int,
) -> None:
    """List and search models."""
    query = ModelQuery(
        text=search,
        provider=None if provider == "all" else Provider(provider),
        ownership=Ownership(ownership),
        archived=archived,
    )
    rows, shown, total = await _rows(yard, query, offset, limit)
    if out.json:
        models = [model_fields(row.model, row.server) for row in rows]
        out.document({"models": models, "offset": offset, "shown": shown, "total": total})
        return
    out.table(("NAME", "PROVIDER", "MODEL ID", "CONTEXT", "OWNER", "STATUS", "PORT"), map(_line, rows))
    out.line(f"Showing {len(rows):,} of {total:,} models")


async def _rows(yard: Modelyard, query: ModelQuery, offset: int, limit: int | None) -> tuple[list[ModelRow], int, int]:
    rows: list[ModelRow] = []
    while True:
        wanted = _PAGE if limit is None else min(_PAGE, limit - len(rows))
        page = await yard.registry.search(query, offset=offset + len(rows), limit=wanted)
        rows += page.rows
        if len(page.rows) < wanted or len(rows) == limit:
            return rows, page.shown, page.total


def _line(row: ModelRow) -> tuple[object, ...]:
    model, server = row.model, row.server
    status = server.status if server else "stopped"
    owner = "global" if model.is_global else "mine"
    port = server.port if server and server.status != "stopped" else None
    return (model.name, model.provider, model.model_id, model.context_length, owner, status, port)


@command("show")
@click.argument("model")
async def show(yard: Modelyard, *, out: Output, model: str) -> None:
    """Show everything about a model, given by its name, id or model id."""
    found = await yard.registry.get_model(model)
    _show(out, found, await _server_of(yard, found))


@command("add")
@click.argument("name")
@click.option("--from", "source", metavar="MODEL", help="Begin with a copy of this model, such as a global one.")
@model_options(leave_out=("name",))
async def add(yard: Modelyard, *, out: Output, name: str, source: str | None, **options: object) -> None:
    """Add a model to your registry.

    For one that is to be deployed, --path says where its file or folder lies, on --host or on this machine.
    """
    copied = await yard.catalog.copied(source) if source else {}
    added = await yard.registry.add_model(with_copy(copied, {"name": name, **field_values(options)}))
    _show(out, added, None, said=f"Added {added.name} ({added.id}).")


@command("edit")
@click.argument("model")
@model_options()
async def edit(yard: Modelyard, *, out: Output, model: str, **options: object) -> None:
    """Change the fields that are given; the others stay."""
    known = await yard.registry.get_model(model)
    changed = await yard.registry.edit_model(known.id, field_values(options, host=known.host))
    _show(out, changed, await _server_of(yard, changed), said=f"Changed {changed.name}.")


@command("delete")
@click.argument("model")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def delete(yard: Modelyard, *, out: Output, model: str, yes: bool) -> None:
    """Delete a model's record, after stopping and removing its servers; its files stay."""
    found = await yard.registry.get_model(model)
    question = f"Delete the model {found.name}, and stop its servers? Its files stay."
    await ask.must_confirm(question, yes=yes, json=out.json)
    await yard.deploys.delete_model(found.id)
    _show(out, found, None, said=f"Deleted {found.name}; its files were not touched.", extra={"deleted": True})


@command("archive")
@click.argument("model")
async def archive(yard: Modelyard, *, out: Output, model: str) -> None:
    """Hide a model from the list and keep its record."""
    changed = await yard.registry.archive_model(model)
    _show(out, changed, await _server_of(yard, changed), said=f"Archived {changed.name}.")


@command("restore")
@click.argument("model")
async def restore(yard: Modelyard, *, out: Output, model: str) -> None:
    """Bring an archived model back to the list."""
    changed = await yard.registry.archive_model(model, archived=False)
    _show(out, changed, await _server_of(yard, changed), said=f"Restored {changed.name}.")


async def _server_of(yard: Modelyard, model: Model) -> Server | None:
    servers = await yard.registry.servers(model_id=model.id)
    return min(servers, key=lambda server: server.status != "running", default=None)


def _show(
    out: Output, model: Model, server: Server | None, *, said: str = "", extra: dict[str, object] | None = None
) -> None:
    """JSON gets the record after every command, people a sentence where it is enough."""
    fields = {**model_fields(model, server), **(extra or {})}
    if out.json:
        out.document(fields)
    elif said:
        out.line(said)
    else:
        out.record(fields)
