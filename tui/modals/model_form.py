"""Add or edit a model (P4, P5): what is wrong stands beside the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from core.errors import InvalidInput
from core.registry.forms import MODEL_FIELDS, FieldSpec, check_field
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.widgets.fields import Choice, Control, Field, Toggle
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.registry.records import Model
    from core.registry.store import Registry

_SHOWN = (
    "name",
    "provider",
    "model_id",
    "path",
    "host",
    "context_length",
    "max_output_tokens",
    "default_temperature",
    "default_top_p",
    "supports_streaming",
    "supports_tools",
    "supports_vision",
    "endpoint",
    "api_key_ref",
    "served_name",
    "task",
)


class ModelForm(Dialog[str | None]):
    """The id of the saved model, or None."""

    HEADING = "Model"
    CSS_PATH: ClassVar = ["dialog.tcss", "model_form.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]
    AUTO_FOCUS = "#field-name TextField"

    def __init__(self, registry: Registry, hosts: list[str], model: Model | None = None) -> None:
        super().__init__()
        self._registry = registry
        self._hosts = hosts
        self._model = model
        self._saving = False

    def body(self) -> Iterable[Widget]:
        yield Plain("Edit the model" if self._model else "Add a model", classes="lead", id="form-title")
        yield Plain("* must be filled in. Changes are written when you save.", classes="muted")
        with VerticalScroll(classes="fields", can_focus=False):
            for name in _SHOWN:
                yield self._field(MODEL_FIELDS[name])
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Save", "save")

    def _field(self, spec: FieldSpec) -> Field:
        value = getattr(self._model, spec.name) if self._model else spec.default
        label = f"{spec.label}{' *' if spec.required else ''}"
        kind = spec.kind if spec.kind in {"int", "float"} else "text"
        return Field(spec.name, label, self._control(spec, value), kind=kind, hint=_hint(spec))

    def _control(self, spec: FieldSpec, value: object) -> Control:
        if spec.kind == "bool":
            return Toggle(bool(value))
        if spec.kind == "choice":
            return Choice([(choice, choice) for choice in spec.choices], str(value or "local"))
        if spec.name == "host":
            return Choice([(host, host) for host in self._hosts or ["local"]], str(value))
        return TextField("" if value is None else str(value))

    # Values

    def values(self) -> dict[str, Any]:
        """What is filled in; empty optional fields of a new model are left to their defaults."""
        filled = {field.key: field.value for field in self.query(Field)}
        if self._model is None:
            return {name: value for name, value in filled.items() if value != "" or MODEL_FIELDS[name].required}
        return {name: value for name, value in filled.items() if value != getattr(self._model, name)}

    @on(Input.Changed)
    @on(Toggle.Changed)
    @on(Select.Changed)
    def changed(self) -> None:
        """A field that is marked as wrong is checked again while it is corrected."""
        for field in self.query(Field):
            if field.has_class("-wrong"):
                field.complain(self._problem(field))

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """A field that is left is checked, unless it is still empty."""
        field = event.widget.parent
        if isinstance(field, Field) and field.value != "":
            field.complain(self._problem(field))

    def _problem(self, field: Field) -> str:
        spec = MODEL_FIELDS[field.key]
        if field.value == "" and not spec.required and self._model is None:
            return ""
        return check_field(spec, field.value)

    # Saving

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Input.Submitted)
    def next_field(self) -> None:
        """Enter goes to the next field."""
        self.focus_next()

    @on(Button.Pressed, "#button-save")
    def action_submit(self) -> None:
        """Check, then save."""
        problems = {field.key: self._problem(field) for field in self.query(Field)}
        self._complain({name: problem for name, problem in problems.items() if problem})
        if not any(problems.values()) and not self._saving:
            self._saving = True
            self.modelyard.guard(self._save())

    async def _save(self) -> None:
        try:
            values = self.values()
            if self._model is None:
                saved = (await self._registry.add_model(values)).id
            else:
                saved = self._model.id
                if values:
                    await self._registry.edit_model(saved, values)
        except InvalidInput as error:
            self._complain(error.fields)
        else:
            self.dismiss(saved)
        finally:
            self._saving = False

    def _complain(self, problems: Mapping[str, str]) -> None:
        fields = list(self.query(Field))
        for field in fields:
            field.complain(problems.get(field.key, ""))
        wrong = [field for field in fields if field.key in problems]
        if wrong:
            wrong[0].control.focus()
        elif problems:
            self.modelyard.toast("; ".join(f"{name}: {text}" for name, text in problems.items()), tone="error")


def _hint(spec: FieldSpec) -> str:
    if spec.low is not None and spec.high is not None and spec.kind == "float":
        return f"{spec.low:g} to {spec.high:g}"
    return spec.help
