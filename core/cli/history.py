"""`modelyard models history|undo`: who changed what, and taking it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.history import Batch
    from core.registry.records import Change

_SHOWN = 3  # changed fields on a line
_LONGEST = 32  # characters of a value on a line
_KIND = click.Choice(["model", "head", "region"])


@command("history")
@click.argument("model", required=False)
@click.option("--lines", is_flag=True, help="A line for each record, with what changed in it; so it is of a MODEL.")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="At most so many. [50]")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many of the newest.")
async def history(yard: Modelyard, *, out: Output, model: str | None, lines: bool, limit: int, offset: int) -> None:
    """Show who changed which models, heads and regions, the newest first; of a MODEL, head or region only its own.

    Changes of one action share a batch, which `models undo BATCH` takes back.
    """
    if lines or model is not None:
        await _show_lines(yard, out, await yard.registry.history(model, limit=limit, offset=offset))
    else:
        _show_actions(out, await yard.registry.batches(limit=limit, offset=offset))


async def _show_lines(yard: Modelyard, out: Output, lines: list[Change]) -> None:
    gone = await yard.registry.taken_back()
    if out.json:
        out.document({"changes": [{**change_fields(line), "taken_back": line.batch in gone} for line in lines]})
        return
    rows = [(_when(line.at), line.who, _what(line, gone), line.name, changed(line), line.batch) for line in lines]
    out.table(("WHEN", "WHO", "WHAT", "NAME", "CHANGED", "BATCH"), rows)


def _show_actions(out: Output, batches: list[Batch]) -> None:
    if out.json:
        out.document({"actions": [_action_fields(batch) for batch in batches]})
        return
    rows = [(batch.id, _when(batch.at), batch.who, _text(batch)) for batch in batches]
    out.table(("BATCH", "WHEN", "WHO", "WHAT"), rows)
    if not batches:
        out.line("Nothing was changed yet.")


def _text(batch: Batch) -> str:
    return f"{batch.text}{' (taken back)' if batch.taken_back else ''}"


def _action_fields(batch: Batch) -> dict[str, Any]:
    names = ("who", "mine", "text", "count", "actions", "undoes", "taken_back", "note")
    return {"batch": batch.id, "at": batch.at.isoformat(), **{name: getattr(batch, name) for name in names}}


@command("undo")
@click.argument("batch", required=False)
@click.option("--redo", is_flag=True, help="Do again what was taken back last.")
@click.option("--kind", "kinds", type=_KIND, multiple=True, help="The newest change of such records; repeatable.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def undo(yard: Modelyard, *, out: Output, batch: str | None, redo: bool, kinds: Sequence[str], yes: bool) -> None:
    """Take back your newest change of records, or that of a BATCH which `models history` names.

    What changed since is never overwritten: then nothing is taken back. Deleted records return with their ids.
    """
    found = await yard.registry.undoable(batch, redo=redo, kinds=kinds)
    await ask.must_confirm(f"Take back: {found.text}?", yes=yes, json=out.json)
    done = await yard.registry.undo(found.id)
    lost = "".join(f"\nNot brought back, since no log holds secrets: {name}." for name in done.lost)
    if out.json:
        changes = [change_fields(line) for line in done.changes]
        words = {"batch": found.id, "text": found.text, "redone": done.redone, "not_restored": list(done.lost)}
        out.document({**words, "changes": changes})
    else:
        out.block(f"Took back: {found.text}.{lost}")


def change_fields(line: Change) -> dict[str, Any]:
    """A line of the log for scripts; secrets are masked in it."""
    names = ("id", "batch", "kind", "record_id", "name", "action", "before", "after", "undoes", "note", "who")
    return {"at": line.at.isoformat(), **{name: getattr(line, name) for name in names}}


def changed(line: Change) -> str:
    """The first changed fields: `context_length 4096 → 8192, tags`."""
    before, after = line.before or {}, line.after or {}
    if line.action not in ("edited",):
        return line.note
    shown = [f"{_field(name)} {_short(before.get(name))} → {_short(value)}" for name, value in after.items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _field(name: str) -> str:
    return "metadata" if name == "extra" else name


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or '""'


def _when(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _what(line: Change, gone: set[str]) -> str:
    undone = " (taken back)" if line.batch in gone else ""
    return f"{line.action} {line.kind}{undone}"
