"""`modelyard models …`: the registry's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.catalog.copying import with_copy
from core.cli.command import command
from core.cli.model_options import field_values, model_options
from core.cli.views import model_fields

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Model, Server


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
    """Change the fields that are given; the others stay.

    Of a global model only --key: a key of your own in place of its provider's; --key "" takes it off again.
    """
    known = await yard.registry.get_model(model)
    changed = await yard.registry.edit_model(known.id, field_values(options, host=known.host))
    _show(out, changed, await _server_of(yard, changed), said=f"Changed {changed.name}.")


async def _server_of(yard: Modelyard, model: Model) -> Server | None:
    servers = await yard.registry.servers(model_id=model.id)
    return min(servers, key=lambda server: server.status != "running", default=None)


def _show(out: Output, model: Model, server: Server | None, *, said: str = "") -> None:
    """JSON gets the record after every command, people a sentence where it is enough."""
    fields = model_fields(model, server)
    if out.json:
        out.document(fields)
    elif said:
        out.line(said)
    else:
        out.record(fields)
