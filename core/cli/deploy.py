"""`modelyard plan`, `deploy`, `stop`, `restart`, `update`: the life of servers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.deploy_options import chosen, deploy_options
from core.cli.diagnostics import Reporter, findings, notice
from core.cli.views import server_fields
from core.errors import ModelyardError, NotFound
from core.events import Event, Progress, ServerChanged
from core.findings import Severity
from core.registry.values import DeployOptions, EngineName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.app import Modelyard
    from core.cli.output import Output
    from core.deploy.values import Plan
    from core.registry.records import Deployment, Model, Server

_REFUSED = 3


@command("plan")
@click.argument("model")
@click.option("--host", help="By default every host is looked at.")
@deploy_options
async def plan(yard: Modelyard, *, out: Output, model: str, host: str | None, **options: object) -> int:
    """Dry run: show what a deploy would do and whether it fits; ends with 3 where it would be refused."""
    wanted = chosen(options)
    if host is None:
        return await _plan_everywhere(yard, out, model, wanted)
    made = await yard.deploys.plan(model, host, wanted)
    if out.json:
        out.document(made.as_dict())
    else:
        _show_plan(out, made)
    return _REFUSED if made.of(Severity.ERROR) else 0


async def _plan_everywhere(yard: Modelyard, out: Output, model: str, wanted: DeployOptions) -> int:
    known = await yard.registry.get_model(model)
    hosts = await yard.registry.hosts()
    plans = await asyncio.gather(*(_try_plan(yard, known.id, host.name, wanted) for host in hosts))
    fitting = [one for one in plans if not isinstance(one, ModelyardError) and not one.of(Severity.ERROR)]
    named = list(zip((host.name for host in hosts), plans, strict=True))
    if out.json:
        out.document({"model": known.name, "hosts": [_plan_document(name, one) for name, one in named]})
    else:
        out.table(("HOST", "FITS", "ENGINE", "CONTEXT", "MEMORY", "GPUS", "WHY"), [_fit(*pair) for pair in named])
    return 0 if fitting else _REFUSED


async def _try_plan(yard: Modelyard, model: str, host: str, wanted: DeployOptions) -> Plan | ModelyardError:
    try:
        return await yard.deploys.plan(model, host, wanted)
    except ModelyardError as error:
        return error


def _plan_document(host: str, made: Plan | ModelyardError) -> dict[str, object]:
    if isinstance(made, ModelyardError):
        return {"host": host, "fits": False, "plan": None, "problem": made.as_dict()}
    return {"host": host, "fits": not made.of(Severity.ERROR), "plan": made.as_dict(), "problem": None}


def _fit(host: str, made: Plan | ModelyardError) -> tuple[object, ...]:
    from core.cli.output import size

    if isinstance(made, ModelyardError):
        return (host, False, None, None, None, None, made.message)
    needs = size(made.memory.total) if made.memory else None
    worst = [*made.of(Severity.ERROR), *made.of(Severity.WARNING)]
    used = sum(gpu.chosen for gpu in made.gpus)
    fits = not made.of(Severity.ERROR)
    return (host, fits, made.engine, made.max_model_len, needs, used, worst[0].reason if worst else "")


def _show_plan(out: Output, made: Plan) -> None:
    from shlex import join

    from core.cli.output import size

    memory = made.memory
    out.record(
        {
            "model": made.model_name,
            "served as": made.served_name,
            "host": made.host,
            "engine": f"{made.engine} ({made.runtime})",
            "image": made.image,
            "files": made.model_path,
            "address": made.url,
            "context": f"{made.max_model_len:,} tokens",
            "memory": f"{size(memory.total)} ({size(memory.low)} to {size(memory.high)})" if memory else "",
            "of that": f"weights {size(memory.weights)}, context {size(memory.kv_cache)}" if memory else "",
            "command": join(made.command),
        }
    )
    if made.gpus:
        rows = [(gpu.chosen, gpu.name, size(gpu.free), size(gpu.needed), gpu.fits, gpu.uuid) for gpu in made.gpus]
        out.table(("USED", "GPU", "FREE", "NEEDED", "FITS", "UUID"), rows)
    out.table(("STATE", "CHECK", "WHAT WAS SEEN"), [(one.severity, one.check, one.reason) for one in made.findings])
    for one in made.findings:
        if one.remedy:
            out.line(f"{one.check}: {one.remedy}")


@command("deploy")
@click.argument("model")
@click.option("--host", help="By default the host where the model's files are.")
@click.option("--yes", "-y", is_flag=True, help="Deploy in spite of warnings.")
@click.option("--wait/--no-wait", default=True, help="Until it answers, or only until it is started. [--wait]")
@deploy_options
async def deploy(
    yard: Modelyard, *, out: Output, model: str, host: str | None, yes: bool, wait: bool, **options: object
) -> None:
    """Deploy a model: dry run, then start, then follow until it answers; prints the server's URL."""
    known = await yard.registry.get_model(model)
    await deploy_known(yard, out, known, host or known.host, options, yes=yes, wait=wait)


async def deploy_known(
    yard: Modelyard, out: Output, known: Model, host: str, options: dict[str, object], *, yes: bool, wait: bool
) -> None:
    """Plan, ask, deploy and follow; prints the server's URL."""
    made = await yard.deploys.plan(known.id, host, chosen(options))
    confirmed = await _consent(out, made, yes=yes)
    await render(out, yard.deploys.deploy(made, confirmed=confirmed, wait=wait))
    server = (await yard.registry.servers(model_id=known.id, host_id=(await yard.registry.get_host(made.host)).id))[0]
    await _show_server(yard, out, server)


@command("update")
@click.argument("model")
@click.option("--host", help="Where it is deployed, if in several places.")
@click.option("--yes", "-y", is_flag=True, help="Deploy in spite of warnings.")
@deploy_options
async def update(yard: Modelyard, *, out: Output, model: str, host: str | None, yes: bool, **options: object) -> None:
    """Deploy again with the given options changed and the others as they were; stops the server before."""
    wish, place = await _deployment(yard, model, host)
    before = DeployOptions.from_dict({**wish.options, "engine": EngineName(wish.engine)})
    wanted = chosen(options, before)
    made = await yard.deploys.plan(wish.model_id, place, wanted, replace=True)
    confirmed = await _consent(out, made, yes=yes)
    await render(out, yard.deploys.update(wish.model_id, place, wanted, confirmed=confirmed))
    server = (await yard.registry.servers(model_id=wish.model_id, host_id=wish.host_id))[0]
    await _show_server(yard, out, server)


async def _deployment(yard: Modelyard, model: str, host: str | None) -> tuple[Deployment, str]:
    """The one deployment that is meant, and its host's name."""
    known = await yard.registry.get_model(model)
    host_id = (await yard.registry.get_host(host)).id if host else None
    wishes = [one for one in await yard.registry.deployments(host_id=host_id) if one.model_id == known.id]
    if len(wishes) == 1:
        return wishes[0], (await yard.registry.get_host(wishes[0].host_id)).name
    if wishes:
        raise NotFound(f"{known.name} is deployed to several hosts.", remedy="Say which one with --host.")
    raise NotFound(f"{known.name} is not deployed.", remedy=f"modelyard deploy {known.name} --host …")


@command("stop")
@click.argument("server", metavar="MODEL|SERVER")
async def stop(yard: Modelyard, *, out: Output, server: str) -> None:
    """Stop a server: SIGTERM, a time-out, then SIGKILL; its GPU memory is free afterwards."""
    known = await yard.registry.get_server(server)
    reporter = Reporter(silent=out.json)
    await render(out, yard.deploys.stop(known.id), reporter=reporter)
    stopped = await yard.registry.get_server(known.id)
    if out.json:
        await _show_server(yard, out, stopped)
    reporter.note(f"{stopped.model_name}: {stopped.status}")


@command("restart")
@click.argument("server", metavar="MODEL|SERVER")
async def restart(yard: Modelyard, *, out: Output, server: str) -> None:
    """Stop a server if it runs, and start it again; prints its URL."""
    known = await yard.registry.get_server(server)
    await render(out, yard.deploys.restart(known.id))
    await _show_server(yard, out, await yard.registry.get_server(known.id))


async def _consent(out: Output, made: Plan, *, yes: bool) -> bool:
    """Show the dry run's findings; whether its warnings are accepted."""
    if out.json:
        out.event({"event": "Planned", "plan": made.as_dict()})
    else:
        findings(list(made.findings))
    if yes or made.of(Severity.ERROR) or not made.of(Severity.WARNING):
        return yes
    return await ask.confirm("Deploy all the same?", json=out.json)


async def render(
    out: Output, events: AsyncIterator[Event], *, quiet: bool = False, reporter: Reporter | None = None
) -> None:
    """One operation's events: NDJSON for scripts unless `quiet`, progress on standard error for people."""
    reporter = reporter or Reporter(silent=out.json)
    try:
        async with aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                if out.json and not quiet:
                    out.event(event.as_dict())
                elif text := _news(event):
                    reporter.step(text)
    finally:
        reporter.end()


def _news(event: Event) -> str:
    from core.cli.output import size

    if isinstance(event, ServerChanged):
        return f"{event.model_name}: {event.after}"
    if not isinstance(event, Progress):
        return ""
    if event.total and event.unit == "bytes":
        return f"{event.text}: {size(event.done)} of {size(event.total)}"
    return f"{event.text}: {event.done:,} of {event.total:,} {event.unit}".rstrip() if event.total else event.text


async def _show_server(yard: Modelyard, out: Output, server: Server) -> None:
    if out.json:
        hosts = {host.id: host for host in await yard.registry.hosts()}
        out.event({"event": "Done", "server": server_fields(server, hosts)})
        return
    out.line(server.url)
    if server.host_name != "local" and server.bind == "127.0.0.1":
        notice(f"Only {server.host_name} itself reaches this: modelyard servers tunnel {server.id} brings it here.")
