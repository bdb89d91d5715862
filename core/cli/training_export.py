"""`modelyard files export`: a config of a training tool whose base model is an installed one (D10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.installed import InstalledModel

_STDOUT = "-"


@command("export")
@click.argument("model")
@click.option("--for", "tool", type=click.Choice(["ai-toolkit"]), default="ai-toolkit", help="Which training tool.")
@click.option("--out", "target", default=_STDOUT, metavar="FILE", help="Where it is written; by default it is printed.")
@click.option("--name", default="", help="What the training is called; by default after the model.")
@click.option("--dataset", default="", metavar="FOLDER", help="The folder of pictures and captions to train on.")
@click.option("--family", default="", help="What the model is, where its names don't tell: flux, sdxl, zimage, …")
@click.option("--verify", "hashed", is_flag=True, help="Read all files and compare their hashes first.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
async def export(
    yard: Modelyard,
    *,
    out: Output,
    model: str,
    tool: str,
    target: str,
    name: str,
    dataset: str,
    family: str,
    hashed: bool,
    force: bool,
) -> None:
    """Write a config for training on an installed MODEL: its files are the base model, and they must be whole.

    It is a LoRA training as AI Toolkit's examples have it; what is to be learned, and for how long, is yours to
    change. A file that is there is never written over unasked.
    """
    import asyncio
    from pathlib import Path

    from core.cli.diagnostics import notice
    from core.cli.model_options import absolute
    from core.training.export import prepared, write

    del tool
    found = await yard.files.get(model)
    if hashed:
        await _verified(yard, found)
    folder = absolute(dataset, LOCAL_HOST) if dataset else ""
    made = await prepared(yard.files, yard.catalog, found, family=family, name=name, dataset=folder)
    path = absolute(target, LOCAL_HOST)
    if target != _STDOUT:
        await asyncio.to_thread(write, made, Path(path), force=force)
    if out.json:
        out.document({**made.as_dict(), "file": "" if target == _STDOUT else path})
    else:
        out.block(made.text if target == _STDOUT else f"Wrote {path}: {made.family}, base {made.base}.")
        for note in made.notes:
            notice(note)


async def _verified(yard: Modelyard, model: InstalledModel) -> None:
    """Read everything.

    Raises:
        FileProblem: a file is not what was installed.
    """
    from core.errors import FileProblem
    from core.events import Progress
    from core.files.service import is_bad

    async for event in yard.files.verify([model]):
        if not isinstance(event, Progress) and is_bad(event.condition):
            raise FileProblem(
                f"{event.path} is {event.condition}.", cause=event.cause, remedy=f"modelyard files verify {model.path}"
            )
