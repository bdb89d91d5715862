"""`modelyard hosts …`: the machines that can serve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command
from core.cli.views import host_fields
from core.errors import HostKeyUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.cli.output import Output
    from core.findings import Finding
    from core.hosts.values import Gpu, HostOverview
    from core.registry.records import Host


@command("list")
@click.option("--cached", is_flag=True, help="Don't ask the hosts; show what was seen last.")
async def list_hosts(yard: Modelyard, *, out: Output, cached: bool) -> None:
    """List the hosts and ask each how it is."""
    hosts = await yard.registry.hosts()
    seen = [None] * len(hosts) if cached else await _overviews(yard, hosts)
    rows = [host_fields(host, overview) for host, overview in zip(hosts, seen, strict=True)]
    if out.json:
        out.document({"hosts": rows})
        return
    headers = ("NAME", "TARGET", "REACHABLE", "ENGINE", "GPUS", "DISK FREE", "MODELS FOLDER", "PROBLEM")
    out.table(headers, map(_line, rows))


async def _overviews(yard: Modelyard, hosts: Sequence[Host]) -> list[HostOverview]:
    return await asyncio.gather(*(yard.hosts.overview(host.name) for host in hosts))


def _line(fields: dict[str, Any]) -> tuple[object, ...]:
    from core.cli.output import size

    disk = fields.get("disk")
    return (
        fields["name"],
        fields["target"],
        fields["reachable"],
        fields.get("engine"),
        len(fields.get("gpus", ())) or None,
        size(disk["free"]) if disk else None,
        fields["models_dir"],
        fields["problem"],
    )


@command("add")
@click.argument("name")
@click.argument("target", default="")
@click.option("--models-dir", default="", help="The folder there that holds models.")
@click.option("--ssh-config", default="", metavar="FILE", help="Another SSH configuration than yours (ssh -F).")
@click.option("--accept-host-key", metavar="FINGERPRINT", help="Trust the host if its key has this fingerprint.")
async def add(
    yard: Modelyard,
    *,
    out: Output,
    name: str,
    target: str,
    models_dir: str,
    ssh_config: str,
    accept_host_key: str | None,
) -> None:
    """Add a host; TARGET is USER@HOST or an alias of your SSH configuration, by default NAME itself.

    It is connected to at once. The key of a host that you never met is shown, and trusted only with your consent.
    """
    place = {"target": target or name, "models_dir": models_dir, "ssh_config": ssh_config}
    host = await _met(yard, name, place, accept_host_key, json=out.json)
    if out.json:
        out.document(host_fields(host, None))
    else:
        out.line(f"Added {host.name}. modelyard hosts check {host.name} looks whether it has all it needs.")


async def _met(yard: Modelyard, name: str, place: dict[str, str], accepted: str | None, *, json: bool) -> Host:
    """Add it; each host on the way whose key is not known is asked about once."""
    asked: str | None = None
    while True:
        try:
            return await yard.hosts.add(name, **place, accept_host_key=accepted)
        except HostKeyUnknown as unknown:
            fingerprint = await _trusted(unknown, json=json) if unknown.host != asked else None
            if fingerprint is None:
                raise _with_command(unknown, name, place) from unknown
            accepted, asked = fingerprint, unknown.host


async def _trusted(unknown: HostKeyUnknown, *, json: bool) -> str | None:
    """The fingerprint that the person at the terminal vouches for."""
    from core.cli.diagnostics import notice

    if json or not ask.can_ask() or not unknown.fingerprints:
        return None
    notice(unknown.message)
    for fingerprint in unknown.fingerprints:
        notice(f"  {fingerprint}")
    return unknown.fingerprints[0] if await ask.confirm("Is this your host's key?") else None


def _with_command(unknown: HostKeyUnknown, name: str, place: dict[str, str]) -> HostKeyUnknown:
    """The same error with the exact command that accepts the key."""
    from shlex import quote

    key = unknown.fingerprints[0].split(" ")[0] if unknown.fingerprints else "FINGERPRINT"
    words = ["modelyard", "hosts", "add", name]
    words += [place["target"]] if place["target"] != name else []
    for option, value in (("--models-dir", place["models_dir"]), ("--ssh-config", place["ssh_config"])):
        words += [option, value] if value else []
    line = " ".join(map(quote, [*words, "--accept-host-key", key]))
    shown = f" It shows {', '.join(unknown.fingerprints)}." if unknown.fingerprints else ""
    return HostKeyUnknown(
        unknown.message + shown,
        fingerprints=unknown.fingerprints,
        host=unknown.host,
        remedy=f"Compare it with the host's own, then: {line}",
    )


@command("edit")
@click.argument("name")
@click.option("--rename", "new_name", metavar="NAME", help="Another name.")
@click.option("--target", help="USER@HOST or an alias of your SSH configuration.")
@click.option("--models-dir", help="The folder there that holds models.")
@click.option("--ssh-config", metavar="FILE", help="Another SSH configuration than yours.")
@click.option("--docker-socket", metavar="PATH", help="The container engine's socket there.")
async def edit(yard: Modelyard, *, out: Output, name: str, new_name: str | None, **options: object) -> None:
    """Change the fields that are given; the others stay."""
    changes = {key: value for key, value in {"name": new_name, **options}.items() if value is not None}
    host = await yard.registry.edit_host(name, changes)
    if out.json:
        out.document(host_fields(host, None))
    else:
        out.line(f"Changed {host.name}.")


@command("remove")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def remove(yard: Modelyard, *, out: Output, name: str, yes: bool) -> None:
    """Forget a host; nothing on it is touched."""
    host = await yard.registry.get_host(name)
    await ask.must_confirm(f"Forget the host {host.name}? Nothing on it is touched.", yes=yes, json=out.json)
    await yard.hosts.remove(host.name)
    if out.json:
        out.document({**host_fields(host, None), "removed": True})
    else:
        out.line(f"Forgot {host.name}.")


@command("check")
@click.argument("name")
async def check(yard: Modelyard, *, out: Output, name: str) -> int:
    """Check everything a host needs; ends with 1 if something is wrong."""
    return show_findings(out, {name: await yard.hosts.check(name)})


def show_findings(out: Output, by_host: dict[str, list[Finding]]) -> int:
    """The doctor's findings, and the exit code that they make."""
    from core.findings import Severity, worst

    everything = [finding for found in by_host.values() for finding in found]
    if out.json:
        checks = [{"host": name, **one.as_dict()} for name, found in by_host.items() for one in found]
        out.document({"worst": worst(everything), "findings": checks})
    else:
        rows = [(name, one.severity, one.check, one.reason) for name, found in by_host.items() for one in found]
        out.table(("HOST", "STATE", "CHECK", "WHAT WAS SEEN"), rows)
        for name, found in by_host.items():
            for one in found:
                if one.remedy:
                    out.line(f"{name}, {one.check}: {one.remedy}")
    return 1 if worst(everything) is Severity.ERROR else 0


@command("gpus")
@click.argument("name", required=False)
async def gpus(yard: Modelyard, *, out: Output, name: str | None) -> None:
    """Show the GPUs of a host, or of all, and how much of their memory is free."""
    hosts = [await yard.registry.get_host(name)] if name else await yard.registry.hosts()
    seen = await _overviews(yard, hosts)
    if out.json:
        fields = ("reachable", "problem", "remedy", "gpu_source", "gpus")
        out.document({"hosts": [{"host": one.name, **{f: one.as_dict()[f] for f in fields}} for one in seen]})
        return
    rows = [row for one in seen for row in _gpu_lines(one)]
    out.table(("HOST", "GPU", "NAME", "FREE", "TOTAL", "LOAD", "°C", "UUID"), rows)


def _gpu_lines(overview: HostOverview) -> list[tuple[object, ...]]:
    if overview.gpus:
        return [(overview.name, *_gpu_cells(gpu)) for gpu in overview.gpus]
    why = overview.problem if not overview.reachable else "no GPU seen"
    return [(overview.name, None, why, None, None, None, None, None)]


def _gpu_cells(gpu: Gpu) -> tuple[object, ...]:
    from core.cli.output import size

    load = f"{gpu.utilization} %" if gpu.utilization is not None else None
    free = size(gpu.memory_free) if gpu.memory_free is not None else None
    return (gpu.index, gpu.name, free, size(gpu.memory_total), load, gpu.temperature, gpu.uuid)


@command("folders")
@click.argument("name")
@click.argument("path", required=False)
async def folders(yard: Modelyard, *, out: Output, name: str, path: str | None) -> None:
    """List a host's models folder, or the folder PATH there."""
    from core.cli.output import size

    host = await yard.registry.get_host(name)
    folder = path or host.models_dir
    entries = await yard.hosts.connection(host).listdir(folder)
    if out.json:
        rows = [{"path": one.path, "is_dir": one.is_dir, "size": one.size, "mtime": one.mtime} for one in entries]
        out.document({"host": host.name, "folder": folder, "entries": rows})
        return
    out.table(("PATH", "SIZE"), [(one.path, "folder" if one.is_dir else size(one.size)) for one in entries])
