"""`modelyard hosts copy`: model files to several hosts at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from core.cli.command import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.app import Modelyard
    from core.cli.diagnostics import Reporter
    from core.cli.output import Output
    from core.downloads.copies import CopyEvent
    from core.downloads.copy_events import CopyDone, CopyFailed, CopyProgress
    from core.registry.jobs import Job


@command("copy")
@click.argument("model")
@click.option("--to", "hosts", multiple=True, required=True, metavar="HOST", help="A host; may be repeated.")
@click.option("--folder", default="", help="Where in the hosts' models folders; by default the same place as here.")
@click.option("--register", is_flag=True, help="Let the model's record tell the place there, where it does not yet.")
@click.option("--priority", type=int, default=0, help="Higher ones are copied first.")
@click.option("--detach", "--no-wait", is_flag=True, help="Start the copies and don't follow them.")
async def copy(
    yard: Modelyard,
    *,
    out: Output,
    model: str,
    hosts: tuple[str, ...],
    folder: str,
    register: bool,
    priority: int,
    detach: bool,
) -> int | None:
    """Copy the files of MODEL (a registered or installed one, or a path) into the models folders of hosts.

    What is there and right is not sent again, and a broken line goes on where it was. Each host reads what arrived,
    and only a file with the right SHA-256 gets its name; another file of that name is never touched. Copies go on
    without this terminal: Ctrl-C stops following them, modelyard download cancel stops a copy. All copies and
    downloads together keep to what modelyard download limit shows.
    """
    from core.cli.diagnostics import Reporter

    shown = _Shown(out, Reporter(silent=out.json), several=len(set(hosts)) > 1)
    started = await yard.copies.start(model, hosts, folder=folder, register=register, priority=priority)
    if detach:
        return _detached(out, started, shown)
    try:
        async with aclosing(yard.copies.follow(started)) as events:
            async for event in events:
                shown.take(event)
    except asyncio.CancelledError:
        shown.end()
        _goes_on(out, started)
        raise
    finally:
        shown.end()
    return shown.exit_code


def _detached(out: Output, started: Sequence[Job | CopyFailed], shown: _Shown) -> int:
    """The jobs as they are queued, and what could not be."""
    from core.cli.downloads import job_fields
    from core.downloads.copy_events import CopyFailed

    failed = [one for one in started if isinstance(one, CopyFailed)]
    jobs = [one for one in started if not isinstance(one, CopyFailed)]
    if out.json:
        told = {"jobs": [job_fields(job) for job in jobs], "failed": [one.as_dict() for one in failed]}
        out.document(told)
        return max((one.exit_code for one in failed), default=0)
    for job in jobs:
        out.line(f"{job.host}: copying as {job.id}. modelyard download list shows how it goes.")
    for one in failed:
        shown.take(one)
    return shown.exit_code


def _goes_on(out: Output, started: Sequence[Job | CopyFailed]) -> None:
    from core.cli.diagnostics import goes_on, notice
    from core.downloads.copy_events import CopyFailed

    jobs = [one for one in started if not isinstance(one, CopyFailed)]
    goes_on(*(job.id for job in jobs))
    if jobs and not out.json:
        several = "Copies go" if len(jobs) > 1 else "The copy goes"
        notice(f"{several} on without this terminal. To watch: modelyard download list")
        notice(f"To stop: modelyard download cancel {' '.join(job.id for job in jobs[:1])}")


class _Shown:
    """The events of a copy, as lines for people or NDJSON for programs."""

    def __init__(self, out: Output, reporter: Reporter, *, several: bool) -> None:
        self._out = out
        self._reporter = reporter
        self._several = several
        self._newest: dict[str, CopyProgress] = {}
        self.exit_code = 0

    def take(self, event: CopyEvent) -> None:
        """Show one event."""
        from core.downloads.copy_events import CopyDone, CopyProgress

        if self._out.json:
            self._out.event(event.as_dict())
        if isinstance(event, CopyProgress):
            self._newest[event.host] = event
            self._reporter.step(" · ".join(map(self._line, self._newest.values())))
            return
        self._newest.pop(event.host, None)
        self._reporter.end()
        if isinstance(event, CopyDone):
            self._done(event)
        else:
            self._failed(event)

    def end(self) -> None:
        """Leave the terminal's line clean."""
        self._reporter.end()

    def _line(self, event: CopyProgress) -> str:
        from core.cli.output import duration, size

        if self._several:
            share = f"{100 * event.done // event.total} %" if event.total else "100 %"
            return f"{event.host} {share} {event.state}"
        left = f", {duration(event.eta_s)} left" if event.eta_s is not None else ""
        speed = f", {size(round(event.rate))}/s{left}" if event.rate else ""
        return f"{event.text}: {size(event.done)} of {size(event.total)}{speed}"

    def _done(self, event: CopyDone) -> None:
        from core.cli.diagnostics import notice
        from core.cli.output import size

        if self._out.json:
            return
        noted = " The model's record tells it." if event.registered else ""
        files = f"{event.files:,} file{'' if event.files == 1 else 's'}"
        sent = f"{size(event.sent)} were sent" if event.sent else "nothing had to be sent"
        if event.note:
            notice(event.note)
        self._out.line(f"{event.host}: {event.path} is there and right ({files}, {size(event.size)}; {sent}).{noted}")

    def _failed(self, event: CopyFailed) -> None:
        from core.cli.diagnostics import report
        from core.errors import ModelyardError

        self.exit_code = max(self.exit_code, event.exit_code)
        if not self._out.json:
            report(ModelyardError(event.message, cause=event.cause, remedy=event.remedy), json=False)
