"""What a server writes: followed live, searched, saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker

from core.errors import CommandFailed
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.operations import closing
from tui.show import plural
from tui.widgets.line_view import LineView
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

_TAIL = 2000


class LogDialog(Dialog[None]):
    """Follows until it is closed."""

    HEADING = "Logs"
    KEYS = ("logs",)
    AUTO_FOCUS = "#log"
    CSS_PATH: ClassVar = ["dialog.tcss", "logs.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("logs")]

    def __init__(self, ref: str, title: str) -> None:
        super().__init__()
        self._ref = ref
        self._title = title
        self._ended = False
        self._following: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="log-top"):
            yield Plain(self._title, classes="lead", id="log-title")
            yield Plain("waiting for lines…", id="log-state")
        yield LineView(id="log")
        with Horizontal(id="log-search"):
            yield Plain("/", id="search-mark")
            yield TextField(placeholder="search in the lines", id="word")

    @property
    def view(self) -> LineView:
        """The lines."""
        return self.query_one(LineView)

    def on_mount(self) -> None:
        self._following = self.modelyard.guard(self._follow(), group="logs")

    def on_unmount(self) -> None:
        if self._following is not None:
            self._following.cancel()

    async def _follow(self) -> None:
        yard = self.modelyard.yard
        if yard is None:
            return
        async with closing(yard.deploys.logs(self._ref, tail=_TAIL, follow=True)) as lines:
            async for line in lines:
                self.view.write([line.line], "warn" if _looks_bad(line.line) else "")
                self._say()
        self._ended = True
        self._say()

    def _say(self) -> None:
        state = "ended" if self._ended else "following" if self.view.following else "paused"
        hits = f"  {self._hits()}" if self.query_one("#word", TextField).value else ""
        text = f"{plural(len(self.view.lines), 'line')}, {state}{hits}"
        self.query_one("#log-state", Plain).show(Content.styled(text, "$quiet"))

    def _hits(self) -> str:
        view = self.view
        place = f"{view.hit + 1} of " if 0 <= view.hit < len(view.hits) else ""
        return f"{place}{plural(len(view.hits), 'hit')}"

    # Actions

    def action_follow(self) -> None:
        """Follow the end, or stay here."""
        self.view.following = not self.view.following
        self.view.draw_soon()
        self._say()

    def action_search(self) -> None:
        """Type a word."""
        self.add_class("-searching")
        self.query_one("#word", TextField).focus()

    @on(Input.Changed, "#word")
    def typed(self, event: Input.Changed) -> None:
        """Mark what matches."""
        self.view.search(event.value)
        self._say()

    @on(Input.Submitted, "#word")
    def found(self) -> None:
        """Back to the lines, at the newest hit."""
        self.view.focus()
        self.action_hit(-1)

    def action_hit(self, step: int) -> None:
        """To the next or previous hit."""
        self.view.go_to_hit(step)
        self._say()

    def action_save(self) -> None:
        """Write the lines to a file of the folder one works in."""
        self.modelyard.guard(self._save())

    async def _save(self) -> None:
        path = await asyncio.to_thread(_free_name, Path.cwd(), self._ref)
        text = "".join(f"{line.text}\n" for line in self.view.lines)
        try:
            await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        except OSError as error:
            raise CommandFailed(
                f"{path} can't be written: {error.strerror}",
                remedy="Start Modelyard in a folder you may write to.",
            ) from error
        self.modelyard.toast(f"Saved {plural(len(self.view.lines), 'line')} to {path}")

    def action_cancel(self) -> None:
        """Leave the search; else close."""
        if self.query_one("#word", TextField).has_focus:
            self.view.focus()
        elif self.has_class("-searching"):
            self.query_one("#word", TextField).value = ""
            self.remove_class("-searching")
        else:
            self.dismiss(None)


def _looks_bad(line: str) -> bool:
    return any(word in line for word in ("ERROR", "Error", "error:", "Traceback", "FATAL"))


def _free_name(folder: Path, ref: str) -> Path:
    safe = "".join(char if char.isalnum() or char in "-_" else "-" for char in ref)
    names = [folder / f"modelyard-{safe}{suffix}.log" for suffix in ("", *(f"-{n}" for n in range(2, 1000)))]
    return next(path for path in names if not path.exists())
