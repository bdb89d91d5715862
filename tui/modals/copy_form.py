"""Make a global model mine (P7): the form of a new model, begun with everything the catalog knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.catalog.copying import personal_values
from core.registry.forms import FieldSpec
from core.registry.values import DEPLOYABLE
from tui.modals.model_form import ModelForm
from tui.widgets.fields import Field
from tui.widgets.plain import Plain

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.registry.records import Model


class CopyForm(ModelForm):
    """The id of the personal copy, or None."""

    HEADING = "Make it mine"

    def __init__(self, yard: Modelyard, source: Model) -> None:
        super().__init__(yard)
        self._source = source
        self._copied = {**personal_values(source), "name": source.name}

    @property
    def _draft_name(self) -> str:
        return f"{self.KIND}-copy-{self._source.id}"

    def first(self, spec: FieldSpec) -> Any:  # noqa: ANN401 - the value of any kind of field
        return self._copied.get(spec.name, super().first(spec))

    def introduce(self) -> None:
        """What is still to be said comes first: where the files lie, of a model that is to be deployed."""
        note = "A copy of your own; the global model stays as it is."
        if self._source.provider in DEPLOYABLE:
            note += " To deploy it, say where its files lie."
            self.query_one("#field-path", Field).control.focus()
        self.query_one("#form-title", Plain).show(f"Make {self._source.name} yours")
        self.query_one("#form-note", Plain).show(note)
