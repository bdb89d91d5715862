"""The form of a record (P4, P5): errors beside the field as one leaves it, and nothing is lost when it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Input, Select, TextArea

from core.errors import InvalidInput
from core.registry.checks import json_text
from core.registry.forms import FieldSpec, check_field
from tui.drafts import Drafts, forget_gone
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.show import moment
from tui.widgets.fields import Choice, Control, Field, Toggle, words_text
from tui.widgets.json_area import JsonArea
from tui.widgets.picker import Load, Picker
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.app import Modelyard

_DRAFT_PAUSE_S = 0.3
_KINDS = {"int", "float", "list", "object"}
_LEAVE = [
    ("Keep editing", "stay"),
    ("Close; keep it as a draft", "keep"),
    ("Discard what you changed", "discard"),
]


class Drafting(Dialog[str | None]):
    """A form that begins with the draft of last time; its key starts afresh."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("draft")]

    def action_afresh(self) -> None:
        """Without the draft."""
        raise NotImplementedError


class RecordForm(Drafting):
    """The id of the saved record, or None; `record` None adds one."""

    KIND: ClassVar[str] = ""
    SPECS: ClassVar[Mapping[str, FieldSpec]] = {}
    SECTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    NAMING: ClassVar[frozenset[str]] = frozenset({"name", "region", "head"})  # asked of the registry when left
    CSS_PATH: ClassVar = ["dialog.tcss", "record_form.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, yard: Modelyard, record: object | None = None) -> None:
        super().__init__()
        self.yard = yard
        self.record = record
        self._drafts = Drafts(yard.settings.data_dir / "drafts")
        self._pause: Timer | None = None
        self._busy = False
        self._done = False
        self._file = asyncio.Lock()

    @property
    def record_id(self) -> str | None:
        """Of the record that is edited."""
        return None if self.record is None else str(getattr(self.record, "id", ""))

    @property
    def _draft_name(self) -> str:
        return f"{self.KIND}-{self.record_id or 'new'}"

    # What stands in it

    def body(self) -> Iterable[Widget]:
        yield Plain(f"{'Edit the' if self.record else 'Add a'} {self.KIND}", classes="lead", id="form-title")
        yield Plain("* must be filled in. Nothing is written before you save.", classes="muted", id="form-note")
        with VerticalScroll(classes="fields", can_focus=False):
            for title, names in self.SECTIONS.items():
                if title:
                    yield Plain(title, classes="section")
                for name in names:
                    yield self._field(self.SPECS[name])
        yield Plain(id="form-help", classes="muted")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Save", "save")

    def _field(self, spec: FieldSpec) -> Field:
        label = f"{spec.label}{' *' if spec.required else ''}"
        kind = spec.kind if spec.kind in _KINDS else "text"
        return Field(spec.name, label, self._control(spec, self.first(spec)), kind=kind, hint=short_hint(spec))

    def first(self, spec: FieldSpec) -> Any:  # noqa: ANN401 - the value of any kind of field
        """What a field begins with."""
        return spec.default if self.record is None else getattr(self.record, spec.name)

    def _control(self, spec: FieldSpec, value: Any) -> Control:  # noqa: ANN401 - the same
        if spec.kind == "bool":
            return Toggle(bool(value))
        if spec.kind == "choice":
            return Choice([(choice, choice) for choice in spec.choices], str(value or "local"))
        if spec.kind == "object":
            return JsonArea(json_text(value or {}))
        if spec.kind == "list":
            return TextField(words_text(value or ()))
        if (load := self.options(spec.kind)) is not None:
            return self.picker(spec, load, str(value or ""))
        return TextField("" if value is None else str(value))

    def options(self, kind: str) -> Load | None:
        """Where a field of this kind takes its options from; None: it is typed."""
        from tui.modals.options import loader

        return loader(self.yard, kind)

    def picker(self, spec: FieldSpec, load: Load, value: str) -> Picker:
        """Keys and hosts may have names that are not there yet."""
        free = partial(check_field, spec) if spec.kind in {"key", "host"} else None
        make = ("Store a new key…", self._new_key) if spec.kind == "key" else None
        may_be_none = not spec.required and spec.kind != "host"
        return Picker(spec.label, load, value, may_be_none=may_be_none, free=free, make=make)

    async def _new_key(self) -> str | None:
        from tui.modals.options import new_key

        return await new_key(self.app, self.yard)

    @property
    def fields(self) -> list[Field]:
        """In order."""
        return list(self.query(Field))

    async def on_mount(self) -> None:
        """Names for what is picked already, and the draft of last time."""
        self.introduce()
        for picker in self.query(Picker):
            if picker.value:
                self.modelyard.guard(picker.name_value(), group="labels")
        draft = await asyncio.to_thread(self._drafts.read, self._draft_name)
        if draft is not None:
            self._fill({field.key: draft.values[field.key] for field in self.fields if field.key in draft.values})
            self.query_one("#form-note", Plain).show(
                f"Your draft of {moment(draft.at)}, not saved yet. ctrl+n starts afresh."
            )
        self.modelyard.guard(forget_gone(self._drafts, self.yard.registry), group="old-drafts")

    def introduce(self) -> None:
        """What stands above the fields at first, and which has the focus."""

    def _fill(self, values: Mapping[str, str | bool]) -> None:
        for field in self.fields:
            if field.key in values:
                field.put(values[field.key])

    def action_afresh(self) -> None:
        """As the form was before anything was typed."""
        for field in self.fields:
            field.put(field.first)
            field.complain("")
        self.query_one("#form-note", Plain).show("As it was. Nothing is written before you save.")

    # Values

    @property
    def changed(self) -> list[Field]:
        """The fields that are not as they were."""
        return [field for field in self.fields if field.touched]

    def values(self) -> dict[str, Any]:
        """What is to be written: of a new record what is filled in, of an edited one what is another."""
        if self.record is None:
            filled = {field.key: field.value for field in self.fields}
            return {name: value for name, value in filled.items() if value != "" or self.SPECS[name].required}
        changed = {field.key: field.value for field in self.changed}
        return {name: value for name, value in changed.items() if value != self.first(self.SPECS[name])}

    # Checks

    @on(Input.Changed)
    @on(Toggle.Changed)
    @on(Select.Changed)
    @on(Picker.Changed)
    @on(TextArea.Changed)
    def edited(self) -> None:
        """A field that is marked as wrong is checked again while it is corrected; what is typed is kept soon."""
        for field in self.fields:
            if field.has_class("-wrong"):
                field.complain(self._problem(field))
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_DRAFT_PAUSE_S, self._keep_soon)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Below the fields: what may stand in this one."""
        field = event.widget.parent
        if isinstance(field, Field):
            spec = self.SPECS[field.key]
            self.query_one("#form-help", Plain).show(f"{spec.label}: {spec.sentence}")

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """A field that is left is checked."""
        field = event.widget.parent
        if isinstance(field, Field) and self.is_current:
            self.left(field)

    def left(self, field: Field) -> None:
        """Check what can be checked at once, then ask the registry about names."""
        problem = self._problem(field)
        field.complain(problem)
        if not problem and field.key in self.NAMING and field.touched:
            self.modelyard.guard(self._ask(field), group=f"ask-{field.key}")

    async def _ask(self, field: Field) -> None:
        asked = field.value
        problems = await self.yard.registry.check_form(self.KIND, {field.key: asked}, editing=self.record_id)
        if field.is_mounted and field.value == asked:
            field.complain(problems.get(field.key, ""))

    def _problem(self, field: Field) -> str:
        spec = self.SPECS[field.key]
        if not str(field.raw).strip() and not spec.required and (self.record is None or not field.touched):
            return ""
        if self.record is not None and not field.touched:
            return ""
        return field.fault or check_field(spec, field.value)

    # Saving

    @on(Input.Submitted)
    def next_field(self) -> None:
        """Enter goes to the next field."""
        self.focus_next()

    @on(Button.Pressed, "#button-save")
    def action_submit(self) -> None:
        """Check, then save."""
        problems = {field.key: self._problem(field) for field in self.fields}
        self.complain({name: problem for name, problem in problems.items() if problem})
        if not any(problems.values()) and not self._busy:
            self._busy = True
            self.modelyard.guard(self._save())

    async def _save(self) -> None:
        try:
            values = self.values()
            saved = await self.write(values) if values or self.record is None else self.record_id
        except InvalidInput as error:
            self.complain(error.fields)
        else:
            await self._close(saved)
        finally:
            self._busy = False

    async def write(self, values: dict[str, Any]) -> str:
        """Add or edit the record; its id.

        Raises:
            InvalidInput: messages by field.
        """
        raise NotImplementedError

    def complain(self, problems: Mapping[str, str]) -> None:
        """Beside the fields; the first that is wrong gets the focus."""
        fields = self.fields
        for field in fields:
            field.complain(problems.get(field.key, ""))
        wrong = [field for field in fields if field.key in problems]
        if wrong:
            wrong[0].control.focus()
        elif problems:
            self.modelyard.toast("; ".join(f"{name}: {text}" for name, text in problems.items()), tone="error")

    # Leaving

    @on(Button.Pressed, "#button-cancel")
    def action_cancel(self) -> None:
        """Close; a form that was changed asks first."""
        if not self.changed:
            self.modelyard.guard(self._close(None))
        elif not self._busy:
            self.modelyard.guard(self._leave(), hold=True)

    async def _leave(self) -> None:
        from tui.modals.pick import PickDialog

        picked = await self.app.push_screen_wait(PickDialog("Leave without saving?", _LEAVE))
        if picked == "keep":
            await self._keep()
            self._done = True
            self.dismiss(None)
        elif picked == "discard":
            await self._close(None)

    async def _close(self, result: str | None) -> None:
        """For good: the draft goes, too."""
        self._done = True
        async with self._file:
            await asyncio.to_thread(self._drafts.remove, self._draft_name)
        self.dismiss(result)

    def _keep_soon(self) -> None:
        if not self._done:
            self.modelyard.guard(self._keep(), group="draft")

    async def _keep(self) -> None:
        values = {field.key: field.raw for field in self.changed}
        with suppress(OSError):  # a full or read-only disk costs the draft, never the form
            async with self._file:
                if not self._done:
                    await asyncio.to_thread(self._drafts.write, self._draft_name, values)


def short_hint(spec: FieldSpec) -> str:
    """What stands beside a field: the range and the default, else what it is."""
    if spec.range:
        return f"{spec.range}; default {spec.default:g}"
    if spec.kind == "host":
        return f"{spec.help}; default {spec.default}"
    return spec.help
