"""The Downloads tab: what is fetched, copied and verified, or was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from core.registry.jobs import OVER
from core.registry.naming import last_part
from core.registry.values import LOCAL_HOST
from tui.screens import download_cards
from tui.screens.download_cards import job_mark, left, share, speed, what
from tui.screens.download_table import Line, Order, facets
from tui.screens.download_views import DownloadList, DownloadsView, Known, within
from tui.show import plural, size, toned
from tui.widgets.columns import Cell, Column

if TYPE_CHECKING:
    from core.registry.jobs import ListedJob

_TURN = ("running", "verifying", "queued", "paused", "failed", "cancelled", "done")
_WORKING = frozenset({"running", "verifying"})


def is_live(job: ListedJob) -> bool:
    """Whether something happens to it by itself."""
    return job.state not in OVER and not (job.state == "paused" and job.wanted == "pause")


class JobList(DownloadList):
    """Those at work first, then in the order in which they are taken."""

    COLUMNS = (
        Column("TITLE", 13, weight=4, most=60),
        Column("WHAT", 9, weight=1, most=20),
        Column("STATE", 11),
        Column("DONE", 11),
        Column("SIZE", 8, right=True, from_width=84),
        Column("SPEED", 10, right=True),
        Column("LEFT", 7, right=True),
    )

    def row_id(self, row: ListedJob) -> str:
        return row.id

    def cells(self, row: ListedJob) -> tuple[Cell, ...]:
        mark, over = job_mark(row), row.state in OVER
        return (
            Cell(row.title, short=last_part(row.title)),
            Cell(what(row), "dim"),
            Cell(mark.text, mark.tone),
            Cell(share(row.bytes_done, row.bytes_total), "dim" if over else ""),
            Cell(size(row.bytes_total), "dim"),
            Cell(speed(row) or "-", "" if row.rate else "dim"),
            Cell(left(row.eta_s), "" if row.eta_s is not None else "dim"),
        )


def _turn(job: ListedJob) -> tuple[object, ...]:
    at = _TURN.index(job.state) if job.state in _TURN else len(_TURN)
    when = job.finished_at or job.created_at
    return (at, -job.priority, -when.timestamp() if job.state in OVER else when.timestamp())


class JobsView(DownloadsView):
    """Jobs of every kind."""

    NAME = "downloads"
    EMPTY = (
        "No downloads yet.\n\nPress a to begin one, or v for the catalog. Downloads, copies to hosts and checks "
        "go on without this terminal."
    )
    ACTIONS = frozenset({"pause", "resume", "cancel", "remove", "clear", "sooner", "later", "repair", "limit"})
    ORDERS = (
        Order("turn", "", _turn),
        Order("title", "TITLE", lambda job: job.title.casefold()),
        Order("size", "SIZE", lambda job: job.bytes_total or 0, descending=True),
        Order("newest", "", lambda job: job.created_at, descending=True),
    )

    def make_list(self, known: Callable[[], Known]) -> DownloadList:
        return JobList()

    def fill(self, known: Known) -> None:
        self.table.fill(known.jobs, _line)

    def tab(self, known: Known) -> str:
        busy = sum(job.state in _WORKING for job in known.jobs)
        return f"{len(known.jobs):,}" + (f" ◐{busy}" if busy else "")

    def summary(self, known: Known, room: int) -> Content:
        working = [job for job in known.jobs if job.state in _WORKING]
        queued = sum(job.state == "queued" for job in known.jobs)
        paused = sum(job.state == "paused" for job in known.jobs)
        failed = sum(job.state == "failed" for job in known.jobs)
        to_go = sum(max(0, (job.bytes_total or 0) - job.bytes_done) for job in known.jobs if is_live(job))
        parts = [toned(f"{plural(len(working), 'job')} at work" if working else "Nothing is under way", "")]
        if rate := sum(job.rate for job in working):
            parts.append(toned(f"{size(round(rate))}/s", ""))
        parts += [toned(f"limit {known.limit}", "")] if known.limit else []
        parts += [toned(f"✗ {failed:,} failed", "bad")] if failed else []
        parts += [toned(f"{size(to_go)} to go", "")] if to_go else []
        parts += [toned(f"{queued:,} queued", "")] if queued else []
        parts += [toned(f"{paused:,} paused", "")] if paused else []
        parts += [toned(f"{size(known.usage.free)} free here", "dim")] if known.usage else []
        return within(parts, room)

    def amount(self, row: ListedJob) -> int:
        return row.bytes_total or 0

    def card(self, row: ListedJob, known: Known, room: int) -> Content:
        return download_cards.job_card(row, room)

    def why_not(self, action: str, rows: Sequence[ListedJob], known: Known) -> str:
        if action == "limit":
            return ""
        if action == "clear":
            return "" if any(job.state in OVER for job in known.jobs) else "Nothing is over yet."
        return super().why_not(action, rows, known)

    def refusal(self, action: str, row: ListedJob, known: Known) -> str:
        if action == "remove":
            return "" if row.state in OVER else f"It is {row.state}; c cancels it first."
        if action == "resume":
            return _why_not_resume(row)
        if action == "repair":
            return "" if row.kind == "verify" and row.bad else "It is no check that found bad files."
        if row.state in OVER:
            return f"It is {row.state} already."
        if action == "pause" and row.wanted == "pause":
            return "It is paused already."
        return ""


def _why_not_resume(job: ListedJob) -> str:
    if job.state == "done":
        return "It is done already."
    waits = job.state == "paused" or job.state in {"failed", "cancelled"} or job.wanted != "run"
    return "" if waits or job.not_before is not None else f"It is {job.state} already."


def _line(job: ListedJob) -> Line:
    text = f"{job.title} {job.kind} {job.state} {job.host} {job.source} {job.folder}".casefold()
    host = "this machine" if job.host == LOCAL_HOST else job.host
    return Line(job, text, facets({"state": job.state, "kind": job.kind, "host": host}))
