"""`modelyard files usage`: what models take on the disk of a host, or of all of them (D8)."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.files.model_files import option
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.errors import ModelyardError
    from core.files.model_files import Usage


@command("usage")
@click.option("--host", "host_name", metavar="HOST", help="Of which host; by default this machine.")
@click.option("--all", "every", is_flag=True, help="Of every host, a line each, and in total.")
async def usage(yard: Modelyard, *, out: Output, host_name: str | None, every: bool) -> None:
    """Show what models take on the disk: by model, by family, in total, and what is free.

    With --all, a host that can't be reached is named with the reason, and left out of the total.
    """
    from core.errors import UsageError

    if every and host_name:
        raise UsageError("--all is for all hosts: name none beside it.")
    if every:
        await _all(yard, out)
        return
    told = await (await yard.files_of(host_name or LOCAL_HOST)).usage()
    if out.json:
        out.document(asdict(told))
    else:
        _show(out, told)


def _show(out: Output, told: Usage) -> None:
    from core.cli.output import size
    from core.files.stores import LABELS

    for title, amounts in (("MODEL", told.models), ("FAMILY", told.families)):
        if amounts:
            out.table((title, "SIZE"), [(path, size(amount)) for path, amount in amounts.items()])
    where = "" if told.host == LOCAL_HOST else f"{told.host}:"
    out.line(f"{where}{told.folder}: {size(told.total)} taken, {size(told.free)} free")
    if told.unfinished_count:
        tidy = f"modelyard files tidy{option(told.host)}"
        out.line(f"Of that unfinished downloads: {told.unfinished_count:,}, {size(told.unfinished)} ({tidy})")
    for store, amount in told.stores.items():
        out.line(f"{LABELS[store]}: {size(amount)}")


async def _all(yard: Modelyard, out: Output) -> None:
    from core.cli.output import size
    from core.errors import ModelyardError

    names = [host.name for host in await yard.registry.hosts()]
    told = await asyncio.gather(*(_of(yard, name) for name in names))
    taken = sum(one.total for one in told if not isinstance(one, ModelyardError))
    free = sum(one.free for one in told if not isinstance(one, ModelyardError))
    kept = sum(sum(one.stores.values()) for one in told if not isinstance(one, ModelyardError))
    if out.json:
        hosts = [
            {"host": name, **(one.as_dict() if isinstance(one, ModelyardError) else asdict(one))}
            for name, one in zip(names, told, strict=True)
        ]
        out.document({"hosts": hosts, "total": {"total": taken, "free": free, "stores": kept}})
        return
    rows = [_line(name, one) for name, one in zip(names, told, strict=True)]
    total = ("total", None, size(taken), size(free), size(kept), None, None)
    out.table(("HOST", "MODELS", "TAKEN", "FREE", "OTHER TOOLS", "FOLDER", "PROBLEM"), [*rows, total])


async def _of(yard: Modelyard, host_name: str) -> Usage | ModelyardError:
    """Or why it can't be told."""
    from core.errors import ModelyardError

    try:
        return await (await yard.files_of(host_name)).usage()
    except ModelyardError as error:
        return error


def _line(name: str, told: Usage | ModelyardError) -> tuple[object, ...]:
    from core.cli.output import size
    from core.errors import ModelyardError

    if isinstance(told, ModelyardError):
        return (name, None, None, None, None, None, told.message)
    kept = sum(told.stores.values())
    return (name, len(told.models), size(told.total), size(told.free), size(kept), told.folder, None)
