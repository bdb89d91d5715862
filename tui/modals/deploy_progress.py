"""A deploy under way: its phases with their times, and the last lines that the engine wrote."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.worker import Worker

from core.errors import ModelyardError
from core.events import Event, LogLine, Progress, ServerChanged
from core.registry.values import ServerStatus
from tui.operations import closing, finish
from tui.show import NO_SERVER, STATUS_MARKS, hanging, line, problem, size, toned
from tui.widgets.line_view import LineView
from tui.widgets.plain import Flow, Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.deploy.values import Plan
    from tui.app import ModelyardApp


Lay = Callable[[int], Content]


class ProgressPane(Vertical):
    """Follows `deploy` of the core; leaving it lets the server come up by itself."""

    class Ended(Message):
        """It runs, or it does not."""

        def __init__(self, *, running: bool) -> None:
            super().__init__()
            self.running = running

    def __init__(self, yard: Modelyard) -> None:
        super().__init__()
        self._yard = yard
        self._plan: Plan | None = None
        self._server_id = ""
        self._began = 0.0
        self._phases: list[tuple[float, Lay]] = []
        self._now = Content()
        self._work: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield Flow(id="phases")
        with Horizontal(id="now"):
            yield Spinner()
            yield Plain(id="now-text")
        yield LineView(id="lines")

    def on_mount(self) -> None:
        self.query_one("#now").styles.height = 1

    @property
    def busy(self) -> bool:
        """Whether the server is still coming up."""
        return self._work is not None and self._work.is_running

    async def follow(self, plan: Plan) -> None:
        """Deploy, and show what happens until it runs or fails."""
        self._plan, self._began, self._phases = plan, monotonic(), []
        self.query_one(LineView).clear()
        self.query_one(Flow).flow(lambda _: Content())
        self._say_now("Beginning…")
        self.query_one(Spinner).start()
        self._work = cast("ModelyardApp", self.app).guard(self._deploy(plan), group="deploy")

    async def _deploy(self, plan: Plan) -> None:
        running = False
        try:
            async with closing(self._yard.deploys.deploy(plan, confirmed=True)) as events:
                async for event in events:
                    self._take(event)
                    running = running or (isinstance(event, ServerChanged) and event.after == ServerStatus.RUNNING)
        except ModelyardError as error:
            failed = error
            self._add(lambda room: problem(failed, room))
        self._end(running=running)

    def _end(self, *, running: bool) -> None:
        if not self.is_mounted:
            return
        self.query_one(Spinner).stop()
        self._say_now("")
        if running and self._plan is not None:
            self._add(Content.assemble("Answers at ", (f"{self._plan.url}/v1/chat/completions", "bold $text-success")))
        self.post_message(self.Ended(running=running))

    def _take(self, event: Event) -> None:
        match event:
            case ServerChanged():
                self._server_id = event.server_id
                mark = STATUS_MARKS.get(ServerStatus(event.after), NO_SERVER)
                detail = f": {event.detail}" if event.detail else ""
                self._add(toned(mark.text, mark.tone) + line(detail))
            case Progress():
                self._say_now(_progress(event))
            case LogLine():
                self.query_one(LineView).write([event.line])

    def _add(self, lay: Lay | Content) -> None:
        made: Lay = (lambda _: lay) if isinstance(lay, Content) else lay
        self._phases.append((monotonic() - self._began, made))
        self.query_one(Flow).flow(self._lay_phases)

    def _lay_phases(self, room: int) -> Content:
        heads = [Content.styled(f"{seconds:6.1f} s  ", "$quiet") for seconds, _ in self._phases]
        width = room - max((head.cell_length for head in heads), default=0)
        lines = [hanging(head, lay(width), room) for head, (_, lay) in zip(heads, self._phases, strict=True)]
        return Content("\n").join(lines)

    def _say_now(self, text: str) -> None:
        self.query_one("#now-text", Plain).show(line(text))

    def leave(self) -> None:
        """Stop following; the server goes on."""
        if self._work is not None:
            self._work.cancel()

    async def stop(self) -> None:
        """Stop following, and stop the server."""
        self.leave()
        self._say_now("Stopping…")
        if self._server_id:
            await finish(self._yard.deploys.stop(self._server_id))
        self._add(toned(STATUS_MARKS[ServerStatus.STOPPED].text, "dim"))
        self._end(running=False)


def _progress(event: Progress) -> str:
    if event.unit == "bytes" and event.total:
        return f"{event.text}  {size(event.done)} of {size(event.total)}"
    if event.total:
        return f"{event.text}  {100 * event.done // event.total}%"
    return event.text
