"""What unfinished downloads and copies left on a disk (D6, D8): each with its size, its age and why it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from core.registry.values import LOCAL_HOST
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import hanging, line, named, plural, size, toned
from tui.widgets.plain import Flow, Plain

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.files.leftovers import Leftover

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FIT = 8  # lines that always have room
_KEEPS = "Installed models stay, and whatever a job of the list can go on from."


class TidyDialog(Dialog[bool]):
    """True when the user wants what may go deleted; the safe answer has the focus."""

    HEADING = "Unfinished downloads"
    KEYS = ("confirm",)
    AUTO_FOCUS = "#button-no"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("confirm")]

    def __init__(self, found: Sequence[Leftover], host: str) -> None:
        super().__init__()
        self._free = [one for one in found if not one.kept]
        self._kept = [one for one in found if one.kept]
        self._host = host

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._question()), classes="lead")
        yield Plain(toned(_KEEPS, "dim"))
        with VerticalScroll(id="leftovers", can_focus=self._is_long):
            yield Flow()
        with Horizontal(id="buttons"):
            yield button("No" if self._free else "Close", "no")
            if self._free:
                yield button("Delete", "yes")

    def on_mount(self) -> None:
        self.call_after_refresh(self._draw)
        if self._is_long:
            self.query_one("#leftovers").focus()

    @property
    def _is_long(self) -> bool:
        """Arrows are for the list then, else for the buttons."""
        return len(self._free) + 2 * len(self._kept) > _FIT

    def _draw(self) -> None:
        self.query_one(Flow).flow(lambda room: Content("\n").join(self._lines(room)))

    def _question(self) -> str:
        disk = "the disk" if self._host == LOCAL_HOST else f"the disk of {named(self._host)}"
        if not self._free:
            return f"All that is unfinished on {disk} is kept."
        return f"Delete {plural(len(self._free), 'leftover')} ({size(_amount(self._free))}) from {disk}, for good?"

    def _lines(self, room: int) -> list[Content]:
        return [
            *(_line(one, room) for one in self._free),
            *([Content(), Content.styled(f"Kept ({size(_amount(self._kept))})", "$quiet")] if self._kept else []),
            *(_line(one, room) for one in self._kept),
        ]

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A button is an answer."""
        self.dismiss(event.button.id == "button-yes")

    def action_answer(self, yes: bool) -> None:
        """A key is an answer; where nothing may go, no is the only one."""
        self.dismiss(yes and bool(self._free))


def _amount(found: Iterable[Leftover]) -> int:
    return sum(one.size for one in found)


def _line(left: Leftover, room: int) -> Content:
    head = line(f"{size(left.size):>9}  {age(left.age_s):<13}  ")
    reason = [Content("\n"), toned(left.kept, "dim")] if left.kept else []
    return hanging(head, Content.assemble(line(left.path), *reason), room)


def age(seconds: float) -> str:
    """How long it did not change, in one unit: `12 minutes`, `3 days`."""
    whole = int(seconds)
    for step, what in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if whole >= step:
            return plural(whole // step, what)
    return "just now"
