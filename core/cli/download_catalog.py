"""`modelyard download catalog`: the weights that can be fetched by an id (D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.app import Modelyard
    from core.catalog.weights import Weights
    from core.cli.output import Output
    from core.files.installed import InstalledModel


@command("catalog")
@click.option("--search", default="", help="Words that id, name, family, type, source or licence must hold.")
@click.option("--family", default="", help="Only this family: flux, sdxl, qwen, llama, …")
@click.option("--type", "kind", default="", help="Only this type: text, vision, embedding, image, adapter, …")
@click.option("--installed/--not-installed", "is_installed", default=None, help="Only what is here already, or is not.")
async def catalog(
    yard: Modelyard, *, out: Output, search: str, family: str, kind: str, is_installed: bool | None
) -> None:
    """List what can be fetched by its id: modelyard download start flux1-dev.

    The built-in catalog with the site's laid over it; a site adds weights to its catalog file, hides or replaces
    them. Sizes are rounded and may be unknown; download look asks the source.
    """
    from core.catalog.weights import choose, installed_as

    found = await yard.catalog.load()
    offers = tuple(await yard.catalog.weights())
    installed = await yard.files.installed()
    chosen = [(one, installed_as(one, installed)) for one in choose(offers, search=search, family=family, kind=kind)]
    shown = [pair for pair in chosen if is_installed is None or is_installed == (pair[1] is not None)]
    if out.json:
        problems = [problem.as_dict() for problem in found.problems]
        out.document({"weights": [_fields(*pair) for pair in shown], "problems": problems})
        return
    out.table(("ID", "NAME", "FAMILY", "TYPE", "SIZE", "ACCESS", "INSTALLED"), (_line(*pair) for pair in shown))
    out.line(f"Showing {len(shown):,} of {len(offers):,}{_families(offers) if not shown else ''}")
    _tell(problem.text for problem in found.problems)


def _fields(offer: Weights, model: InstalledModel | None) -> dict[str, object]:
    return {**offer.as_dict(), "installed": model.path if model else ""}


def _line(offer: Weights, model: InstalledModel | None) -> tuple[object, ...]:
    from core.cli.output import size

    access = "token" if offer.gated else "free"
    return (offer.id, offer.name, offer.family, offer.type, size(offer.size), access, model.path if model else "")


def _families(offers: Iterable[Weights]) -> str:
    """What there is to choose from, where nothing was found."""
    families = ", ".join(sorted({one.family for one in offers}))
    types = ", ".join(sorted({one.type for one in offers}))
    return f". Families: {families}. Types: {types}." if families else ""


def _tell(problems: Iterable[str]) -> None:
    from core.cli.diagnostics import notice

    for text in problems:
        notice(text)
