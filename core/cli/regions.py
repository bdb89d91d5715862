"""`modelyard regions …`: where models and heads can be (R1, R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Region


@command("list")
@click.option("--search", default="", metavar="TEXT", help="Only regions with this in code or name.")
@click.option("--mine", is_flag=True, help="Only your own regions.")
async def list_regions(yard: Modelyard, *, out: Output, search: str, mine: bool) -> None:
    """List the regions: your own, then blocs and countries by their standard codes."""
    word = search.casefold()
    regions = [one for one in await yard.registry.regions() if word in f"{one.id} {one.name}".casefold()]
    models, _ = await yard.registry.count_uses()
    rows = [{**region_fields(one), "models": models.get(one.id, 0)} for one in regions if not (mine and one.builtin)]
    if out.json:
        out.document({"regions": rows})
        return
    out.table(("CODE", "NAME", "MODELS", "OWNER"), [_line(row) for row in rows])


def region_fields(region: Region) -> dict[str, Any]:
    """A region as scripts get it."""
    return {"code": region.id, "name": region.name, "builtin": region.builtin}


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    return (row["code"], row["name"], row["models"] or None, "built in" if row["builtin"] else "mine")


@command("add")
@click.argument("code")
@click.argument("name")
async def add(yard: Modelyard, *, out: Output, code: str, name: str) -> None:
    """Add a region of your own, such as `us-east-1 "Virginia"`."""
    region = await yard.registry.add_region({"id": code.lower(), "name": name})
    out.changed(region_fields(region), f"Added the region {region.id}.")


@command("edit")
@click.argument("code")
@click.option("--name", required=True, help="What people call it.")
async def edit(yard: Modelyard, *, out: Output, code: str, name: str) -> None:
    """Give one of your regions another name; its code stays."""
    region = await yard.registry.edit_region(code.lower(), {"name": name})
    out.changed(region_fields(region), f"Changed the region {region.id}.")


@command("remove")
@click.argument("code")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def remove(yard: Modelyard, *, out: Output, code: str, yes: bool) -> None:
    """Remove one of your regions; refused while models or heads are in it."""
    region = await yard.registry.get_region(code)
    await ask.must_confirm(f"Remove the region {region.id} ({region.name})?", yes=yes, json=out.json)
    await yard.registry.remove_region(region.id)
    out.changed({**region_fields(region), "removed": True}, f"Removed the region {region.id}.")
