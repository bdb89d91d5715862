"""A small editor for JSON: Tab leaves it, nothing in it blinks, and pasted text is cleaned."""

from __future__ import annotations

from textual import events
from textual.widgets import TextArea

from core.text import clean_block


class JsonArea(TextArea):
    """Several lines of text; `value` is all of it."""

    def __init__(self, value: str = "") -> None:
        super().__init__(value, compact=True, tab_behavior="focus")
        self.cursor_blink = False
        self.show_line_numbers = False

    @property
    def value(self) -> str:
        """What stands there."""
        return self.text

    @value.setter
    def value(self, text: str) -> None:
        self.text = text

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.text = clean_block(event.text)
        await super()._on_paste(event)
