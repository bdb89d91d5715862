"""How answers are asked for: what the model is told first, how it is sampled, what goes along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Input

from core.chat import AskOptions
from core.chat.attachments import load_image, load_tools
from core.chat.service import system_prompt
from core.errors import FileProblem
from core.providers.values import Image
from core.registry.forms import MODEL_FIELDS, check_field
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.registry.records import Model

_RULES = {"temperature": "default_temperature", "top_p": "default_top_p", "max_tokens": "max_output_tokens"}


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """The settings of a talk, and the pictures that go along with its next question."""

    options: AskOptions
    images: tuple[Image, ...] = ()


class ChatSettingsDialog(Dialog[ChatSettings | None]):
    """The changed settings, or None; they hold for this talk, the model's record stays."""

    HEADING = "Settings of this talk"
    CSS_PATH: ClassVar = ["dialog.tcss", "chat_settings.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]
    AUTO_FOCUS = "#field-system TextField"

    def __init__(self, model: Model, settings: ChatSettings) -> None:
        super().__init__()
        self._model = model
        self._settings = settings

    def body(self) -> Iterable[Widget]:
        model, asked = self._model, self._settings.options
        system = system_prompt(model) if asked.system is None else asked.system
        yield Plain("They hold for this talk; the model's record stays as it is.", classes="muted")
        with VerticalScroll(classes="fields", can_focus=False):
            prompt = TextField(system)
            prompt.select_on_focus = False  # one adds to it more often than one replaces it
            yield Field("system", "System prompt", prompt)
            yield self._number("temperature", "Temperature", asked.temperature, "0 to 2", "float")
            yield self._number("top_p", "Top-p", asked.top_p, "0 to 1", "float")
            yield self._number("max_tokens", "Max tokens", asked.max_tokens, "of one answer", "int")
            if model.supports_vision:
                waiting = f"{len(self._settings.images)} waiting" if self._settings.images else ""
                hint = waiting or "with the next question"
                yield Field("image", "Image", TextField(placeholder="path of a file"), hint=hint)
            if model.supports_tools:
                hint = f"{len(asked.tools)} given" if asked.tools else "told of, never run"
                yield Field("tools", "Tools", TextField(placeholder="path of a file"), hint=hint)
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Use", "save")

    def _number(self, name: str, label: str, value: float | None, hint: str, kind: str) -> Field:
        known = getattr(self._model, _RULES[name]) if value is None else value
        return Field(name, label, TextField(f"{known:g}" if kind == "float" else str(known)), kind=kind, hint=hint)

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
        """Check, read the files, and use them."""
        fields = {field.key: field for field in self.query(Field)}
        problems = {name: check_field(MODEL_FIELDS[rule], fields[name].value) for name, rule in _RULES.items()}
        for name, problem in problems.items():
            fields[name].complain(problem)
        wrong = [name for name, problem in problems.items() if problem]
        if wrong:
            fields[wrong[0]].control.focus()
        else:
            self.modelyard.guard(self._use(fields))

    async def _use(self, fields: dict[str, Field]) -> None:
        values = {name: field.value for name, field in fields.items()}
        asked = replace(self._settings.options, **self._changed(values))
        images = self._settings.images
        for name in ("image", "tools"):
            path = str(values.get(name, "")).strip()
            if not path:
                continue
            try:
                if name == "image":
                    images = (*images, await load_image(Path(path)))
                else:
                    asked = replace(asked, tools=await load_tools(Path(path)))
            except FileProblem as error:
                fields[name].complain(f"{error.message} {error.cause}".strip())
                fields[name].control.focus()
                return
        self.dismiss(ChatSettings(options=asked, images=images))

    def _changed(self, values: dict[str, Any]) -> dict[str, Any]:
        """What differs from the record; the rest goes on following it."""
        changed = {
            name: None if values[name] == getattr(self._model, rule) else values[name] for name, rule in _RULES.items()
        }
        system = str(values["system"])
        return {**changed, "system": None if system == system_prompt(self._model) else system}
