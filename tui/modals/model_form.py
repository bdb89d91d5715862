"""Add or edit a model (P4, P5, R1 to R3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on

from core.registry.forms import MODEL_FIELDS, FieldSpec, check_together
from core.registry.naming import readable_id, served_name
from core.registry.values import LOCAL_HOST
from tui import operations
from tui.modals.model_picker import PicksInstalled
from tui.modals.record_form import RecordForm
from tui.show import named
from tui.widgets.fields import Field
from tui.widgets.plain import TextField

if TYPE_CHECKING:
    from core.app import Modelyard
    from tui.modals.model_picker import Picked

_TOGETHER = ("endpoint", "local_inference")
_PATH = "model_path"  # has a field of its own


class ModelForm(RecordForm, PicksInstalled[str | None]):
    """The id of the saved model, or None."""

    HEADING = "Model"
    KIND = "model"
    KEYS = ("form", "installed_files")
    SPECS = MODEL_FIELDS
    SECTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": ("name", "provider", "model_id"),
        "Files": ("path", "host"),
        "Answers": (
            *("context_length", "max_output_tokens", "default_temperature", "default_top_p"),
            *("supports_streaming", "supports_tools", "supports_vision"),
        ),
        "Way in": ("endpoint", "api_key_ref", "region", "head", "local_inference", "served_name", "task"),
        "Notes": ("tags", "flags", "extra"),
    }
    AUTO_FOCUS = "#field-name TextField"

    def __init__(self, yard: Modelyard, record: object | None = None) -> None:
        super().__init__(yard, record)
        self._filled: dict[str, str | bool] = {}  # by the last pick

    def first(self, spec: FieldSpec) -> Any:  # noqa: ANN401 - the value of any kind of field
        value = super().first(spec)
        if spec.name == "extra":
            return {name: inner for name, inner in (value or {}).items() if name != _PATH}
        return value

    @on(TextField.Changed, "#field-name TextField")
    def name_changed(self) -> None:
        """What clients will send, unless something else is typed there."""
        name = str(self._of("name").value)
        control = self._of("served_name").control
        if isinstance(control, TextField):
            control.placeholder = served_name(name) if name else ""

    def host_of_files(self) -> str:
        return str(self._of("host").value or LOCAL_HOST)

    async def take_installed(self, picked: Picked) -> None:
        from tui.modals.installed_form import form_values

        reading = form_values(self.yard, picked.model, host=picked.host)
        values = await operations.asked(self.app, reading, f"Reading headers on {named(picked.host)}…")
        if values is not None:
            self._take_over(values)

    def _take_over(self, values: Mapping[str, Any]) -> None:
        """The place always; the rest of a new model where nothing was said yet but by a pick before."""
        for name, value in values.items():
            field = self._of(name)
            unsaid = not field.touched or field.raw == self._filled.get(name)
            if name in {"path", "host"} or (self.record is None and unsaid):
                field.put(str(value))
                field.complain("")
                self._filled[name] = field.raw
        self._of("path").control.focus()

    def left(self, field: Field) -> None:
        """A path tells the model's id where none is typed yet."""
        super().left(field)
        if field.key == "local_inference":
            super().left(self._of("endpoint"))
        model_id = self._of("model_id")
        if field.key == "path" and field.value and model_id.value == "":
            model_id.put(readable_id(path=str(field.value)))
            model_id.complain("")

    def _problem(self, field: Field) -> str:
        problem = super()._problem(field)
        if problem or field.key != "endpoint":
            return problem
        return check_together({name: self._of(name).value for name in _TOGETHER}).get(field.key, "")

    def _of(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    async def write(self, values: dict[str, Any]) -> str:
        if self.record_id is None:
            return (await self.yard.registry.add_model(values)).id
        return (await self.yard.registry.edit_model(self.record_id, values)).id
