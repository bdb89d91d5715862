"""`modelyard download …`: files fetched by a worker that outlives the terminal."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from core.cli import ask
from core.cli.command import command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.app import Modelyard
    from core.cli.output import Output
    from core.downloads.sources.base import Listing
    from core.registry.jobs import Job

_FIELDS = (
    *("id", "title", "state", "wanted", "host", "folder", "bytes_done", "bytes_total", "rate", "priority", "attempts"),
    *("error", "cause", "remedy", "files", "created_at", "started_at", "finished_at"),
)


def job_fields(job: Job) -> dict[str, Any]:
    """A job as commands show it."""
    return {**{name: getattr(job, name) for name in _FIELDS}, "eta_s": job.eta_s, "source": _source(job)}


def _source(job: Job) -> str:
    return str(job.spec.get("listing", {}).get("source", ""))


@command("start")
@click.argument("source")
@click.option("--include", "patterns", multiple=True, metavar="PATTERN", help="Only files that match; may be repeated.")
@click.option("--folder", default="", help="Where in the models folder; by default what the source suggests.")
@click.option("--priority", type=int, default=0, help="Higher ones are fetched first.")
@click.option(
    "--how",
    type=click.Choice(["copy", "link", "move"]),
    default="copy",
    help="For files of this machine: what happens.",
)
@click.option("--token-stdin", is_flag=True, help="Read a token from standard input; it is held in memory only.")
@click.option("--wait/--no-wait", default=True, help="Follow it to the end; it goes on without this terminal anyway.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask before fetching what has a licence to accept.")
async def start(
    yard: Modelyard,
    *,
    out: Output,
    source: str,
    patterns: tuple[str, ...],
    folder: str,
    priority: int,
    how: str,
    token_stdin: bool,
    wait: bool,
    yes: bool,
) -> int | None:
    """Download SOURCE into the models folder: an address (https://…), or a file or folder of this machine."""
    from core.downloads.placing import How

    token = sys.stdin.readline().strip() if token_stdin else ""
    listing = await yard.downloads.look(source, patterns=patterns, token=token)
    if listing.gated:
        await ask.must_confirm(f"{listing.title} has a licence to accept on its page. Go on?", yes=yes, json=out.json)
    job = await yard.downloads.start(listing, folder=folder, priority=priority, how=How(how), token=token)
    if not wait:
        _show(out, job, said=f"{_offer(listing)}: queued as {job.id}. modelyard download list shows how it goes.")
        return None
    return await _follow(yard, out, job)


async def _follow(yard: Modelyard, out: Output, job: Job) -> int | None:
    from core.cli.diagnostics import Reporter

    reporter = Reporter(silent=out.json)
    try:
        async with aclosing(yard.downloads.follow(job.id)) as changes:  # type: ignore[type-var]
            async for changed in changes:
                job = changed
                reporter.step(_progress(job))
    finally:
        reporter.end()
    if job.state == "done":
        _show(out, job, said=f"{job.title} is in {job.folder}.")
        return None
    raise _failure(job)


def _failure(job: Job) -> Exception:
    from core.errors import DownloadFailed

    if job.state == "failed":
        return DownloadFailed(job.error, cause=job.cause, remedy=f"{job.remedy} modelyard download retry {job.id}")
    return DownloadFailed(f"{job.title} was {job.state}.", remedy=f"modelyard download resume {job.id}")


def _progress(job: Job) -> str:
    from core.cli.output import size

    total = f" of {size(job.bytes_total)}" if job.bytes_total else ""
    left = f", {job.eta_s:.0f} s left" if job.eta_s is not None else ""
    speed = f", {size(round(job.rate))}/s{left}" if job.rate else ""
    trouble = f", waits: {job.cause}" if job.state == "queued" and job.error else ""
    return f"{job.title}: {job.state}, {size(job.bytes_done)}{total}{speed}{trouble}"


def _offer(listing: Listing) -> str:
    from core.cli.output import size

    amount = size(listing.size) if listing.size is not None else "size not told"
    return f"{listing.title} ({len(listing.files)} files, {amount})"


@command("list")
@click.option("--state", help="Only those in this state.")
async def list_downloads(yard: Modelyard, *, out: Output, state: str | None) -> None:
    """List downloads, those that are over too."""
    await yard.downloads.wake()
    jobs = [job for job in await yard.downloads.all() if state in {None, job.state}]
    if out.json:
        out.document({"downloads": [job_fields(job) for job in jobs]})
        return
    out.table(("ID", "TITLE", "STATE", "DONE", "TOTAL", "SPEED", "PROBLEM"), map(_line, jobs))


def _line(job: Job) -> tuple[object, ...]:
    from core.cli.output import size

    speed = f"{size(round(job.rate))}/s" if job.rate else None
    return (job.id, job.title, job.state, size(job.bytes_done), size(job.bytes_total), speed, job.error)


@command("show")
@click.argument("job")
async def show(yard: Modelyard, *, out: Output, job: str) -> None:
    """Show everything about a download."""
    _show(out, await yard.registry.get_job(job))


def _steering(name: str, text: str, said: str, call: Callable[[Modelyard, str], Awaitable[Job]]) -> click.Command:
    @command(name)
    @click.argument("job")
    async def steer(yard: Modelyard, *, out: Output, job: str) -> None:
        asked = await call(yard, job)
        _show(out, asked, said=said.format(title=asked.title))

    steer.help = text
    return steer


pause = _steering(
    "pause",
    "Stop a download for now; what has come is kept.",
    "{title} is paused.",
    lambda yard, job: yard.downloads.pause(job),
)
resume = _steering(
    "resume", "Go on with a paused download.", "{title} goes on.", lambda yard, job: yard.downloads.resume(job)
)
retry = _steering(
    "retry",
    "Try a failed or cancelled download again, from where it was.",
    "{title} is tried again.",
    lambda yard, job: yard.downloads.resume(job),
)
cancel = _steering(
    "cancel",
    "Stop a download; what has come is kept, and a retry goes on from there.",
    "{title} is cancelled.",
    lambda yard, job: yard.downloads.cancel(job),
)
remove = _steering(
    "remove",
    "Forget a download that is over; files stay.",
    "{title} is forgotten; files stay.",
    lambda yard, job: yard.downloads.remove(job),
)


def _show(out: Output, job: Job, *, said: str = "") -> None:
    if out.json:
        out.document(job_fields(job))
    elif said:
        out.line(said)
    else:
        out.record(job_fields(job))
