"""`modelyard catalog …`: the global models, and the files that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.registry.values import Provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.catalog.values import Catalog, Entry, Problem
    from core.cli.output import Output

_WRONG = 1


@command("list")
@click.option("--search", default="", help="Words that id, name, model id or family must hold.")
@click.option("--provider", type=click.Choice([*map(str, Provider)]), help="Only models of this provider.")
@click.option("--task", help="Only models for this: generate, embed, rerank, classify.")
async def list_catalog(yard: Modelyard, *, out: Output, search: str, provider: str | None, task: str | None) -> None:
    """List the global models: the built-in catalog with the site's laid over it.

    The site's is /etc/modelyard/catalog.yaml (or .toml, .json) and the files in catalog.d there, or the file or
    folder that MODELYARD_CATALOG or catalog in config.toml names; "none" means no global models at all.
    """
    found = await yard.catalog.load()
    entries = [entry for entry in found.entries if _matches(entry, search, provider, task)]
    if out.json:
        out.document({"entries": [entry.as_dict() for entry in entries], **_rest(found)})
        return
    out.table(("NAME", "PROVIDER", "MODEL ID", "CONTEXT", "SIZE", "CAN", "LICENCE", "FROM"), map(_line, entries))
    out.line(f"Showing {len(entries):,} of {len(found.entries):,} models")
    _tell(found.problems)


@command("show")
@click.argument("entry")
async def show(yard: Modelyard, *, out: Output, entry: str) -> None:
    """Show everything the catalog knows of a model, given by its id, name or model id."""
    from core.errors import NotFound

    found = await yard.catalog.find(entry)
    if found is None:
        raise NotFound(f"The catalog has no {entry!r}.", remedy="modelyard catalog list shows what it has.")
    if out.json:
        out.document(found.as_dict())
    else:
        out.record(found.as_dict())


@command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
async def check(yard: Modelyard, *, out: Output, file: Path | None) -> int:
    """Check a catalog file or folder, or the catalog in use; ends with 1 when something in it is wrong."""
    found = await (yard.catalog.check(file) if file else yard.catalog.load())
    if out.json:
        out.document({"entries": len(found.entries), **_rest(found)})
    else:
        for problem in found.problems:
            out.line(problem.text)
        out.line(_verdict(found))
    return _WRONG if found.problems else 0


def _verdict(found: Catalog) -> str:
    faults = f"{len(found.problems)} {'thing is' if len(found.problems) == 1 else 'things are'} wrong"
    state = faults if found.problems else "Nothing is wrong"
    weights = f" and {len(found.weights):,} weights" if found.weights else ""
    return f"{state}; {len(found.entries):,} models{weights} hold."


def _matches(entry: Entry, search: str, provider: str | None, task: str | None) -> bool:
    fields = (entry.id, *(str(entry.values.get(name, "")) for name in ("name", "model_id", "family")))
    text = " ".join(fields).casefold()
    wanted = provider is None or entry.values["provider"] == provider
    does = task is None or entry.values.get("task", "generate") == task
    return wanted and does and all(word in text for word in search.casefold().split())


def _line(entry: Entry) -> tuple[object, ...]:
    values = entry.values
    can = ", ".join(word for word in values.get("capabilities", ()) if word != "streaming")
    licence = f"{values.get('licence', '')}{' (gated)' if values.get('gated') else ''}".strip()
    size = values.get("parameters", "")
    return (
        *(values.get(name) for name in ("name", "provider", "model_id", "context_length")),
        *(size, can, licence, entry.catalog),
    )


def _rest(found: Catalog) -> dict[str, object]:
    return {"problems": [problem.as_dict() for problem in found.problems], "files": list(found.files)}


def _tell(problems: Sequence[Problem]) -> None:
    from core.cli.diagnostics import notice

    for problem in problems:
        notice(problem.text)
