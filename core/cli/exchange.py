"""`modelyard models import|export`: records out of and into files, and what other programs have on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.cli.diagnostics import Reporter, notice
from core.errors import UsageError
from core.events import Progress
from core.exchange.values import Exported, Format, Imported
from core.registry.import_values import OnConflict, Outcome
from core.registry.values import Capability, ModelQuery, Provider
from core.text import StreamCleaner

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.exchange.values import Preview, Reading
    from core.registry.import_values import Decision

_STDIN = "-"
_SHOWN = 40  # lines of a preview for people
_KINDS = ("all", "models", "heads", "regions")
_FORMATS = click.Choice([*map(str, Format)])


def _folder(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--from-{name}", is_flag=False, flag_value="", default=None, metavar="[FOLDER]", help=text)


@command("import")
@click.argument("file", required=False)
@_folder("ollama", "What Ollama has pulled: its own folder, or this one.")
@_folder("hf-cache", "What Hugging Face's tools have downloaded: their own cache, or this one.")
@click.option("--format", "form", type=_FORMATS, help="Of the file, where its name does not tell.")
@click.option(
    "--on-conflict",
    type=click.Choice([*map(str, OnConflict)]),
    default=str(OnConflict.SKIP),
    help="What happens to records whose name is there already with other values. [skip]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would happen.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def import_records(
    yard: Modelyard,
    *,
    out: Output,
    file: str | None,
    from_ollama: str | None,
    from_hf_cache: str | None,
    form: str | None,
    on_conflict: str,
    dry_run: bool,
    yes: bool,
) -> int:
    """Add the records of a FILE (- is standard input): JSON, YAML, TOML, CSV, or LiteLLM's configuration.

    What would happen is shown first. Records that are wrong are named by line and field, and left out; the exit code
    is 1 then. Keys are never read: only their names. The whole import is one batch for `models undo`.
    """
    reading = await _reading(yard, file, from_ollama, from_hf_cache, Format(form) if form else None)
    preview = await yard.exchange.preview(reading, OnConflict(on_conflict))
    if not out.json:
        _show(out, preview)
    done = None
    if preview.writes and not dry_run:
        await ask.must_confirm(_question(preview), yes=yes, json=out.json)
        done = await _apply(out, yard, preview)
    if out.json:
        out.document(_document(preview, done))
    elif done is not None:
        out.line(f"Imported: {_counted(done.counts)}. modelyard models undo {done.batch} takes it back.")
    return 1 if preview.counts[Outcome.INVALID] else 0


async def _reading(
    yard: Modelyard, file: str | None, ollama: str | None, cache: str | None, form: Format | None
) -> Reading:
    if sum(one is not None for one in (file, ollama, cache)) != 1:
        raise UsageError("Say what to import.", remedy="Give one FILE, --from-ollama or --from-hf-cache.")
    if ollama is not None:
        return await yard.exchange.read_ollama(_place(ollama))
    if cache is not None:
        return await yard.exchange.read_hf_cache(_place(cache))
    assert file is not None
    if file != _STDIN:
        return await yard.exchange.read_file(file, form=form)
    if form is None:
        raise UsageError("The format of standard input is not told.", remedy="Say --format json, yaml, toml or csv.")
    return await yard.exchange.read_text(await ask.read_bytes(), form)


def _place(folder: str) -> Path | None:
    return Path(folder).expanduser() if folder else None


async def _apply(out: Output, yard: Modelyard, preview: Preview) -> Imported:
    done = Imported(source=preview.source, batch="")
    reporter = Reporter(silent=out.json)
    try:
        async with aclosing(yard.exchange.apply(preview)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Progress):
                    reporter.step(f"{event.text}: {event.done:,} of {event.total:,} {event.unit}")
                elif isinstance(event, Imported):
                    done = event
    finally:
        reporter.end()
    return done


def _question(preview: Preview) -> str:
    counts = preview.counts
    return f"Import {_counted({one.value: counts[one] for one in (Outcome.ADD, Outcome.CHANGE)})}?"


def _counted(counts: Any) -> str:  # noqa: ANN401 - counts by outcome
    words = {"add": "added", "change": "changed", "conflict": "left alone", "invalid": "invalid"}
    return ", ".join(f"{count:,} {words.get(name, name)}" for name, count in counts.items() if count) or "nothing"


def _show(out: Output, preview: Preview) -> None:
    rows = [one for one in preview.decisions if one.outcome is not Outcome.UNCHANGED]
    rows.sort(key=lambda one: one.outcome is not Outcome.INVALID)
    if rows:
        out.table(("WHAT", "KIND", "NAME", "HOW", "WHERE"), map(_row, rows[:_SHOWN]))
    if len(rows) > _SHOWN:
        out.line(f"… and {len(rows) - _SHOWN:,} more; --json shows all.")
    for note in preview.notes:
        out.line(f"Note: {note}.")
    counts = {one.value: count for one, count in preview.counts.items()}
    planned = {"add": "to add", "change": "to change", "conflict": "in conflict, left alone"}
    told = [f"{count:,} {planned.get(name, name)}" for name, count in counts.items() if count]
    out.line(f"{preview.source}: {', '.join(told) or 'no records'}.")


def _row(one: Decision) -> tuple[object, ...]:
    return one.outcome.value, one.incoming.kind, one.incoming.name, one.how, one.incoming.place


def _document(preview: Preview, done: Imported | None) -> dict[str, Any]:
    counts = done.counts if done else {one.value: count for one, count in preview.counts.items()}
    return {
        "source": preview.source,
        "on_conflict": preview.rule.value,
        "applied": done is not None,
        "batch": done.batch if done else None,
        "counts": dict(counts),
        "notes": list(preview.notes),
        "records": [one.as_dict() for one in preview.decisions],
    }


@command("export")
@click.option("--format", "form", type=_FORMATS, help="By default as the file's name tells, else JSON.")
@click.option("--output", "-o", default="-", metavar="FILE", help="A file, or - for standard output. [-]")
@click.option("--kind", type=click.Choice(_KINDS), default="all", help="Which records; CSV takes one kind. [all]")
@click.option("--search", default="", help="Only models whose name, id or tags hold these words.")
@click.option("--provider", type=click.Choice([*map(str, Provider)]), help="Only models of this provider.")
@click.option("--region", metavar="CODE", help="Only models of this region.")
@click.option("--capability", type=click.Choice([*map(str, Capability)]), multiple=True, help="Only models that can.")
@click.option("--archived", is_flag=True, help="Only archived models.")
@click.option("--yes", "-y", is_flag=True, help="Write over a file that is there.")
async def export(
    yard: Modelyard,
    *,
    out: Output,
    form: str | None,
    output: str,
    kind: str,
    search: str,
    provider: str | None,
    region: str | None,
    capability: tuple[str, ...],
    archived: bool,
    yes: bool,
) -> None:
    """Write your models, heads and regions as JSON, YAML, TOML or CSV, which `models import` reads without loss.

    Archived models are among them unless models are chosen. Values that look like secrets are left out.
    """
    query = ModelQuery(
        text=search,
        provider=Provider(provider) if provider else None,
        region=region,
        capabilities=frozenset(map(Capability, capability)),
        archived=archived,
    )
    chosen = query if query != ModelQuery() else None
    known = Format(form) if form else Format.of(output) or Format.JSON
    kinds = _kinds(kind, known, chosen)
    if output == "-":
        await _to_stdout(yard, out, known, chosen, kinds)
        return
    if os.access(output, os.F_OK):
        await ask.must_confirm(f"Write over {output}?", yes=yes, json=out.json)
    done = await yard.exchange.export_file(output, known, query=chosen, kinds=kinds)
    _say_exported(out, output, known, done)


def _kinds(kind: str, form: Format, chosen: ModelQuery | None) -> tuple[str, ...]:
    if form is Format.CSV and kind == "all":
        kind = "models"
    if kind != "all":
        return (kind,)
    return ("models",) if chosen else ("regions", "heads", "models")


async def _to_stdout(
    yard: Modelyard, out: Output, form: Format, query: ModelQuery | None, kinds: tuple[str, ...]
) -> None:
    """Exact in a pipe; on a terminal harmless."""
    if out.json and form is not Format.JSON:
        raise UsageError("--json prints JSON on standard output.", remedy="Say --output FILE, or leave --json out.")
    cleaner = StreamCleaner() if sys.stdout.isatty() else None
    done = await yard.exchange.export(
        form, lambda text: out.piece(cleaner.feed(text) if cleaner else text), query=query, kinds=kinds
    )
    out.piece(cleaner.finish() if cleaner else "")
    for name in done.left_out:
        notice(f"Left out, since it looks like a secret: {name}")


def _say_exported(out: Output, output: str, form: Format, done: Exported) -> None:
    if out.json:
        words = {"output": output, "format": form.value, "counts": dict(done.counts)}
        out.document({**words, "left_out": list(done.left_out)})
        return
    counted = ", ".join(f"{count:,} {kind}" for kind, count in done.counts.items())
    out.line(f"Wrote {counted} to {output}.")
    for name in done.left_out:
        out.line(f"Left out, since it looks like a secret: {name}")
