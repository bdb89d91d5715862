"""`modelyard download …`: jobs of a worker that outlives the terminal: downloads, copies to hosts, checks."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from core.cli.command import command
from core.cli.download_access import accept, keep, looked, read_token, token_again
from core.registry.values import LOCAL_HOST
from core.text import then

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.app import Modelyard
    from core.cli.output import Output
    from core.files.installed import InstalledModel
    from core.registry.jobs import Job

_FIELDS = (
    *("id", "kind", "title", "state", "wanted", "doing", "host", "folder", "bytes_done", "bytes_total", "rate"),
    *("priority", "attempts", "error", "error_code", "cause", "remedy", "files", "result"),
    *("created_at", "started_at", "finished_at"),
)

_STATES = ("queued", "running", "paused", "verifying", "done", "failed", "cancelled")


def job_fields(job: Job) -> dict[str, Any]:
    """A job as commands show it."""
    told = {name: getattr(job, name) for name in _FIELDS}
    times = {name: told[name] and told[name].isoformat() for name in ("created_at", "started_at", "finished_at")}
    return {**told, **times, "eta_s": job.eta_s, "source": _source(job)}


def _source(job: Job) -> str:
    return str(job.spec.get("listing", {}).get("source", ""))


@command("start")
@click.argument("source")
@click.option("--include", "patterns", multiple=True, metavar="PATTERN", help="Only files that match; may be repeated.")
@click.option("--folder", default="", help="Where in the models folder; by default what the source suggests.")
@click.option("--host", default=LOCAL_HOST, metavar="HOST", help="A host that downloads by itself, with its curl.")
@click.option("--priority", type=int, default=0, help="Higher ones are fetched first.")
@click.option(
    "--how",
    type=click.Choice(["copy", "link", "move"]),
    default="copy",
    help="For files of this machine: what happens.",
)
@click.option("--token-stdin", is_flag=True, help="Read a token from standard input; it is held in memory only.")
@click.option("--keep-token", is_flag=True, help="Keep the token in the keyring or vault for the next time.")
@click.option("--wait/--no-wait", default=True, help="Follow it to the end; it goes on without this terminal anyway.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask before fetching what scanners at the source warn of.")
async def start(
    yard: Modelyard,
    *,
    out: Output,
    source: str,
    patterns: tuple[str, ...],
    folder: str,
    host: str,
    priority: int,
    how: str,
    token_stdin: bool,
    keep_token: bool,
    wait: bool,
    yes: bool,
) -> int | None:
    """Download SOURCE into the models folder, or with --host into a host's, by the host itself.

    SOURCE is an id that download catalog shows (flux1-dev), a repository of the Hugging Face Hub (hf:org/name,
    hf:org/name@revision, hf:org/name:Q4_K_M or its page), a model of Ollama's library (ollama:llama3.2:3b or its
    page), a model's page at CivitAI, an address of a file (https://…), or a file or folder of this machine.

    A token is used only where one is needed: --token-stdin, else the key named huggingface or civitai, else it is
    asked for. What download limit allows is shared by all downloads and copies; a host that downloads by itself has a
    line of its own, which its downloads share.
    """
    from core.downloads.placing import How

    listing = await looked(yard, out, source, patterns, read_token(token_stdin))
    await accept(listing, out, yes=yes)
    if keep_token:
        await keep(yard, listing)
    job = await yard.downloads.start(listing, folder=folder, priority=priority, how=How(how), host=host)
    if not wait:
        show_job(out, job, said=f"{listing.title}: queued as {job.id}. modelyard download show -f {job.id} follows it.")
        return None
    job = await followed(yard, out, job)
    if job.state != "done":
        raise failure_of(job)
    await _tell_installed(yard, out, job)
    return None


async def _tell_installed(yard: Modelyard, out: Output, job: Job) -> None:
    """Where it is, what there is to know before it is loaded, and what makes a model of it."""
    from shlex import quote

    from core.files.model_files import option

    model = await _installed(yard, job)
    if out.json:
        return out.document({**job_fields(job), "installed": model.path if model else "", "warning": warning(model)})
    out.line(f"{job.title} is in {job.folder}{'' if job.host == LOCAL_HOST else f' on {job.host}'}.")
    if model and warning(model):
        out.line(f"warning: {warning(model)}")
    if model:
        out.line(f"To make a model of it: modelyard files register {quote(model.path)}{option(job.host)}")
    return None


async def _installed(yard: Modelyard, job: Job) -> InstalledModel | None:
    """What a download that is done added to the models folder's file."""
    files = await yard.files_of(job.host)
    whole = PurePosixPath(job.folder, *(str(file["path"]) for file in job.files if len(job.files) == 1))
    return next((one for one in await files.installed() if PurePosixPath(files.folder, one.path) == whole), None)


def warning(model: InstalledModel | None) -> str:
    """What its pickles would do, and what that means."""
    from core.files.pickles import UNSAFE

    return f"{model.warning} {UNSAFE}" if model and model.warning else ""


async def followed(yard: Modelyard, out: Output, job: Job) -> Job:
    """Show how a job goes, until it is over or paused; Ctrl-C ends the showing alone."""
    from core.cli.diagnostics import Reporter, goes_on, notice

    reporter = Reporter(silent=out.json)
    try:
        async with aclosing(yard.downloads.follow(job.id)) as changes:
            async for changed in changes:
                job = changed
                reporter.step(_progress(job))
    except asyncio.CancelledError:
        reporter.end()
        goes_on(job.id)
        if not out.json:
            notice(f"{job.title} goes on without this terminal. To watch: modelyard download show -f {job.id}")
            notice(f"To stop: modelyard download cancel {job.id}")
        raise
    finally:
        reporter.end()
    return job


def failure_of(job: Job) -> Exception:
    """The error that a job which did not come to its end is told by."""
    from core.errors import DownloadFailed

    if job.state == "failed":
        again = f"modelyard download retry {job.id}"
        remedy = job.remedy if job.id in job.remedy else then(job.remedy, again)
        return DownloadFailed(job.error, cause=job.cause, remedy=remedy)
    return DownloadFailed(f"{job.title} was {job.state}.", remedy=f"modelyard download resume {job.id}")


def _progress(job: Job) -> str:
    from core.cli.output import duration, size

    total = f" of {size(job.bytes_total)}" if job.bytes_total else ""
    left = f", {duration(job.eta_s)} left" if job.eta_s is not None else ""
    speed = f", {size(round(job.rate))}/s{left}" if job.rate else ""
    trouble = f", waits: {job.cause or job.error}" if job.state == "queued" and job.error else ""
    trouble = trouble or (f", {_waits(job)}" if _waits(job) else "")
    return f"{job.title}: {job.state}, {size(job.bytes_done)}{total}{speed}{trouble}"


@command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
async def list_downloads(yard: Modelyard, *, out: Output, state: str | None) -> None:
    """List downloads, copies to hosts and checks, those that are over too."""
    await yard.downloads.wake()
    jobs = [job for job in await yard.downloads.all() if state in {None, job.state}]
    if out.json:
        out.document({"downloads": [job_fields(job) for job in jobs]})
        return
    if not jobs:
        out.line(f"Nothing is {state}." if state else "No downloads yet. modelyard download start SOURCE begins one.")
        return
    out.table(("ID", "KIND", "HOST", "TITLE", "STATE", "DONE", "TOTAL", "SPEED", "LEFT", "PROBLEM"), map(_line, jobs))


def _line(job: Job) -> tuple[object, ...]:
    from core.cli.output import duration, size

    speed = f"{size(round(job.rate))}/s" if job.rate or job.state == "running" else None
    left = duration(job.eta_s) if job.eta_s is not None else None
    done = (size(job.bytes_done), size(job.bytes_total), speed, left)
    return (job.id, job.kind, job.host, job.title, job.state, *done, job.error or _waits(job))


def _waits(job: Job) -> str:
    """What it waits for, of a job at work that can't go on now."""
    return job.doing if "waiting" in job.doing else ""


@command("limit")
@click.argument("rate", default="")
@click.option("--jobs", type=click.IntRange(1, 16), metavar="N", help="Downloads at once.")
@click.option("--parts", type=click.IntRange(1, 16), metavar="N", help="Connections per file, for files that begin.")
async def limit(yard: Modelyard, *, out: Output, rate: str, jobs: int | None, parts: int | None) -> None:
    """Show the limit on bandwidth, or set it to RATE: 50MB/s, 8M, 100Mbit/s or off.

    It is for downloads and copies from here together, and for what each host downloads by itself. Jobs under way take
    it within two seconds and go on. It is kept in config.toml (download_bandwidth, download_jobs, download_parts).
    """
    named = bool(rate) or jobs is not None or parts is not None
    limits = await (yard.downloads.limit(rate=rate, jobs=jobs, parts=parts) if named else yard.downloads.limits())
    told = {"bytes_per_s": limits.bytes_per_s or None, "rate": limits.rate, "jobs": limits.jobs, "parts": limits.parts}
    if out.json:
        out.document(told)
        return
    rate_told = f"{limits.rate} ({limits.bytes_per_s:,} bytes/s)" if limits.bytes_per_s else "no limit"
    out.line(f"Bandwidth: {rate_told}; {limits.jobs} downloads at once, {limits.parts} connections per file at most.")


@command("show")
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="First follow it to its end, or until it is paused.")
async def show(yard: Modelyard, *, out: Output, job: str, follow: bool) -> None:
    """Show everything about a download, a copy or a check; exit code 1 if it failed while it was followed."""
    found = await yard.registry.get_job(job)
    if follow:
        found = await followed(yard, out, found)
        if found.state == "failed":
            raise failure_of(found)
    show_job(out, found)


def _steering(name: str, text: str, said: str, call: Callable[[Modelyard, str], Awaitable[Job]]) -> click.Command:
    @command(name)
    @click.argument("job")
    async def steer(yard: Modelyard, *, out: Output, job: str) -> None:
        asked = await call(yard, job)
        show_job(out, asked, said=said.format(title=asked.title))

    steer.help = text
    return steer


def _resuming(name: str, text: str, said: str) -> click.Command:
    @command(name)
    @click.argument("job")
    @click.option("--token-stdin", is_flag=True, help="Read a token from standard input; it is held in memory only.")
    async def go_on(yard: Modelyard, *, out: Output, job: str, token_stdin: bool) -> None:
        known = await yard.registry.get_job(job)
        token = await token_again(yard, out, known, read_token(token_stdin))
        asked = await yard.downloads.resume(known.id, token=token)
        show_job(out, asked, said=said.format(title=asked.title))

    go_on.help = text
    return go_on


pause = _steering(
    "pause",
    "Stop a download for now; what has come is kept.",
    "{title} is paused.",
    lambda yard, job: yard.downloads.pause(job),
)
resume = _resuming("resume", "Go on with a paused download.", "{title} goes on.")
retry = _resuming("retry", "Try a failed or cancelled download again, from where it was.", "{title} is tried again.")
cancel = _steering(
    "cancel",
    "Stop a download; what has come is kept, and a retry goes on from there.",
    "{title} is cancelled.",
    lambda yard, job: yard.downloads.cancel(job),
)


def show_job(out: Output, job: Job, *, said: str = "") -> None:
    """Scripts get the record; people what was done, or else what there is to know, in words."""
    if out.json:
        out.document(job_fields(job))
    elif said:
        out.line(said)
    else:
        out.record(_in_words(job))


def _in_words(job: Job) -> dict[str, Any]:
    """For people: sizes and times with their units, and how many files are in place."""
    from core.cli.output import duration, size
    from core.files.service import is_bad

    told = job_fields(job)
    wanted = job.spec.get("listing", job.spec).get("files", ())
    found = [(str(file["path"]), str(file.get("condition", ""))) for file in job.files]
    told["done"] = f"{size(told.pop('bytes_done'))} of {size(told.pop('bytes_total'))}"
    told["rate"] = f"{size(round(job.rate))}/s" if job.rate else ""
    told["left"] = duration(told.pop("eta_s"))
    told["files"] = f"{len(job.files)} of {len(wanted)} done" if wanted else ""
    told["bad"] = [f"{path}: {condition}" for path, condition in found if condition and is_bad(condition)]
    told["wanted"] = "" if job.wanted == "run" else job.wanted
    return {**{name: told.pop(name) for name in ("id", "title", "kind", "state", "done", "rate", "left")}, **told}
