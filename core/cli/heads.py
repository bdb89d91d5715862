"""`modelyard heads …`: the gateways that are models' first way in (R2, R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.cli.model_options import field_options

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Head

_FIELDS = ("id", "name", "region", "url", "api_key_ref", "description")


@command("list")
@click.option("--region", help="Only the heads of this region.")
async def list_heads(yard: Modelyard, *, out: Output, region: str | None) -> None:
    """List the heads with their regions."""
    _, models = await yard.registry.count_uses()
    heads = [head for head in await yard.registry.heads() if region is None or head.region == region.lower()]
    if out.json:
        out.document({"heads": [{**head_fields(head), "models": models.get(head.name, 0)} for head in heads]})
        return
    rows = [(head.name, head.region, head.url, models.get(head.name), head.api_key_ref) for head in heads]
    out.table(("NAME", "REGION", "URL", "MODELS", "KEY"), rows)


def head_fields(head: Head) -> dict[str, Any]:
    """A head as scripts get it."""
    times = {name: getattr(head, name).isoformat() for name in ("created_at", "updated_at")}
    return {**{name: getattr(head, name) for name in _FIELDS}, **times}


@command("show")
@click.argument("head")
async def show(yard: Modelyard, *, out: Output, head: str) -> None:
    """Show everything about a head, given by its name or id, and which models it serves first."""
    found = await yard.registry.get_head(head)
    uses = await yard.registry.uses(head=found.name, shown=1000)
    fields = {**head_fields(found), "models": list(uses.models), "model_count": uses.model_count}
    if out.json:
        out.document(fields)
    else:
        out.record(fields)


@command("add")
@click.argument("name")
@field_options("head", leave_out=("name",))
async def add(yard: Modelyard, *, out: Output, name: str, **options: object) -> None:
    """Add a gateway that speaks the OpenAI protocol."""
    head = await yard.registry.add_head({"name": name, **_given(options)})
    out.changed(head_fields(head), f"Added the head {head.name}.")


@command("edit")
@click.argument("head")
@field_options("head")
async def edit(yard: Modelyard, *, out: Output, head: str, **options: object) -> None:
    """Change the fields that are given; the others stay, and models follow a new name."""
    changed = await yard.registry.edit_head(head, _given(options))
    out.changed(head_fields(changed), f"Changed the head {changed.name}.")


def _given(options: dict[str, object]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    return {**given, "region": str(given["region"]).lower()} if given.get("region") else given


@command("remove")
@click.argument("head")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def remove(yard: Modelyard, *, out: Output, head: str, yes: bool) -> None:
    """Forget a head; refused while it is the head of models, and nothing of it is stopped."""
    found = await yard.registry.get_head(head)
    await ask.must_confirm(f"Forget the head {found.name} ({found.url})?", yes=yes, json=out.json)
    await yard.registry.remove_head(found.id)
    out.changed({**head_fields(found), "removed": True}, f"Forgot the head {found.name}.")
