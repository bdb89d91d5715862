"""A host is asked something that an action waits for: said once it takes a moment, and Escape gives up waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual.containers import Horizontal
from textual.widget import Widget

from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.widgets.plain import Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType

T = TypeVar("T")


class AskingDialog(Dialog[bool | None], Generic[T]):
    """True when the answer is there; None when the user doesn't wait for it."""

    HEADING = "A moment"
    KEYS = ("read",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("read")]
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]

    def __init__(self, task: asyncio.Future[T], what: str) -> None:
        super().__init__()
        self._work = task
        self._what = what

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="now"):
            yield Spinner()
            yield Plain(clean_line(self._what), id="now-text")

    def on_mount(self) -> None:
        self.query_one(Spinner).start()
        self.run_worker(self._wait(), group="there", exit_on_error=True)

    async def _wait(self) -> None:
        await asyncio.wait([self._work])
        self._close()

    def on_screen_resume(self) -> None:
        """The answer may have come while something lay over the dialog."""
        self._close()

    def _close(self) -> None:
        if self._work.done() and self.is_current:
            self.dismiss(True)
