"""`modelyard files …`: the models folder, what is installed there, whether it is whole, and its removal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.installed import InstalledModel


def installed_fields(model: InstalledModel) -> dict[str, Any]:
    """An installed model as commands show it."""
    return {**asdict(model), "size": model.size}


@command("list")
@click.option("--search", default="", help="Words that path, title or source must hold.")
async def list_installed(yard: Modelyard, *, out: Output, search: str) -> None:
    """List what is installed, and model files that are there without being told of."""
    from core.cli.output import size

    words = search.casefold().split()
    models = [one for one in await yard.files.installed() if _holds(one, words)]
    unknown = [str(path) for path in await yard.files.unknown()]
    if out.json:
        out.document({"models": [installed_fields(one) for one in models], "unknown": unknown})
        return
    out.table(
        ("PATH", "FILES", "SIZE", "SOURCE"), [(one.path, len(one.files), size(one.size), one.source) for one in models]
    )
    for path in unknown:
        out.line(f"Not told of: {path} (modelyard files adopt takes it up)")


def _holds(model: InstalledModel, words: list[str]) -> bool:
    text = f"{model.path} {model.title} {model.source}".casefold()
    return all(word in text for word in words)


@command("verify")
@click.argument("models", nargs=-1, metavar="[MODEL]…")
async def verify(yard: Modelyard, *, out: Output, models: tuple[str, ...]) -> int:
    """Read installed files and compare their hashes: all, or those of some models; exit code 1 when one is bad."""
    from core.cli.diagnostics import Reporter
    from core.cli.output import size
    from core.events import Progress
    from core.files.service import is_bad

    chosen = [await yard.files.get(ref) for ref in models] if models else await yard.files.installed()
    reporter, bad = Reporter(silent=out.json), 0
    async for event in yard.files.verify(chosen):
        if isinstance(event, Progress):
            reporter.step(f"{event.text}: {size(event.done)} of {size(event.total)}")
            continue
        bad += is_bad(event.condition)
        if out.json:
            out.event(event.as_dict())
        elif is_bad(event.condition):
            reporter.end()
            out.line(f"{event.condition}: {event.path} {event.cause}".rstrip())
    reporter.end()
    if not out.json:
        told = f"{bad} files are not what was installed." if bad else "All files are what was installed."
        out.line(f"{sum(len(model.files) for model in chosen)} files checked. {told}")
    return 1 if bad else 0


@command("usage")
async def usage(yard: Modelyard, *, out: Output) -> None:
    """Show what models take on the disk: by model, by family, in total, and what is free."""
    from core.cli.output import size

    told = await yard.files.usage()
    if out.json:
        out.document(asdict(told))
        return
    out.table(("MODEL", "SIZE"), [(path, size(amount)) for path, amount in told.models.items()])
    out.table(("FAMILY", "SIZE"), [(path, size(amount)) for path, amount in told.families.items()])
    out.line(f"{told.folder}: {size(told.total)} taken, {size(told.free)} free")


@command("adopt")
async def adopt(yard: Modelyard, *, out: Output) -> None:
    """Note size and hash of model files that were carried into the folder; no file is changed."""
    from core.cli.diagnostics import Reporter
    from core.files.installed import InstalledModel

    reporter, taken = Reporter(silent=out.json), []
    async for event in yard.files.adopt():
        if isinstance(event, InstalledModel):
            taken.append(event)
        else:
            reporter.step(event.text)
    reporter.end()
    if out.json:
        out.document({"adopted": [installed_fields(one) for one in taken]})
        return
    for one in taken:
        out.line(f"Took up {one.path}.")
    out.line(f"{len(taken)} files taken up.")


@command("delete")
@click.argument("model")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def delete(yard: Modelyard, *, out: Output, model: str, yes: bool) -> None:
    """Delete the files of an installed model from the disk; records of the registry stay.

    Refused while a server uses them. Files in the same folder that were not installed with it stay.
    """
    from core.cli.output import size

    found = await yard.files.get(model)
    question = f"Delete {len(found.files)} files ({size(found.size)}) of {found.path} from the disk, for good?"
    await ask.must_confirm(question, yes=yes, json=out.json)
    await yard.files.delete(found.path)
    if out.json:
        out.document({**installed_fields(found), "deleted": True})
    else:
        out.line(f"Deleted {found.path}: {size(found.size)} are free again.")


@command("base-dir")
@click.argument("folder", default="")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Of which host; by default this machine.")
async def base_dir(yard: Modelyard, *, out: Output, folder: str, host_name: str) -> None:
    """Show the models folder of a host, or set it to FOLDER; nothing is moved."""
    from core.errors import InvalidInput
    from core.settings import choose_models_dir

    host = await yard.registry.get_host(host_name)
    if folder and not folder.startswith("/"):
        raise InvalidInput({"folder": "an absolute path is needed"})
    if folder and host.name == LOCAL_HOST:
        choose_models_dir(yard.settings.config_dir, folder)
    if folder:
        host = await yard.registry.edit_host(host.name, {"models_dir": folder})
    told = {"host": host.name, "models_dir": host.models_dir}
    if out.json:
        out.document(told)
    else:
        out.line(host.models_dir)
