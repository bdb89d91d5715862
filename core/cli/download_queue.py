"""`modelyard download priority` and `remove`: the order of the queue, and what leaves the list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.files.model_files import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.jobs import Job


@command("priority")
@click.argument("job")
@click.argument("number", type=int)
async def priority(yard: Modelyard, *, out: Output, job: str, number: int) -> None:
    """Take JOB before or after others: those with a higher NUMBER are taken first; 0 is usual, -1 is later."""
    from core.cli.downloads import show_job

    moved = await yard.downloads.prioritise(job, number)
    show_job(out, moved, said=f"{moved.title} has priority {moved.priority}; higher ones are taken first.")


priority.ignore_unknown_options = True  # -1 is a number here


@command("remove")
@click.argument("job", default="")
@click.option("--over", "every", is_flag=True, help="All that are done, failed or cancelled.")
async def remove(yard: Modelyard, *, out: Output, job: str, every: bool) -> None:
    """Forget a download that is over, or all of them; files stay, unfinished ones too."""
    from core.cli.downloads import job_fields, show_job
    from core.errors import UsageError
    from core.registry.jobs import OVER

    if bool(job) == every:
        raise UsageError("Name one JOB, or say --over for all that are over.")
    if job:
        forgotten = await yard.downloads.remove(job)
        show_job(out, forgotten, said=f"{forgotten.title} is forgotten; {_stays([forgotten])}.")
        return
    gone = [await yard.downloads.remove(one.id) for one in await yard.downloads.all() if one.state in OVER]
    if out.json:
        out.document({"removed": [job_fields(one) for one in gone]})
    else:
        out.line(f"{len(gone)} {'job is' if len(gone) == 1 else 'jobs are'} forgotten; {_stays(gone)}.")


def _stays(forgotten: Sequence[Job]) -> str:
    """What is not whole takes room until it is tidied up."""
    hosts = sorted({job.host for job in forgotten if job.state != "done" and job.kind != "verify"})
    ways = ", ".join(f"modelyard files tidy{option(host)}" for host in hosts)
    return f"files stay, unfinished ones until {ways}" if ways else "files stay"
