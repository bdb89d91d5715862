"""`modelyard hosts copy`: model files to several hosts at once."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from core.cli.command import command

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.diagnostics import Reporter
    from core.cli.output import Output
    from core.downloads.copies import CopyEvent
    from core.downloads.copying import CopyDone, CopyFailed, CopyProgress


@command("copy")
@click.argument("model")
@click.option("--to", "hosts", multiple=True, required=True, metavar="HOST", help="A host; may be repeated.")
@click.option("--folder", default="", help="Where in the hosts' models folders; by default the same place as here.")
@click.option("--register", is_flag=True, help="Let the model's record tell the place there, where it does not yet.")
async def copy(
    yard: Modelyard, *, out: Output, model: str, hosts: tuple[str, ...], folder: str, register: bool
) -> int | None:
    """Copy the files of MODEL (a registered or installed one, or a path) into the models folders of hosts.

    What is there and right is not sent again, and a broken line goes on where it was. Each host reads what arrived,
    and only a file with the right SHA-256 gets its name; another file of that name is never touched.
    """
    from core.cli.diagnostics import Reporter

    shown = _Shown(out, Reporter(silent=out.json), several=len(set(hosts)) > 1)
    try:
        async with aclosing(yard.copies.copy(model, hosts, folder=folder, register=register)) as events:
            async for event in events:
                shown.take(event)
    finally:
        shown.end()
    return shown.exit_code


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
        from core.downloads.copying import CopyDone, CopyProgress

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
        from core.cli.output import size

        if self._out.json:
            return
        noted = " The model's record tells it." if event.registered else ""
        files = f"{event.files:,} file{'' if event.files == 1 else 's'}"
        sent = f"{size(event.sent)} were sent" if event.sent else "nothing had to be sent"
        self._out.line(f"{event.host}: {event.path} is there and right ({files}, {size(event.size)}; {sent}).{noted}")

    def _failed(self, event: CopyFailed) -> None:
        from core.cli.diagnostics import report
        from core.errors import ModelyardError

        self.exit_code = max(self.exit_code, event.exit_code)
        if not self._out.json:
            report(ModelyardError(event.message, cause=event.cause, remedy=event.remedy), json=False)
