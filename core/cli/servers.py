"""`modelyard servers …`: what is served, as the hosts show it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.views import server_fields, shown_status
from core.errors import NotAllowed
from core.registry.values import EngineName, ServerStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.cli.output import Output
    from core.engines.metrics import Sample
    from core.registry.records import Host, Server


@command("list")
@click.option("--cached", is_flag=True, help="Don't ask the hosts; show what was seen last.")
@click.option("--host", help="Only on this host.")
async def list_servers(yard: Modelyard, *, out: Output, cached: bool, host: str | None) -> None:
    """List the servers, after asking their hosts."""
    wanted = await yard.registry.get_host(host) if host else None
    if not cached:
        await yard.deploys.reconcile(wanted.name if wanted else None)
    servers = await yard.registry.servers(host_id=wanted.id if wanted else None)
    hosts = await _hosts(yard)
    if out.json:
        out.document({"servers": [server_fields(server, hosts) for server in servers]})
        return
    headers = ("ID", "MODEL", "ENGINE", "HOST", "STATUS", "PORT", "UPTIME", "URL", "CAUSE")
    out.table(headers, [_line(server, hosts) for server in servers])


def _line(server: Server, hosts: dict[str, Host]) -> tuple[object, ...]:
    from core.cli.output import duration

    active = server.status != ServerStatus.STOPPED
    return (
        server.id,
        server.model_name,
        server.server_type,
        server.host_name,
        shown_status(server, hosts),
        server.port if active else None,
        duration(server.uptime_seconds),
        server.url if active else None,
        server.cause or server.phase,
    )


@command("show")
@click.argument("server", metavar="MODEL|SERVER")
@click.option("--cached", is_flag=True, help="Don't ask the host; show what was seen last.")
async def show(yard: Modelyard, *, out: Output, server: str, cached: bool) -> None:
    """Show everything about a server, given by its id, container or model."""
    known = await yard.registry.get_server(server)
    if not cached:
        await yard.deploys.reconcile(known.host_name)
        known = await yard.registry.get_server(known.id)
    fields = server_fields(known, await _hosts(yard))
    if out.json:
        out.document(fields)
    else:
        out.record(fields)


@command("logs")
@click.argument("server", metavar="MODEL|SERVER")
@click.option("--follow", "-f", is_flag=True, help="Go on with the lines to come, until the server ends.")
@click.option("--tail", "-n", type=click.IntRange(min=0), default=200, show_default=True, help="Lines from the end.")
@click.option("--grep", metavar="TEXT", default="", help="Only lines that hold this text, in any case.")
async def logs(yard: Modelyard, *, out: Output, server: str, follow: bool, tail: int, grep: str) -> None:
    """Show a server's log, also that of one that failed or was stopped."""
    needle = grep.casefold()
    async with aclosing(yard.deploys.logs(server, tail=tail, follow=follow)) as lines:  # type: ignore[type-var]
        async for one in lines:
            if needle not in one.line.casefold():
                continue
            if out.json:
                out.event(one.as_dict())
            else:
                out.line(one.line)


@command("metrics")
@click.argument("server", metavar="MODEL|SERVER")
@click.option("--raw", is_flag=True, help="Every figure under the engine's own name.")
async def metrics(yard: Modelyard, *, out: Output, server: str, raw: bool) -> None:
    """Show what a running server counts: requests, tokens, cache use, latencies."""
    from core.engines.metrics import parse, read_metrics

    known = await yard.registry.get_server(server)
    text = await yard.deploys.metrics(known.id)
    if raw:
        _show_samples(out, known, list(parse(text)))
        return
    figures = asdict(read_metrics(EngineName(known.server_type), text))
    if out.json:
        out.document({"server_id": known.id, "model_name": known.model_name, "metrics": figures})
    else:
        out.record(figures)


def _show_samples(out: Output, server: Server, samples: Sequence[Sample]) -> None:
    if out.json:
        counted = [{"name": one.name, "labels": dict(one.labels), "value": one.value} for one in samples]
        out.document({"server_id": server.id, "model_name": server.model_name, "samples": counted})
        return
    labels = [", ".join(f"{name}={value}" for name, value in one.labels.items()) for one in samples]
    rows = [(one.name, one.value, shown) for one, shown in zip(samples, labels, strict=True)]
    out.table(("NAME", "VALUE", "LABELS"), rows)


@command("remove")
@click.argument("server", metavar="MODEL|SERVER")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def remove(yard: Modelyard, *, out: Output, server: str, yes: bool) -> None:
    """Remove a stopped or failed server's container and record; model files stay."""
    known = await yard.registry.get_server(server)
    question = f"Remove the server of {known.model_name} on {known.host_name} ({known.status})?"
    await ask.must_confirm(question, yes=yes, json=out.json)
    removed = await yard.deploys.remove_server(known.id)
    if out.json:
        out.document({**server_fields(removed, await _hosts(yard)), "removed": True})
    else:
        out.line(f"Removed the server of {removed.model_name} on {removed.host_name}; model files were not touched.")


@command("tunnel")
@click.argument("server", metavar="MODEL|SERVER")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port here; by default any free one.")
async def tunnel(yard: Modelyard, *, out: Output, server: str, port: int) -> None:
    """Open a port on this machine that reaches a server, until you press Ctrl-C; prints its URL."""
    known = await _active(yard, server)
    host = await yard.registry.get_host(known.host_id)
    async with yard.hosts.connection(host).open_port(known.port or 0, local_port=port) as here:
        url = f"http://127.0.0.1:{here}"
        if out.json:
            out.event({"event": "TunnelOpen", "server_id": known.id, "port": here, "url": url})
        else:
            out.line(url)
        await asyncio.Event().wait()


async def _active(yard: Modelyard, ref: str) -> Server:
    known = await yard.registry.get_server(ref)
    if known.status not in {ServerStatus.RUNNING, ServerStatus.LOADING}:
        raise NotAllowed(
            f"{known.model_name} on {known.host_name} is {known.status}.", remedy=f"modelyard restart {known.id}"
        )
    return known


async def _hosts(yard: Modelyard) -> dict[str, Host]:
    return {host.id: host for host in await yard.registry.hosts()}
