"""The details of the selected line, beside the list or below it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from tui.widgets.plain import Flow


class Card(VerticalScroll, can_focus=True):
    """Text in sections; drawn again only when it changed."""

    def compose(self) -> ComposeResult:
        yield Flow(id="card-text")

    def flow(self, make: Callable[[int], Content]) -> None:
        """Show what `make` gives for the width of the card."""
        self.query_one(Flow).flow(make)

    @property
    def text(self) -> str:
        """What is shown."""
        return self.query_one(Flow).text
