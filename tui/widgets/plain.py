"""Widgets that never parse markup and never pass control characters on."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.reactive import Reactive
from textual.visual import VisualType
from textual.widgets import Input, Static

from core.text import clean_block, clean_line

_FOR_LISTS = ("scroll_", "page_")  # nothing scrolls in a field of one line


class Plain(Static):
    """Text, shown literally; drawn again only when it changed."""

    def __init__(self, text: Content | str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        self._shown = _content(text)
        super().__init__(self._shown, id=id, classes=classes, markup=False)

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return self._shown.plain

    def show(self, text: Content | str) -> None:
        """Show something else."""
        content = _content(text)
        if not content.is_same(self._shown):
            self._shown = content
            self.update(content)


class Flow(Plain):
    """Text that is laid out for the width it has: `make` is asked again when that changes."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._make: Callable[[int], Content] = lambda _: Content()
        self._room = 0
        self._lines = 0  # 0: not known

    def flow(self, make: Callable[[int], Content]) -> None:
        """Show what `make` gives for the width in cells."""
        self._make = make
        if self._room:
            self.show(make(self._room))

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """The screen is laid out again only for another number of lines."""
        before, self._lines = self._lines, _count_lines(self._shown.plain, self._room)
        super().update(content, layout=layout and (not self._lines or self._lines != before))

    def on_resize(self, event: events.Resize) -> None:
        """Lay out again for another width."""
        if event.size.width != self._room:
            self._room = event.size.width
            self.show(self._make(self._room))


def _count_lines(text: str, room: int) -> int:
    """How many lines of at most `room` cells it has; 0 when one is longer and will be wrapped."""
    lines = text.split("\n")
    return 0 if max(map(cell_len, lines)) > room else len(lines)


def _content(text: Content | str) -> Content:
    return text if isinstance(text, Content) else Content(clean_block(text))


class TextField(Input):
    """One line of input: no border, no blinking (a blinking cursor sends bytes all day), pasted text is cleaned."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))  # a field's place is fixed: no layout for each letter

    def __init__(
        self,
        value: str = "",
        *,
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 - Textual's name
        password: bool = False,
    ) -> None:
        super().__init__(clean_line(value), placeholder=placeholder, id=id, compact=True, password=password)
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        """Each key in its turn: Textual lets letters overtake what moves or deletes, when keys come in one go."""
        own = self._bindings.key_to_bindings.get(event.key)
        if own and not event.is_printable and not own[0].action.startswith(_FOR_LISTS):
            event.stop()
            event.prevent_default()
            await self.run_action(own[0].action)

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.text = clean_line(event.text.strip())
        super()._on_paste(event)
