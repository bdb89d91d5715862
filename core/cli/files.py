"""`modelyard files …`: what model files are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.inspect import ModelInfo


@command("inspect")
@click.argument("path")
@click.option("--host", "host_name", default=LOCAL_HOST, help="Where it lies; by default this machine.")
async def inspect(yard: Modelyard, *, out: Output, path: str, host_name: str) -> None:
    """Tell what a model file or folder is, from its headers: format, architecture, sizes, damage.

    PATH may be an installed model as well, or what another tool calls it. Pickles are scanned, and never loaded.
    """
    from core.files.inspect import inspect_model

    host = await yard.registry.get_host(host_name)
    where = await _place(yard, path, host.name, host.models_dir)
    info = await inspect_model(yard.hosts.connection(host), where, here=host.name == LOCAL_HOST, scan=True)
    if out.json:
        out.document({"host": host.name, **asdict(info)})
    else:
        out.record(_shown(info))


async def _place(yard: Modelyard, ref: str, host_name: str, models_dir: str) -> str:
    """A path, or where the model of this name lies."""
    from core.cli.installed import known_models
    from core.cli.model_options import absolute
    from core.files.service import find

    path = absolute(ref, host_name)
    if ref.startswith(("/", ".", "~")):
        return path
    folder = Path(models_dir or "/")
    known = find(await known_models(yard, host_name), ref, folder)
    return str(folder / known.path) if known else path


def _shown(info: ModelInfo) -> dict[str, object]:
    """In the words of people; what is not told is left out."""
    from core.cli.output import size

    shown = {name: value for name, value in asdict(info).items() if name != "extra"}
    total = sum(amount for _, amount in info.files)
    return {
        **shown,
        "weights_bytes": size(info.weights_bytes),
        "parameters": f"{info.parameters:,}" if info.parameters else "",
        "split": _parts(info),
        "sliding_layers": info.sliding_layers or "",
        "has_tokenizer": "yes" if info.has_tokenizer else "no",
        "has_chat_template": "yes" if info.has_chat_template else "no",
        **info.extra,
        "files": f"{len(info.files)}, {size(total)}" if info.files else "",
        "problems": " ".join(info.problems),
        "warnings": " ".join(info.warnings),
    }


def _parts(info: ModelInfo) -> str:
    if not info.split:
        return ""
    there, expected = info.split
    return f"all {expected} parts are there" if there == expected else f"only {there} of {expected} parts are there"
