"""A model's files to hosts: which ones, how far each is, and how it ended there."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from core.registry.values import LOCAL_HOST
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.operations import closing
from tui.show import bar, hanging, line, plural, problem, size, toned
from tui.widgets.plain import Flow, Plain

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.worker import Worker

    from core.downloads.copies import CopyEvent
    from core.downloads.outgoing import Outgoing
    from core.registry.records import Host

Lay = Callable[[int], Content]


class CopyDialog(Dialog[None]):
    """Choose hosts, then follow; closing leaves the copies at work, and the downloads (6) show them."""

    HEADING = "Copy to hosts"
    KEYS = ("copy",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("copy")]

    def __init__(self, name: str, ref: str) -> None:
        super().__init__()
        self._name = name
        self._ref = ref
        self._outgoing: Outgoing | None = None
        self._hosts: list[Host] = []
        self._marked: set[str] = set()
        self._at = 0
        self._seen: dict[str, CopyEvent] = {}
        self._copying: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._name), classes="lead")
        yield Flow(id="about")
        with VerticalScroll(classes="fields", can_focus=False):
            yield Flow(id="copy-hosts")

    def on_mount(self) -> None:
        self.run_worker(self._look(), group="look", exit_on_error=True)

    async def _look(self) -> None:
        yard = self.modelyard.yard
        if yard is None:
            return
        self._about(lambda _: toned("Looking for its files…", "dim"))
        try:
            self._hosts = [host for host in await yard.registry.hosts() if host.kind != LOCAL_HOST]
            self._outgoing = found = await yard.copies.find(self._ref)
        except ModelyardError as error:
            failure = error
            self._about(lambda room: problem(failure, room))
            return
        told = f"{plural(len(found.files), 'file')}, {size(found.size)}"
        none = "" if self._hosts else "; there is no host to copy to yet: press 3, then a"
        self._about(lambda _: line(told + none))
        self._draw()

    def _about(self, make: Lay) -> None:
        self.query_one("#about", Flow).flow(make)

    @property
    def _busy(self) -> bool:
        return self._copying is not None and self._copying.is_running

    # Choosing

    def action_cursor(self, step: int) -> None:
        """By lines, round the ends."""
        if self._hosts:
            self._at = (self._at + step) % len(self._hosts)
            self._draw()

    def action_mark(self) -> None:
        """This host too, or not."""
        if self._hosts and not self._busy:
            self._marked ^= {self._hosts[self._at].name}
            self._draw()

    def action_submit(self) -> None:
        """Copy to the marked hosts, or to the one under the cursor."""
        if self._outgoing is None or not self._hosts or self._busy:
            return
        self._marked = self._marked or {self._hosts[self._at].name}
        self._seen = {}
        self._copying = self.run_worker(self._copy(), group="copy", exit_on_error=True)

    def action_cancel(self) -> None:
        """Close; what was begun goes on."""
        if self._busy:
            self.modelyard.toast("The copies go on; 6 shows them, pauses and ends them.", timeout=8)
        self.dismiss(None)

    # Copying

    async def _copy(self) -> None:
        yard = self.modelyard.yard
        if yard is None:
            return
        hosts = [host.name for host in self._hosts if host.name in self._marked]
        self._about(lambda _: line("Copying. It goes on when this is closed; the downloads (6) show it."))
        try:
            async with closing(yard.copies.copy(self._ref, hosts)) as events:
                async for event in events:
                    self._seen[event.host] = event
                    self._draw()
        except ModelyardError as error:
            failure = error
            self._about(lambda room: problem(failure, room))
            return
        good = sum(_is_done(event) for event in self._seen.values())
        self._about(lambda _: line(f"{good} of {plural(len(hosts), 'host')}: all files there and right."))

    # Drawing

    def _draw(self) -> None:
        self.query_one("#copy-hosts", Flow).flow(self._lines)

    def _lines(self, room: int) -> Content:
        width = max((len(host.name) for host in self._hosts), default=0)
        return Content("\n").join([Content(), *(self._line(n, width, room) for n in range(len(self._hosts)))])

    def _line(self, number: int, width: int, room: int) -> Content:
        host = self._hosts[number]
        mark = "x" if host.name in self._marked else " "
        head = line(f"{'▌' if number == self._at else ' '} [{mark}] {host.name:<{width}}  ")
        style = "bold $text-primary" if number == self._at else ""
        return hanging(head.stylize(style) if style else head, self._state(host, room - head.cell_length), room)

    def _state(self, host: Host, room: int) -> Content:
        from core.downloads.copy_events import CopyDone, CopyFailed, CopyProgress

        match self._seen.get(host.name):
            case CopyProgress() as event:
                speed = f"  {size(round(event.rate))}/s" if event.rate else ""
                share = 100 * event.done // event.total if event.total else 100
                return line(f"{bar(event.done, event.total)} {share:>3} %  {event.state}{speed}")
            case CopyDone() as event:
                sent = f"{size(event.sent)} sent" if event.sent else "nothing had to be sent"
                return toned(f"✓ there and right, {sent}", "good")
            case CopyFailed() as event:
                return problem(ModelyardError(event.message, cause=event.cause, remedy=event.remedy), room)
            case _:
                place = self._outgoing.place if self._outgoing else ""
                return toned(posixpath.join(host.models_dir, place) if host.models_dir else "no models folder", "dim")


def _is_done(event: CopyEvent) -> bool:
    from core.downloads.copy_events import CopyDone

    return isinstance(event, CopyDone)
