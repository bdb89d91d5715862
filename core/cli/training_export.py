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
    from core.files.model_files import ModelFiles

_STDOUT = "-"


@command("export")
@click.argument("model")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Where the model lies and the training is to run.")
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
    host_name: str,
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
    change. With --host all paths in it are that host's; FILE is written here. A file that is there is never written
    over unasked.
    """
    import asyncio
    from pathlib import Path

    from core.cli.diagnostics import notice
    from core.cli.model_options import absolute
    from core.errors import InvalidInput
    from core.training.export import prepared, write

    del tool
    files = await yard.files_of(host_name)
    found = await files.get(model)
    if hashed:
        await _verified(files, found, out)
    folder = absolute(dataset, host_name) if dataset else ""
    if not folder.startswith("/") and folder:
        raise InvalidInput({"dataset": f"a whole path of {host_name} is needed, such as /data/pictures"})
    made = await prepared(files, yard.catalog, found, family=family, name=name, dataset=folder)
    path = absolute(target, LOCAL_HOST)
    if target != _STDOUT:
        await asyncio.to_thread(write, made, Path(path), force=force)
    if out.json:
        out.document({"host": host_name, **made.as_dict(), "file": "" if target == _STDOUT else path})
    else:
        out.block(made.text if target == _STDOUT else f"Wrote {path}: {made.family}, base {made.base}.")
        for note in made.notes:
            notice(note)


async def _verified(files: ModelFiles, model: InstalledModel, out: Output) -> None:
    """Read everything, where it lies.

    Raises:
        FileProblem: a file is not what was installed.
    """
    from contextlib import aclosing

    from core.cli.diagnostics import Reporter
    from core.cli.output import size
    from core.errors import FileProblem
    from core.events import Progress
    from core.files.model_files import option
    from core.files.service import is_bad

    reporter = Reporter(silent=out.json)
    async with aclosing(files.verify([model])) as events:
        async for event in events:
            if isinstance(event, Progress):
                reporter.step(f"{event.text}: {size(event.done)} of {size(event.total)}")
            elif is_bad(event.condition):
                reporter.end()
                raise FileProblem(
                    f"{event.path} is {event.condition}.",
                    cause=event.cause,
                    remedy=f"modelyard files verify --repair {model.path}{option(files.host)}",
                )
    reporter.end()
