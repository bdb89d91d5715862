"""A line of a form: label, control, and beside it a hint or what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Select

from core.registry.checks import JsonFault, read_object
from core.text import clean_line
from tui.widgets.json_area import JsonArea
from tui.widgets.picker import Picker
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
        self._known = known
        self.begun = value if value in known else options[0][1]  # the value itself is set when it is mounted
        super().__init__(shown, value=self.begun, allow_blank=False, compact=True, id=id)

    def put(self, value: str) -> None:
        """Choose this one, where it is among the options."""
        if value in self._known:
            self.value = value


Control = TextField | Toggle | Choice | Picker | JsonArea
Value = Any


class Field(Horizontal):
    """Label, control and note; `kind` tells how the text becomes a value: "text", "int", "float", "list", "object"."""

    def __init__(self, name: str, label: str, control: Control, *, kind: str = "text", hint: str = "") -> None:
        tall = " tall" if isinstance(control, JsonArea) else ""
        super().__init__(id=f"field-{name}", classes=f"field{tall}")
        self.key = name
        self.control = control
        self.label = label
        self._kind = kind
        self._hint = hint
        self._first = control.begun if isinstance(control, Choice) else control.value

    def compose(self) -> ComposeResult:
        yield Plain(self.label, classes="label")
        yield self.control
        yield Plain(self._hint, classes="note")

    def on_descendant_focus(self) -> None:
        """The label tells where one is."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Elsewhere now."""
        self.remove_class("-focused")

    @property
    def raw(self) -> str | bool:
        """What stands in the control."""
        raw = self.control.value
        return raw if isinstance(raw, str | bool) else ""

    @property
    def touched(self) -> bool:
        """Whether it is another than when the form was opened."""
        return self.raw != self.first

    @property
    def first(self) -> str | bool:
        """What stood in the control when the form was opened."""
        return self._first if isinstance(self._first, str | bool) else ""

    @property
    def value(self) -> Value:
        """The value in its kind; text that is not of this kind stays text, so that the rules can say so."""
        raw = self.raw
        return raw if isinstance(raw, bool) else _value(raw, self._kind)

    @property
    def fault(self) -> str:
        """Why the text can't become a value at all; of JSON, with the place."""
        raw = self.raw
        if self._kind != "object" or isinstance(raw, bool):
            return ""
        try:
            read_object(raw)
        except JsonFault as fault:
            return str(fault)
        return ""

    @property
    def problem(self) -> str:
        """What stands there as wrong, or ""."""
        return self.query_one(".note", Plain).text if self.has_class("-wrong") else ""

    def put(self, raw: str | bool) -> None:
        """Fill it in as if it had been typed."""
        control = self.control
        if isinstance(control, Toggle):
            control.value = bool(raw)
        elif isinstance(control, Picker | Choice):
            control.put(str(raw))
        elif isinstance(raw, str):
            control.value = raw

    def complain(self, problem: str) -> None:
        """Say what is wrong beside the field; "" brings the hint back."""
        self.set_class(bool(problem), "-wrong")
        self.query_one(".note", Plain).show(f"✗ {problem}" if problem else self._hint)

    def hint(self, hint: str) -> None:
        """Another hint."""
        self._hint = hint
        if not self.has_class("-wrong"):
            self.query_one(".note", Plain).show(hint)


def _value(raw: str, kind: str) -> Value:
    if kind == "object":
        try:
            return read_object(raw)
        except JsonFault:
            return raw
    text = raw.strip()
    if kind == "list":
        return read_words(text)
    return _number(text, kind)


def _number(text: str, kind: str) -> Value:
    if kind == "text" or not text:
        return text
    try:
        return int(text.replace(",", "").replace("_", "")) if kind == "int" else float(text)
    except ValueError:
        return text


def words_text(words: Sequence[str]) -> str:
    """Words as they are typed: with commas between, or as a JSON list where that would change one of them."""
    text = ", ".join(words)
    return text if read_words(text) == list(words) and clean_line(text) == text else json.dumps(list(words))


def read_words(text: str) -> list[Any]:
    """The words of such a text."""
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except (ValueError, TypeError):
            pass
    return [word.strip() for word in text.split(",") if word.strip()]
