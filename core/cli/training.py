"""`modelyard models add-training`: what a training job left becomes a model, and a server in one go (P18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.cli.deploy_options import deploy_options
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.records import Model
    from core.training.values import Output as Left
    from core.training.values import Training


@command("add-training")
@click.argument("folder")
@click.option("--on", "host_name", default=LOCAL_HOST, help="The host that has the folder; by default this machine.")
@click.option("--name", default="", help="What to call the model; by default the folder's name.")
@click.option("--checkpoint", default="", help="Take this one instead of the proposed one.")
@click.option("--base-model", default="", help="The base model, where no file names it.")
@click.option("--look", "only_look", is_flag=True, help="Only say what is there; add nothing.")
@click.option("--deploy", "and_deploy", is_flag=True, help="Deploy it at once; the options of deploy apply.")
@click.option("--host", help="Where to deploy; by default the host that has the folder.")
@click.option("--yes", "-y", is_flag=True, help="Deploy in spite of warnings.")
@click.option("--wait/--no-wait", default=True, help="Until it answers, or only until it is started. [--wait]")
@deploy_options
async def add_training(
    yard: Modelyard,
    *,
    out: Output,
    folder: str,
    host_name: str,
    name: str,
    checkpoint: str,
    base_model: str,
    only_look: bool,
    and_deploy: bool,
    **options: object,
) -> None:
    """Add a training job's output: a folder of checkpoints, a merged model, or an adapter.

    Its base model, progress and best checkpoint are read from the trainer's own small files.
    """
    from core.cli.model_options import absolute
    from core.training.look import look
    from core.training.register import choose, context_of, register, values

    host = await yard.registry.get_host(host_name)
    source = yard.hosts.connection(host)
    found = await look(source, absolute(folder, host.name), host=host.name)
    chosen = choose(found, checkpoint)
    _say(out, found, chosen)
    if only_look:
        if out.json:
            out.document(found.as_dict())
        return
    context = await context_of(source, chosen)
    made = values(found, chosen, base_model=base_model, context_length=context)
    added = await register(yard.registry, found, made, name=name)
    await _finish(yard, out, found, added, and_deploy=and_deploy, options=options)


async def _finish(
    yard: Modelyard, out: Output, found: Training, added: Model, *, and_deploy: bool, options: dict[str, object]
) -> None:
    from core.cli.deploy import deploy_known
    from core.cli.views import model_fields

    document = {**model_fields(added), "training": found.as_dict()}
    if not out.json:
        out.line(f"Added {added.name} ({added.id}), {added.model_id}, from {added.path}.")
    elif not and_deploy:
        out.document(document)
    if and_deploy:
        if out.json:
            out.event({"event": "Added", "model": document})
        host, yes, wait = (options.pop(key) for key in ("host", "yes", "wait"))
        await deploy_known(yard, out, added, str(host or added.host), options, yes=bool(yes), wait=bool(wait))


def _say(out: Output, found: Training, chosen: Left) -> None:
    """For people: what is there, and what stands against it."""
    if out.json:
        return
    from core.cli.diagnostics import findings
    from core.cli.output import size

    base = f"{found.base_model} (from {found.base_source})" if found.base_model else ""
    rows = {"folder": found.path, "host": found.host, "base model": base, "method": found.method}
    out.record({**rows, "job": found.job_id, "training": found.how_far})
    cells = [
        (one is chosen, one.name, one.kind, one.step, one.best, size(one.size), one.problem) for one in found.outputs
    ]
    out.table(("TAKEN", "OUTPUT", "HOLDS", "STEP", "BEST", "SIZE", "PROBLEM"), cells)
    findings(list(found.findings))
