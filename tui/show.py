"""How values are said on the screens: sizes, times, states with their marks; text from outside is cleaned."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from textual.content import Content

from core.findings import Finding, Severity
from core.registry.values import LOCAL_HOST, ServerStatus
from core.text import clean_block, clean_line
from core.text import plural as plural  # noqa: PLC0414 - what screens count by

if TYPE_CHECKING:
    from core.errors import ModelyardError
    from core.registry.records import Server

NOTHING = "-"


class Mark(NamedTuple):
    """A state: one symbol, a word, and the tone it is drawn in; the word alone is enough to understand it."""

    symbol: str
    word: str
    tone: str

    @property
    def text(self) -> str:
        """Symbol and word."""
        return f"{self.symbol} {self.word}"

    @property
    def short(self) -> str:
        """Without what stands in brackets."""
        return self.text.partition(" (")[0]


STATUS_MARKS = {
    ServerStatus.RUNNING: Mark("●", "running", "good"),
    ServerStatus.LOADING: Mark("◐", "loading", "busy"),
    ServerStatus.STARTING: Mark("◔", "starting", "busy"),
    ServerStatus.STOPPING: Mark("◑", "stopping", "busy"),
    ServerStatus.STOPPED: Mark("○", "stopped", "dim"),
    ServerStatus.FAILED: Mark("✗", "failed", "bad"),
}
NO_SERVER = Mark("·", "not deployed", "dim")
UNREACHABLE = Mark("?", "unreachable", "warn")
SEVERITY_MARKS = {
    Severity.OK: Mark("✓", "ok", "good"),
    Severity.INFO: Mark("·", "note", "dim"),
    Severity.WARNING: Mark("!", "warning", "warn"),
    Severity.ERROR: Mark("✗", "error", "bad"),
}
TONES = {
    "good": "$text-success",
    "busy": "$text-accent",
    "warn": "$text-warning",
    "bad": "$text-error",
    "dim": "$quiet",
    "": "",
}


def status_mark(server: Server | None, *, unreachable: bool = False) -> Mark:
    """What a server's state looks like; of an unreachable host, the last one known is added."""
    if server is None:
        return NO_SERVER
    known = STATUS_MARKS.get(ServerStatus(server.status), NO_SERVER)
    return UNREACHABLE._replace(word=f"unreachable ({known.word})") if unreachable else known


def line(text: object) -> Content:
    """Text from outside on one line: harmless, and never markup."""
    return Content(clean_line(str(text)))


def block(text: object) -> Content:
    """Text from outside on several lines: harmless, and never markup."""
    return Content(clean_block(str(text)))


def toned(text: object, tone: str) -> Content:
    """Like `block`, in a tone of `TONES`."""
    return Content.styled(clean_block(str(text)), TONES[tone])


def pairs(rows: list[tuple[str, Content | str]], room: int, *, width: int = 12) -> Content:
    """Labels and values, the values aligned and wrapped within `room` cells; values that are empty are left out."""
    shown = [(label, Content(clean_block(v)) if isinstance(v, str) else v) for label, v in rows if str(v)]
    return Content("\n").join(_pair(label, value, room, width) for label, value in shown)


def _pair(label: str, value: Content, room: int, width: int) -> Content:
    """One word that is too long for its column, such as a URL, stands whole on a line of its own."""
    head = Content.styled(label.ljust(width), "$quiet")
    if value.cell_length > room - width and " " not in value.plain:
        return Content.assemble(
            head, "\n", hanging(Content(" " * max(0, min(2, room - value.cell_length))), value, room)
        )
    return hanging(head, value, room)


def hanging(head: Content, body: Content, room: int) -> Content:
    """`body` wrapped beside `head`, its further lines indented to where it begins."""
    width = head.cell_length
    parts = [part for whole in body.split("\n", allow_blank=True) for part in whole.wrap(max(8, room - width))]
    return head + Content("\n" + " " * width).join(part.rstrip() for part in parts)


def findings(found: list[Finding], room: int, *, width: int = 0) -> Content:
    """Each finding with mark, word, reason and remedy; the reasons stand at `width` cells or further right."""
    width = max(width - 2, *(len(SEVERITY_MARKS[f.severity].text) for f in found), 0) + 2
    return Content("\n").join(_finding(finding, width, room) for finding in found)


def _finding(finding: Finding, width: int, room: int) -> Content:
    mark = SEVERITY_MARKS[finding.severity]
    text = hanging(toned(mark.text.ljust(width), mark.tone), line(finding.reason), room)
    if not finding.remedy:
        return text
    remedy = hanging(toned(" " * width + "→ ", "dim"), toned(clean_line(finding.remedy), "dim"), room)
    return Content.assemble(text, "\n", remedy)


def problem(error: ModelyardError, room: int) -> Content:
    """What went wrong, the cause, what to do."""
    rows = pairs([("Cause", error.cause), ("What to do", error.remedy)], room)
    title = hanging(toned("✗ ", "bad"), block(error.message), room)
    return Content("\n").join(part for part in (title, rows) if part.plain)


def size(count: int | None) -> str:
    """Bytes for people, in binary units: `15.3 GiB`."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def tokens(count: int) -> str:
    """A count of tokens in groups: `131 072`."""
    return f"{count:,}".replace(",", " ")


def short_tokens(count: int) -> str:
    """The same in seven cells at most: `131 072`, `1.05M`."""
    return tokens(count) if count < 1_000_000 else f"{count / 1_000_000:.3g}M"


def uptime(seconds: float | None) -> str:
    """At the grain of minutes, so that an idle screen has nothing to draw: `<1m`, `3m`, `2h 5m`, `4d 1h`."""
    if seconds is None:
        return NOTHING
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}m"
    return f"{minutes}m" if minutes else "<1m"


def moment(at: datetime | None) -> str:
    """A time in the zone of this machine, to the minute."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else NOTHING


def bar(used: int | None, total: int | None, *, width: int = 10) -> str:
    """A share as text: `███░░░░░░░`; of unknown values, nothing."""
    if used is None or not total:
        return ""
    filled = min(width, max(0, round(width * used / total)))
    return "█" * filled + "░" * (width - filled)


def named(host: str) -> str:
    """A host in a sentence."""
    return "this machine" if host == LOCAL_HOST else clean_line(host)
