"""`modelyard models delete|archive|restore|tag|region MODEL…`: one model or many, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.cli.views import model_fields
from core.errors import UsageError

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Model, Server

_NAMED = 8
_models = click.argument("models", nargs=-1, required=True, metavar="MODEL…")


@command("delete")
@_models
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def delete(yard: Modelyard, *, out: Output, models: tuple[str, ...], yes: bool) -> None:
    """Delete models' records; their files stay.

    A single model's servers are stopped and removed first. Of several, none may be served: none is deleted then.
    """
    from core.deploy.bulk import delete_models, servers_to_remove

    found = await _found(yard, models)
    if len(found) == 1:
        question = f"Delete the model {found[0].name}, and stop its servers? Its files stay."
        await ask.must_confirm(question, yes=yes, json=out.json)
        await yard.deploys.delete_model(found[0].id)
    else:
        ids = [model.id for model in found]
        await servers_to_remove(yard.registry, ids)
        await ask.must_confirm(f"Delete {_named(found)}? Their files stay.", yes=yes, json=out.json)
        await delete_models(yard.deploys, yard.registry, ids)
    files = "its files were" if len(found) == 1 else "their files were"
    _say(out, [(model, None) for model in found], f"Deleted {_named(found)}; {files} not touched.", deleted=True)


@command("archive")
@_models
async def archive(yard: Modelyard, *, out: Output, models: tuple[str, ...]) -> None:
    """Hide models from the list and keep their records."""
    await _changed(yard, out, await yard.registry.archive_models(models), "Archived {}.")


@command("restore")
@_models
async def restore(yard: Modelyard, *, out: Output, models: tuple[str, ...]) -> None:
    """Bring archived models back to the list."""
    await _changed(yard, out, await yard.registry.archive_models(models, archived=False), "Restored {}.")


@command("tag")
@_models
@click.option("--add", multiple=True, metavar="TAG", help="Add this tag; repeatable.")
@click.option("--remove", multiple=True, metavar="TAG", help="Take this tag off; repeatable.")
async def tag(
    yard: Modelyard, *, out: Output, models: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    """Add tags to models, and take others off."""
    if not add and not remove:
        raise UsageError("No tag is given.", remedy="Add --add TAG or --remove TAG.")
    changed = await yard.registry.change_models(models, add_tags=add, remove_tags=remove)
    await _changed(yard, out, changed, "Tagged {}.")


@command("region")
@_models
@click.option("--to", "region", metavar="CODE", required=True, help='A region\'s code, or "" for none.')
async def region(yard: Modelyard, *, out: Output, models: tuple[str, ...], region: str) -> None:
    """Put models in a region."""
    changed = await yard.registry.change_models(models, {"region": region})
    await _changed(yard, out, changed, f"Region {region or 'none'}: {{}}.")


async def _found(yard: Modelyard, refs: Sequence[str]) -> list[Model]:
    found = [await yard.registry.get_model(ref) for ref in refs]
    return list({model.id: model for model in found}.values())


async def _changed(yard: Modelyard, out: Output, models: Sequence[Model], said: str) -> None:
    best: dict[str, Server] = {}
    for server in await yard.registry.servers():
        if server.model_id not in best or server.status == "running":
            best[server.model_id] = server
    _say(out, [(model, best.get(model.id)) for model in models], said.format(_named(models)))


def _say(out: Output, models: Sequence[tuple[Model, Server | None]], said: str, **more: Any) -> None:  # noqa: ANN401 - JSON
    """JSON gets the record of one model, a list of several; people a sentence."""
    documents = [{**model_fields(model, server), **more} for model, server in models]
    if not out.json:
        out.line(said)
    elif len(documents) == 1:
        out.document(documents[0])
    else:
        out.document({"models": documents})


def _named(models: Sequence[Model]) -> str:
    rest = len(models) - _NAMED
    names = ", ".join(model.name for model in models[:_NAMED])
    return f"{names} and {rest:,} more" if rest > 0 else names
