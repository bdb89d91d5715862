"""A line of a form: label, control, and beside it a hint or what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Select

from core.text import clean_line
from tui.widgets.plain import Plain, TextField


class Toggle(Widget, can_focus=True):
    """Yes or no, told by a mark and a word, never by colour alone."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "flip", "Change", show=False)]
    value: reactive[bool] = reactive(False)

    class Changed(Message):
        """The value is another."""

    def __init__(self, value: bool = False, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.set_reactive(Toggle.value, value)

    def render(self) -> Content:
        return Content("[x] yes" if self.value else "[ ] no ")

    def action_flip(self) -> None:
        """Yes becomes no."""
        self.value = not self.value
        self.post_message(self.Changed())

    def on_click(self) -> None:
        self.action_flip()


class Choice(Select[str]):
    """One of a few values; `labels` may hold text from outside."""

    def __init__(self, options: Sequence[tuple[str, str]], value: str, *, id: str | None = None) -> None:  # noqa: A002
        shown = [(Content(clean_line(label)), key) for label, key in options]
        known = {key for _, key in options}
        chosen = value if value in known else options[0][1]
        super().__init__(shown, value=chosen, allow_blank=False, compact=True, id=id)


Control = TextField | Toggle | Choice
Value = str | int | float | bool


class Field(Horizontal):
    """Label, control and note; `kind` tells how the text becomes a value: "text", "int" or "float"."""

    def __init__(self, name: str, label: str, control: Control, *, kind: str = "text", hint: str = "") -> None:
        super().__init__(id=f"field-{name}", classes="field")
        self.key = name
        self.control = control
        self._label = label
        self._kind = kind
        self._hint = hint

    def compose(self) -> ComposeResult:
        yield Plain(self._label, classes="label")
        yield self.control
        yield Plain(self._hint, classes="note")

    def on_descendant_focus(self) -> None:
        """The label tells where one is."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Elsewhere now."""
        self.remove_class("-focused")

    @property
    def value(self) -> Value:
        """The value in its kind; text that is no number stays text, so that the rules can say so."""
        raw = self.control.value
        if isinstance(raw, bool):
            return raw
        return _number(raw.strip(), self._kind) if isinstance(raw, str) else ""

    @property
    def problem(self) -> str:
        """What stands there as wrong, or ""."""
        return self.query_one(".note", Plain).text if self.has_class("-wrong") else ""

    def complain(self, problem: str) -> None:
        """Say what is wrong beside the field; "" brings the hint back."""
        self.set_class(bool(problem), "-wrong")
        self.query_one(".note", Plain).show(f"✗ {problem}" if problem else self._hint)


def _number(text: str, kind: str) -> Value:
    if kind == "text" or not text:
        return text
    try:
        return int(text.replace(",", "").replace("_", "")) if kind == "int" else float(text)
    except ValueError:
        return text
