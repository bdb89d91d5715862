"""`modelyard files …`: the models folder, what is installed there, whether it is whole, and its removal."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.errors import NotFound
from core.files.model_files import option
from core.registry.values import LOCAL_HOST
from core.text import clean_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.installed import InstalledModel


_MOST_NAMED = 10


def installed_fields(model: InstalledModel) -> dict[str, Any]:
    """An installed model as commands show it."""
    return {**asdict(model), "size": model.size, "warning": model.warning}


@command("list")
@click.option("--search", default="", help="Words that path, title or source must hold.")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Of which host; by default this machine.")
@click.option(
    "--no-stores", is_flag=True, help="Leave out what other tools keep: Hugging Face's cache, Ollama's store."
)
async def list_installed(yard: Modelyard, *, out: Output, search: str, host_name: str, no_stores: bool) -> None:
    """List what is installed, what other tools keep, and model files that nothing tells of.

    The models of other tools are used in place: files register adds one to your models.
    """
    words = search.casefold().split()
    files = await yard.files_of(host_name)
    told = await files.installed()
    seen = await files.survey(told)
    models = [one for one in (*told, *seen.stores) if _holds(one, words) and not (no_stores and one.store)]
    unknown = [str(files.folder / found.path) for found in seen.unknown]
    gone = {one.path: seen.gone[one.path] for one in models if one.path in seen.gone}
    if out.json:
        fields = [{**installed_fields(one), "gone": gone.get(one.path, ())} for one in models]
        out.document({"models": fields, "unknown": unknown})
        return
    if models or words:
        _show_models(out, models)
    else:
        out.line(f"Nothing is installed in {files.folder}. modelyard download catalog shows what can be.")
    for path, names in gone.items():
        again = f"files verify --repair{option(host_name)}"
        out.line(f"{path}: {plural(len(names), 'file')} gone from the disk ({again} fetches them again)")
    for what, them in _untold(unknown):
        out.line(f"Not told of: {what} (modelyard files adopt{option(host_name)} takes {them} up)")


def _untold(paths: list[str]) -> Iterator[tuple[str, str]]:
    """Each file, or of a folder with many of them how many; and what they are all called."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, files in folders.items():
        if len(files) > _MOST_NAMED:
            yield f"{len(files)} model files in {folder}", "them"
        else:
            yield from ((path, "it") for path in files)


async def known_models(yard: Modelyard, host_name: str) -> list[InstalledModel]:
    """What a host's models folder tells of, and what other tools keep there; paths of those are whole."""
    files = await yard.files_of(host_name)
    return [*await files.installed(), *await files.stores()]


def _show_models(out: Output, models: list[InstalledModel]) -> None:
    from core.cli.output import size
    from core.files.stores import LABELS

    out.table(
        ("MODEL", "FILES", "SIZE", "SOURCE"),
        [(one.title if one.store else one.path, len(one.files), size(one.size), one.source) for one in models],
    )
    for one in models:
        if one.store:
            out.line(f"In {LABELS[one.store]}: {one.title.partition(',')[0]} at {one.path}")
        for sentence in filter(None, (one.problem, one.warning)):
            out.line(f"{one.title if one.store else one.path}: {sentence}")


def _holds(model: InstalledModel, words: list[str]) -> bool:
    text = f"{model.path} {model.title} {model.source}".casefold()
    return all(word in text for word in words)


@command("adopt")
@click.argument("folder", default="")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Of which host, which reads by itself.")
async def adopt(yard: Modelyard, *, out: Output, folder: str, host_name: str) -> None:
    """Take up model files that were carried into the models folder, all or those below FOLDER; no file is changed.

    A folder that brings its own installed-models.json is taken at its word; other files are read for their hashes.
    """
    from contextlib import aclosing

    from core.cli.diagnostics import Reporter
    from core.cli.output import size
    from core.files.installed import InstalledModel

    reporter, taken, files = Reporter(silent=out.json), [], await yard.files_of(host_name)
    if folder and host_name == LOCAL_HOST and not await asyncio.to_thread(Path(files.folder, folder).exists):
        raise NotFound(f"There is no {folder} in {files.folder}.", remedy="modelyard files list shows what lies there.")
    async with aclosing(files.adopt(folder)) as events:
        async for event in events:
            if isinstance(event, InstalledModel):
                taken.append(event)
            else:
                reporter.step(f"{event.text}: {size(event.done)} of {size(event.total)}")
    reporter.end()
    if out.json:
        out.document({"adopted": [installed_fields(one) for one in taken]})
        return
    for one in taken:
        out.line(f"Took up {one.path} ({plural(len(one.files), 'file')}, {size(one.size)}). {one.warning}".rstrip())
    out.line(f"{plural(len(taken), 'model')} taken up.")


@command("delete")
@click.argument("model")
@click.option("--host", "host_name", default=LOCAL_HOST, help="From which host's disk; by default this machine's.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def delete(yard: Modelyard, *, out: Output, model: str, host_name: str, yes: bool) -> None:
    """Delete the files of an installed model from the disk; records of the registry stay.

    Refused while a server, a download or a copy needs them, for what other tools keep, and, unless MODEL is exactly
    its path, for what was put there by hand. Files in the same folder that were not installed with it stay.
    """
    from core.cli.output import size

    files = await yard.files_of(host_name)
    found = await files.to_delete(model)
    if not out.json:
        for file in found.files[:_MOST_NAMED]:
            out.line(f"  {file['path']}  {size(int(file['size']))}")
        if len(found.files) > _MOST_NAMED:
            out.line(f"  … and {len(found.files) - _MOST_NAMED} more")
        if found.problem:
            out.line(found.problem)
    disk = "the disk" if host_name == LOCAL_HOST else f"the disk of {host_name}"
    path = clean_line(found.path)
    question = f"Delete {plural(len(found.files), 'file')} ({size(found.size)}) of {path} from {disk}, for good?"
    await ask.must_confirm(question, yes=yes, json=out.json)
    await files.delete(found.path)
    if out.json:
        out.document({"host": host_name, **installed_fields(found), "deleted": True})
    else:
        out.line(f"Deleted {path}: {size(found.size)} are free again on {disk}.")


@command("register")
@click.argument("model")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Where it lies; by default this machine.")
@click.option("--name", default="", help="What to call it; by default what its files are called.")
async def register(yard: Modelyard, *, out: Output, model: str, host_name: str, name: str) -> None:
    """Add a record of MODEL (an installed one, one that another tool keeps, or a path), used where it lies.

    Nothing is copied: a deploy loads the files in place.
    """
    from core.cli.model_options import absolute
    from core.cli.views import model_fields
    from core.errors import NotFound
    from core.files.inspect import inspect_model
    from core.files.registering import record_values
    from core.files.service import find

    host = await yard.registry.get_host(host_name)
    known = find(await known_models(yard, host_name), model, Path(host.models_dir or "/"))
    path = str(PurePosixPath(host.models_dir, known.path)) if known else absolute(model, host.name)
    if not path.startswith("/"):
        raise NotFound(f"No model {model!r} is on {host.name}.", remedy=f"modelyard files list --host {host.name}")
    info = await inspect_model(yard.hosts.connection(host), path)
    added = await yard.registry.add_model(record_values(info, host=host.name, name=name, model=known))
    out.changed(model_fields(added, None), f"Added {added.name} ({added.id}); its files stay in {added.path}.")


@command("base-dir")
@click.argument("folder", default="")
@click.option("--set", "chosen", default="", metavar="FOLDER", help="The same as naming it.")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Of which host; by default this machine.")
async def base_dir(yard: Modelyard, *, out: Output, folder: str, chosen: str, host_name: str) -> None:
    """Show the models folder of a host, or set it to FOLDER; nothing is moved."""
    from core.hosts.base_dir import set_base_dir

    host = await yard.registry.get_host(host_name)
    if wanted := folder or chosen:
        await _refuse_host(yard, wanted)
        host = await set_base_dir(yard.registry, yard.settings, host.name, wanted)
    told = {"host": host.name, "models_dir": host.models_dir}
    if out.json:
        out.document(told)
    else:
        out.line(host.models_dir)


async def _refuse_host(yard: Modelyard, folder: str) -> None:
    """Other commands take a host there.

    Raises:
        UsageError: it is one's name.
    """
    from core.errors import UsageError

    if folder in {host.name for host in await yard.registry.hosts()}:
        raise UsageError(f"{folder} is a host, no folder.", remedy=f"modelyard files base-dir --host {folder}")
