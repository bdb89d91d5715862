"""`modelyard files verify`: are installed files still what was installed, here or on a host; what is not is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli.command import command
from core.registry.values import LOCAL_HOST
from core.text import plural

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output
    from core.registry.jobs import Job


@command("verify")
@click.argument("models", nargs=-1, metavar="[MODEL]…")
@click.option("--all", "every", is_flag=True, help="All installed models: the same as naming none.")
@click.option("--host", default=LOCAL_HOST, metavar="HOST", help="Of which host, which reads by itself.")
@click.option("--repair", is_flag=True, help="Fetch what is missing, short or changed again, and nothing else.")
@click.option("--detach", "--no-wait", is_flag=True, help="Start the check and don't follow it.")
async def verify(
    yard: Modelyard, *, out: Output, models: tuple[str, ...], every: bool, host: str, repair: bool, detach: bool
) -> int:
    """Read installed files and compare their hashes: all, or those of some models; exit code 1 when one is bad.

    A check is a job: it goes on without this terminal, can be paused, and reads nothing twice when it goes on.
    """
    from core.cli.downloads import job_fields
    from core.files.service import is_bad

    _refuse(models, every=every, repair=repair, detach=detach)
    if not models and not await (await yard.files_of(host)).installed():
        return _nothing(out, host)
    job = await yard.verifications.start(models, host=host)
    if detach:
        if out.json:
            out.document(job_fields(job))
        else:
            out.line(f"Checking {job.title} as {job.id}. modelyard download show {job.id} tells what was found.")
        return 0
    job = await _watched(yard, out, job)
    bad = [file for file in job.files if is_bad(file["condition"])]
    if not out.json:
        out.line(_said(job))
    if bad and repair:
        return await _repair(yard, out, job)
    return 1 if bad else 0


def _nothing(out: Output, host: str) -> int:
    """No model, no event; and no job for it."""
    if not out.json:
        out.line(f"Nothing is installed{'' if host == LOCAL_HOST else f' on {host}'}, so nothing was checked.")
    return 0


def _said(job: Job) -> str:
    fine = "It is what was installed." if len(job.files) == 1 else "All are what was installed."
    return f"{plural(len(job.files), 'file')} checked. {job.error or fine}"


def _refuse(models: tuple[str, ...], *, every: bool, repair: bool, detach: bool) -> None:
    from core.errors import UsageError

    if every and models:
        raise UsageError("--all is for all models: name none beside it.")
    if repair and detach:
        raise UsageError("--repair has to wait for what is found.", remedy="Leave --detach out.")


async def _watched(yard: Modelyard, out: Output, job: Job) -> Job:
    """Show the check until it is over; each file when it is known.

    Raises:
        ModelyardError: it did not come to its end.
    """
    from core.cli.downloads import failure_of, followed
    from core.files.service import is_bad

    models = {file["path"]: file["model"] for file in job.spec["files"]}
    job = await followed(yard, out, job)
    if job.state != "done":
        raise failure_of(job)
    for file in sorted(job.files, key=lambda file: str(file["path"])):
        if out.json:
            out.event({"event": "FileChecked", "model": models.get(file["path"], ""), "cause": "", **file})
        elif is_bad(file["condition"]):
            out.line(f"{file['condition']}: {file['path']} {file.get('cause', '')}".rstrip())
    return job


async def _repair(yard: Modelyard, out: Output, checked: Job) -> int:
    """Fetch the bad files; 0 when all of them are right now."""
    from core.cli.diagnostics import report
    from core.cli.downloads import failure_of, followed
    from core.errors import ModelyardError

    code = 0
    for started in await yard.verifications.repair(checked):
        if isinstance(started, ModelyardError):
            code = max(code, report(started, json=out.json))
            continue
        job = await followed(yard, out, started)
        if job.state == "done":
            _tell_repaired(out, job)
            continue
        failure = failure_of(job)
        assert isinstance(failure, ModelyardError)
        code = max(code, report(failure, json=out.json))
    return code


def _tell_repaired(out: Output, job: Job) -> None:
    from core.cli.downloads import job_fields

    if out.json:
        out.event({"event": "Repaired", **job_fields(job)})
    else:
        plural = "file is" if len(job.files) == 1 else "files are"
        out.line(f"{job.title}: {len(job.files)} {plural} right again.")
