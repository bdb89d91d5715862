"""The details of the selected line, beside the list or below it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from tui.widgets.plain import Plain


class Card(VerticalScroll, can_focus=True):
    """Text in sections; drawn again only when it changed."""

    def compose(self) -> ComposeResult:
        yield Plain(id="card-text")

    def show(self, text: Content) -> None:
        """Show this."""
        self.query_one("#card-text", Plain).show(text)

    @property
    def text(self) -> str:
        """What is shown."""
        return self.query_one("#card-text", Plain).text
