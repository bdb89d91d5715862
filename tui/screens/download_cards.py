"""How downloads and installed models are said: marks, shares, times left, and the cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from core.errors import DownloadFailed
from core.registry.values import LOCAL_HOST
from tui.show import Mark, bar, hanging, line, moment, pairs, plural, problem, size, toned

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.service import Usage
    from core.registry.jobs import Job

JOB_MARKS = {
    "queued": Mark("◔", "queued", "busy"),
    "running": Mark("◐", "running", "busy"),
    "verifying": Mark("◑", "verifying", "busy"),
    "paused": Mark("○", "paused", "warn"),
    "done": Mark("✓", "done", "good"),
    "failed": Mark("✗", "failed", "bad"),
    "cancelled": Mark("·", "cancelled", "dim"),
}
_GOING = {"pause": "pausing", "cancel": "ending"}
_MOST_FILES = 30
_BAR = 6


@dataclass(frozen=True)
class FileRow:
    """An installed model, or a file that is not told of; sizes in bytes."""

    path: str
    size: int
    count: int
    model: InstalledModel | None = None
    store: str = ""  # "" is the models folder
    pickles: tuple[str, ...] = ()  # paths of files that can run code when they are loaded
    dangerous: str = ""  # what a scan found in one of them

    @property
    def family(self) -> str:
        """The first folder, as in the usage."""
        return self.path.partition("/")[0] if "/" in self.path else "other"


@dataclass(frozen=True)
class Outcome:
    """What verifying found: (condition, path) of the files that are not what was installed."""

    at: datetime
    files: int
    bad: Sequence[tuple[str, str]] = ()


def job_mark(job: Job) -> Mark:
    """The state, and what it is about to become."""
    mark = JOB_MARKS.get(job.state, Mark("?", job.state, ""))
    if job.state in {"queued", "running", "verifying"} and job.wanted in _GOING:
        return mark._replace(word=_GOING[job.wanted])
    if job.state == "queued" and job.error:
        return Mark("!", "waits", "warn")
    return mark


def place_mark(row: FileRow, checked: Outcome | None) -> Mark:
    """Whether it is known, and what verifying found."""
    if row.model is None:
        return Mark("?", "not known", "warn")
    if checked is None:
        return Mark("·", "installed", "dim")
    if checked.bad:
        return Mark("✗", f"{len(checked.bad)} bad", "bad")
    return Mark("✓", "verified", "good")


def share(done: int, total: int | None) -> str:
    """`████░░░░░░  42%`; of an unknown total, the bytes so far."""
    if not total:
        return size(done)
    percent = min(100, done * 100 // total)
    return f"{bar(done, total, width=_BAR)} {percent:>3}%"


def left(seconds: float | None) -> str:
    """The time that is left: `12s`, `3m 20s`, `2h 5m`, `4d 1h`."""
    if seconds is None:
        return "-"
    whole = int(seconds) + 1
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    hours = whole // 3600
    return f"{hours}h {whole % 3600 // 60}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def source_of(job: Job) -> str:
    """Where it comes from."""
    return str(job.spec.get("listing", {}).get("source", ""))


def what(job: Job) -> str:
    """What it does, and where, in a few cells: `download`, `→ atlas`, `↓ atlas`, `verify`."""
    if job.kind == "copy":
        return f"→ {job.host}"
    if job.kind == "direct":
        return f"↓ {job.host}"
    return job.kind if job.host == LOCAL_HOST else f"{job.kind} {job.host}"


def _what_in_words(job: Job) -> str:
    words = {
        "download": "download to this machine",
        "copy": f"copy from this machine to {job.host}",
        "direct": f"download by {job.host} itself",
        "verify": f"check of installed files on {'this machine' if job.host == LOCAL_HOST else job.host}",
    }
    return words.get(job.kind, job.kind)


def job_card(job: Job, room: int) -> Content:
    """Everything of a download; of a failure, what to do."""
    listing = job.spec.get("listing", {})
    mark = job_mark(job)
    total = f" of {size(job.bytes_total)}" if job.bytes_total else ""
    count = len(listing.get("files", ()) or job.spec.get("files", ()))
    done = f"{bar(job.bytes_done, job.bytes_total, width=16)}  {size(job.bytes_done)}{total}".strip()
    facts = pairs(
        [
            ("What", _what_in_words(job)),
            ("State", toned(mark.text, mark.tone)),
            ("Now", job.doing),
            ("Done", done),
            ("Speed", f"{size(round(job.rate))}/s" if job.rate else ""),
            ("Left", left(job.eta_s) if job.eta_s is not None else ""),
            ("Next try", moment(job.not_before) if job.state == "queued" and job.not_before else ""),
            ("Files", f"{len(job.files):,} of {count:,} {'read' if job.kind == 'verify' else 'in their place'}"),
            ("Priority", f"{job.priority:+}" if job.priority else ""),
            ("From", source_of(job)),
            ("To", job.folder),
            ("Licence", str(listing.get("licence", ""))),
            ("Queued", moment(job.created_at)),
            ("Ended", moment(job.finished_at) if job.finished_at else ""),
            ("Id", job.id),
        ],
        room,
    )
    parts = [line(job.title).stylize("bold"), facts]
    if job.error:
        told = DownloadFailed(job.error, cause=job.cause, remedy=job.remedy)
        parts.insert(1, Content("\n").join([problem(told, room), toned("→ r tries again from where it was.", "dim")]))
    return Content("\n\n").join(parts)


def file_card(row: FileRow, usage: Usage | None, checked: Outcome | None, room: int) -> Content:
    """Everything of an installed model, with its files."""
    model = row.model
    title = line(model.title if model else row.path).stylize("bold")
    family = usage.families.get(row.family) if usage else None
    facts = pairs(
        [
            ("Size", f"{size(row.size)} in {plural(row.count, 'file')}"),
            ("Path", row.path),
            ("Family", f"{row.family}, {size(family)} in all" if family is not None else row.family),
            ("From", model.source if model else ""),
            ("Revision", model.revision if model else ""),
            ("Licence", model.licence if model else ""),
            ("Installed", _when(model.installed_at) if model else ""),
            ("Checked", moment(checked.at) if checked else "not since the program was started" if model else ""),
        ],
        room,
    )
    if model is None:
        return Content("\n\n").join([title, facts, _unknown(room)])
    parts = [title, facts, *([found(checked, room)] if checked else []), _files(model, room)]
    return Content("\n\n").join(parts)


def _when(text: str) -> str:
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:  # the file may have been edited
        return text


def _unknown(room: int) -> Content:
    text = "It lies in the models folder, but nothing is noted of it. u notes its size and hash; no file is changed."
    return hanging(toned("! ", "warn"), line(text), room)


def found(checked: Outcome, room: int) -> Content:
    """The result of verifying, with every bad file."""
    if not checked.bad:
        return hanging(toned("✓ ", "good"), line(_fine(checked.files)), room)
    head = f"{len(checked.bad):,} of {plural(checked.files, 'file')} not as installed"
    lines = [hanging(toned("✗ ", "bad"), line(head), room)]
    lines += [hanging(toned(f"  {condition:<11}", "bad"), line(path), room) for condition, path in checked.bad]
    remedy = "Move these files away, and download the model again."
    return Content("\n").join([*lines, hanging(toned("→ ", "dim"), toned(remedy, "dim"), room)])


def _fine(count: int) -> str:
    return "The file is what was installed." if count == 1 else f"All {count:,} files are what was installed."


def _files(model: InstalledModel, room: int) -> Content:
    shown = sorted(model.files, key=lambda file: -int(file["size"]))[:_MOST_FILES]
    lines = [_file(str(file["path"]).removeprefix(f"{model.path}/"), int(file["size"]), room) for file in shown]
    if len(model.files) > len(shown):
        lines.append(toned(f"and {len(model.files) - len(shown):,} more", "dim"))
    return Content("\n").join([Content.styled("Files, the largest first", "$quiet"), *lines])


def _file(path: str, count: int, room: int) -> Content:
    return hanging(toned(f"{size(count):>9}  ", "dim"), line(path), room)
