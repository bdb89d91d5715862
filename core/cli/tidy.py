"""`modelyard files tidy`: what unfinished downloads and copies left on the disk, and its removal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.leftovers import Leftover


@command("tidy")
@click.option("--host", "host_name", default=LOCAL_HOST, metavar="HOST", help="On which host; by default here.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def tidy(yard: Modelyard, *, out: Output, host_name: str, yes: bool) -> None:
    """Delete what unfinished downloads and copies left, after a question; installed models stay.

    What a job of the list can go on from is kept, failed and cancelled ones too: modelyard download remove forgets
    a job. Also kept is what somebody writes now, on a host whatever changed in the last ten minutes, and what is not
    known for Modelyard's own.
    """
    from core.cli.output import size

    found = await yard.leftovers.look(host_name)
    free = [one for one in found if not one.kept]
    if not out.json:
        _show(out, found)
    if not free:
        _told(out, host_name, [], found)
        return
    amount, several = size(sum(one.size for one in free)), "" if len(free) == 1 else "s"
    question = f"Delete {len(free):,} leftover{several} ({amount}), for good?"
    await ask.must_confirm(question, yes=yes, json=out.json)
    gone = await yard.leftovers.tidy([one.path for one in free], host_name)
    paths = {one.path for one in gone}
    _told(out, host_name, gone, [one for one in found if one.path not in paths])


def _show(out: Output, found: Sequence[Leftover]) -> None:
    from core.cli.output import duration, size

    if found:
        rows = [(one.path, size(one.size), duration(one.age_s), one.kept) for one in found]
        out.table(("UNFINISHED", "SIZE", "UNCHANGED FOR", "KEPT, BECAUSE"), rows)


def _told(out: Output, host: str, gone: Sequence[Leftover], kept: Sequence[Leftover]) -> None:
    from core.cli.output import size

    if out.json:
        out.document({"host": host, "deleted": [asdict(one) for one in gone], "kept": [asdict(one) for one in kept]})
    elif gone:
        disk = "the disk" if host == LOCAL_HOST else f"the disk of {host}"
        out.line(f"Deleted {len(gone):,}: {size(sum(one.size for one in gone))} are free again on {disk}.")
    else:
        out.line("All of it is kept; nothing was deleted." if kept else "Nothing unfinished is there.")
