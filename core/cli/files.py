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
    info = await inspect_model(yard.hosts.connection(host), absolute(path, host.name))
    if out.json:
        out.document({"host": host.name, **asdict(info)})
    else:
        out.record(_shown(info))


def _shown(info: ModelInfo) -> dict[str, object]:
    from core.cli.output import size

    shown = asdict(info)
    return {
        **shown,
        "weights_bytes": size(info.weights_bytes),
        "parameters": f"{info.parameters:,}" if info.parameters else "",
        "split": f"{info.split[0]} of {info.split[1]} parts" if info.split else "",
        "files": f"{len(info.files)}, {size(sum(amount for _, amount in info.files))}" if info.files else "",
        "problems": " ".join(info.problems),
    }
