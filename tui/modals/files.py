"""Work on the models folder that takes a while: taking up what was carried in (D7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from core.events import Progress
from core.registry.values import LOCAL_HOST
from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.operations import closing
from tui.screens.download_cards import share
from tui.show import line, plural, problem, size, toned
from tui.widgets.plain import Flow, Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.files.model_files import ModelFiles

ResultT = TypeVar("ResultT")


class FilesDialog(Dialog[ResultT | None], Generic[ResultT]):
    """Begins at once; closing it stops the work."""

    KEYS = ("read",)
    AUTO_FOCUS = "#result"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("read")]
    LEAD: ClassVar[str] = ""

    def __init__(self, lead: str) -> None:
        super().__init__()
        self._lead = lead
        self._result: ResultT | None = None

    def body(self) -> Iterable[Widget]:
        yield Plain(line(self._lead), classes="lead")
        with Horizontal(id="now"):
            yield Spinner()
            yield Plain("Beginning…", id="now-text")
        with VerticalScroll(id="result", classes="fields"):
            yield Flow(id="found")

    def on_mount(self) -> None:
        self.query_one(Spinner).start()
        self.run_worker(self._follow(), group="files", exit_on_error=True)

    async def _follow(self) -> None:
        try:
            await self.work()
        except ModelyardError as error:
            failure = error
            self.query_one(Flow).flow(lambda room: problem(failure, room))
        finally:
            for spinner in self.query(Spinner):  # none once the dialog is closed
                spinner.stop()
        self.say("")

    async def work(self) -> None:
        """Do it, and tell."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """What goes on now."""
        self.query_one("#now-text", Plain).show(clean_line(text))

    def action_cancel(self) -> None:
        """Close; the result is what is complete."""
        self.dismiss(self._result)


class AdoptDialog(FilesDialog[int]):
    """How many files were taken up, or None when it was stopped before the end."""

    HEADING = "Take up"

    def __init__(self, files: ModelFiles, count: int, amount: int) -> None:
        where = "" if files.host == LOCAL_HOST else f", on {files.host}, which reads by itself"
        super().__init__(f"{plural(count, 'file')} not known yet, {size(amount)}{where}")
        self._files = files

    async def work(self) -> None:
        lines: list[Content] = []
        async with closing(self._files.adopt()) as events:
            async for event in events:
                if isinstance(event, Progress):
                    self.say(f"{share(event.done or 0, event.total)}  {event.text}")
                    continue
                lines.append(toned("✓ ", "good") + line(f"{event.path}, {size(event.size)}"))
                self.query_one(Flow).flow(lambda _: Content("\n").join(lines))
        self._result = len(lines)
        lines.append(Content(f"{plural(len(lines), 'file')} taken up; none was changed."))
        self.query_one(Flow).flow(lambda _: Content("\n").join(lines))
