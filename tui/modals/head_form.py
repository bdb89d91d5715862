"""Add or edit a head or a region (R1, R2, R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from core.registry.forms import HEAD_FIELDS, REGION_FIELDS, FieldSpec
from tui.modals.record_form import RecordForm
from tui.widgets.fields import Control
from tui.widgets.picker import Load
from tui.widgets.plain import TextField

if TYPE_CHECKING:
    from collections.abc import Mapping


class HeadForm(RecordForm):
    """The id of the saved head, or None."""

    HEADING = "Head"
    KIND = "head"
    SPECS = HEAD_FIELDS
    SECTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"": tuple(HEAD_FIELDS)}
    AUTO_FOCUS = "#field-name TextField"

    async def write(self, values: dict[str, Any]) -> str:
        if self.record_id is None:
            return (await self.yard.registry.add_head(values)).id
        return (await self.yard.registry.edit_head(self.record_id, values)).id


class RegionForm(RecordForm):
    """The code of the saved region, or None; a code that is there stays as it is."""

    HEADING = "Region"
    KIND = "region"
    SPECS = REGION_FIELDS
    SECTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"": tuple(REGION_FIELDS)}
    NAMING = frozenset({"id"})
    AUTO_FOCUS = "TextField:enabled"

    def options(self, kind: str) -> Load | None:
        """A code is typed."""
        return None

    def _control(self, spec: FieldSpec, value: Any) -> Control:  # noqa: ANN401 - the value of any field
        control = super()._control(spec, value)
        if spec.name == "id" and self.record is not None and isinstance(control, TextField):
            control.disabled = True
        return control

    async def write(self, values: dict[str, Any]) -> str:
        if self.record_id is None:
            return (await self.yard.registry.add_region(values)).id
        return (await self.yard.registry.edit_region(self.record_id, values)).id
