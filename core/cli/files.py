"""`modelyard files …`: what model files are."""

from __future__ import annotations

from dataclasses import asdict
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
    """Tell what a model file or folder is, from its headers: format, architecture, sizes, damage."""
    from core.cli.model_options import absolute
    from core.files.inspect import inspect_model

    host = await yard.registry.get_host(host_name)
    where = absolute(path, host.name)
    info = await inspect_model(yard.hosts.connection(host), where, here=host.name == LOCAL_HOST)
    if out.json:
        out.document({"host": host.name, **asdict(info)})
    else:
        out.record(_shown(info))


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
