"""How downloads and installed models are said: marks, shares, times left, and the cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from core.errors import DownloadFailed
from core.files.model_files import family_of
from core.files.pickles import UNSAFE
from core.files.stores import LABELS
from core.registry.values import LOCAL_HOST
from tui.show import Mark, bar, hanging, line, moment, pairs, plural, problem, size, toned

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.service import Usage
    from core.registry.jobs import ListedJob
    from tui.screens.download_checks import Checks, Outcome

JOB_MARKS = {
    "queued": Mark("◔", "queued", "busy"),
    "running": Mark("◐", "running", "busy"),
    "verifying": Mark("◑", "verifying", "busy"),
    "paused": Mark("○", "paused", "warn"),
    "done": Mark("✓", "done", "good"),
    "failed": Mark("✗", "failed", "bad"),
    "cancelled": Mark("·", "cancelled", "dim"),
}
_PICKLES = {
    "dangerous": Mark("✗", "dangerous", "bad"),
    "suspicious": Mark("!", "suspicious", "warn"),
}
_HINTS = {("verify", "done"): "R fetches just these again; each stays until the right one has come."}
_GOING = {"pause": "pausing", "cancel": "ending"}
_MOST_FILES = 30
_MANY = 10
_BAR = 6


@dataclass(frozen=True, slots=True)
class FileRow:
    """An installed model, or a file that is not told of; sizes in bytes."""

    path: str
    size: int
    count: int
    model: InstalledModel | None = None
    gone: tuple[str, ...] = ()  # paths of its files that are not there

    @property
    def store(self) -> str:
        """The tool that keeps it, "" for the models folder."""
        return self.model.store if self.model else ""

    @property
    def family(self) -> str:
        """As in the usage; of what other tools keep, the tool."""
        return self.store or family_of(self.path)

    @property
    def shown(self) -> str:
        """What it is called in the list: its path in the models folder, its title in a store."""
        return self.model.title if self.model and self.store else self.path


def job_mark(job: ListedJob) -> Mark:
    """The state, and what it is about to become."""
    mark = JOB_MARKS.get(job.state, Mark("?", job.state, ""))
    if job.state in {"queued", "running", "verifying"} and job.wanted in _GOING:
        return mark._replace(word=_GOING[job.wanted])
    if (job.state == "queued" and job.error) or (job.state == "running" and "waiting" in job.doing):
        return Mark("!", "waits", "warn")
    if job.state == "done" and job.bad:
        return Mark("✗", f"{job.bad:,} bad", "bad")
    return mark


def place_mark(row: FileRow, checks: Checks) -> Mark:
    """The worst that is known of it."""
    model = row.model
    if model is None:
        return Mark("?", "not known", "warn")
    if model.path in checks.under_way:
        return Mark("◑", "verifying", "busy")
    checked, pickle = checks.of(model), model.pickle
    marks = [
        Mark("✗", f"{len(checked.bad):,} bad", "bad") if checked and checked.bad else None,
        Mark("✗", _gone(row), "bad") if row.gone else None,
        Mark("✗", "incomplete", "bad") if model.problem else None,
        _PICKLES.get(pickle.level, Mark("!", "pickle", "warn")) if pickle else None,
        Mark("✓", "verified", "good") if checked else None,
    ]
    return next(filter(None, marks), Mark("·", "in place" if row.store else "installed", "dim"))


def _gone(row: FileRow) -> str:
    """Of all files, or of how many; in the cells of a column."""
    count = len(row.gone)
    if count == row.count:
        return "gone"
    return f"{plural(count, 'file')} gone" if count < _MANY else f"{count:,} gone"


def store_name(row: FileRow) -> str:
    """Where it lies, for people."""
    return label_of(row.store)


def label_of(store: str) -> str:
    """What keeps models, for people: "" is the models folder."""
    return LABELS.get(store, store) or "models folder"


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


def speed(job: ListedJob) -> str:
    """`12.3 MiB/s`; 0 where a transfer is under way and nothing comes; "" of what doesn't run."""
    return f"{size(round(job.rate))}/s" if job.state in {"running", "verifying"} else ""


def what(job: ListedJob) -> str:
    """What it does, and where, in a few cells: `download`, `→ atlas`, `↓ atlas`, `verify`."""
    if job.kind == "copy":
        return f"→ {job.host}"
    if job.kind == "direct":
        return f"↓ {job.host}"
    return job.kind if job.host == LOCAL_HOST else f"{job.kind} {job.host}"


def _what_in_words(job: ListedJob) -> str:
    words = {
        "download": "download to this machine",
        "copy": f"copy from this machine to {job.host}",
        "direct": f"download by {job.host} itself",
        "verify": f"check of installed files on {'this machine' if job.host == LOCAL_HOST else job.host}",
    }
    return words.get(job.kind, job.kind)


def job_card(job: ListedJob, room: int) -> Content:
    """Everything of a download; of a failure, what to do."""
    mark = job_mark(job)
    total = f" of {size(job.bytes_total)}" if job.bytes_total else ""
    facts = pairs(
        [
            ("What", _what_in_words(job)),
            ("State", toned(mark.text, mark.tone)),
            ("Now", job.doing),
            ("Done", f"{size(job.bytes_done)}{total}"),
            ("Speed", speed(job)),
            ("Left", left(job.eta_s) if job.eta_s is not None else ""),
            ("Next try", moment(job.not_before) if job.state == "queued" and job.not_before else ""),
            ("Files", f"{job.done:,} of {job.count:,} {'read' if job.kind == 'verify' else 'in their place'}"),
            ("Priority", f"{job.priority:+}" if job.priority else ""),
            ("From", job.source),
            ("In" if job.kind == "verify" else "To", job.folder),
            ("Licence", job.licence),
            ("Queued", moment(job.created_at)),
            ("Ended", moment(job.finished_at) if job.finished_at else ""),
            ("Id", job.id),
        ],
        room,
    )
    parts = [_headed(job, room), facts]
    if job.error:
        told = DownloadFailed(job.error, cause=job.cause, remedy=job.remedy)
        hint = toned(f"→ {_HINTS.get((job.kind, job.state), 'r tries again from where it was.')}", "dim")
        parts.insert(1, Content("\n").join([problem(told, room), hint]))
    return Content("\n\n").join(parts)


def _headed(job: ListedJob, room: int) -> Content:
    """The title and, of what is not over, how far it is across the whole card."""
    title = line(job.title).stylize("bold")
    if job.finished_at is not None or not job.bytes_total:
        return title
    percent = min(100, job.bytes_done * 100 // job.bytes_total)
    return title + toned(f"\n{bar(job.bytes_done, job.bytes_total, width=max(4, room - 6))} {percent:>3}%", "busy")


def file_card(row: FileRow, usage: Usage | None, checks: Checks, room: int, *, host: str = LOCAL_HOST) -> Content:
    """Everything of an installed model, with its files."""
    model = row.model
    checked = checks.of(model) if model else None
    title = line(model.title if model else row.path).stylize("bold")
    family = usage.families.get(row.family) if usage else None
    facts = pairs(
        [
            ("Size", f"{size(row.size)} in {plural(row.count, 'file')}"),
            ("Host", "" if host == LOCAL_HOST else host),
            ("Path", row.path),
            ("Kept in", f"{store_name(row)}: used in place, never changed from here" if row.store else ""),
            ("Family", f"{row.family}, {size(family)} in all" if family is not None else row.family),
            ("From", model.source if model else ""),
            ("Revision", model.revision if model else ""),
            ("Licence", model.licence if model else ""),
            ("Installed", _when(model.installed_at) if model else ""),
            ("Checked", moment(checked.at) if checked else "never" if model else ""),
        ],
        room,
    )
    if model is None:
        return Content("\n\n").join([title, facts, _unknown(room)])
    told = [toned(f"✗ {model.problem}", "bad")] if model.problem else []
    told += [hanging(toned("! ", "warn"), line(f"{model.warning} {UNSAFE}"), room)] if model.warning else []
    told += [found(checked, room)] if checked and (checked.bad or not row.gone) else []
    told += [_missing(row, room)] if row.gone and not (checked and checked.bad) else []
    parts = [title, facts, *told, _files(model, room)]
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
    remedy = "R fetches just these again; each stays until the right one has come."
    return Content("\n").join([*lines, hanging(toned("→ ", "dim"), toned(remedy, "dim"), room)])


def _missing(row: FileRow, room: int) -> Content:
    """Files that somebody deleted by hand."""
    head = f"{len(row.gone):,} of {plural(row.count, 'file')} gone from the disk"
    named = [hanging(Content("  "), line(path), room) for path in row.gone[:_MOST_FILES]]
    more = [line(f"  and {rest:,} more")] if (rest := len(row.gone) - _MOST_FILES) > 0 else []
    remedy = hanging(toned("→ ", "dim"), toned("V checks it; then R fetches just what is missing.", "dim"), room)
    return Content("\n").join([hanging(toned("✗ ", "bad"), toned(head, "bad"), room), *named, *more, remedy])


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
