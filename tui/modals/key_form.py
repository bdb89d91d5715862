"""Set a key: its name and its value, which is never shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input

from core.errors import InvalidInput
from core.keys.values import ALIASES
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.modals.passphrase import open_vault
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.keys.store import KeyStore


class KeyForm(Dialog[str | None]):
    """The name of the key that was set, or None."""

    HEADING = "API key"
    AUTO_FOCUS = ""
    CSS_PATH: ClassVar = ["dialog.tcss", "keys.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, keys: KeyStore, name: str = "") -> None:
        super().__init__()
        self._store = keys
        self._key_name = name
        self._busy = False

    def on_mount(self) -> None:
        """A name that is known needs no typing."""
        self.query_one(f"#field-{'value' if self._key_name else 'name'} TextField").focus()

    def body(self) -> Iterable[Widget]:
        yield Plain("Set a key", classes="lead")
        yield Plain(f"The names {', '.join(ALIASES)} are the providers' own, used where no other is named.")
        with Vertical(classes="fields"):
            yield Field("name", "Name *", TextField(self._key_name), hint="How models refer to it")
            yield Field("value", "Value *", TextField(password=True), hint="Kept encrypted, never shown")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Save", "save")

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter in the last field saves."""
        if event.input is self.query(TextField).last():
            self.action_submit()
        else:
            self.focus_next()

    @on(Button.Pressed, "#button-save")
    def action_submit(self) -> None:
        """Save."""
        if not self._busy:
            self._busy = True
            self.modelyard.guard(self._save())

    async def _save(self) -> None:
        fields = {field.key: field for field in self.query(Field)}
        name, value = (fields[key].query_one(TextField).value.strip() for key in ("name", "value"))
        try:
            self._store.check(name, value)
            if await open_vault(self.app, self._store):
                await self._store.set(name, value)
                self.dismiss(name)
        except InvalidInput as error:
            for key, field in fields.items():
                field.complain(error.fields.get(key, ""))
            next(fields[key] for key in fields if key in error.fields).query_one(TextField).focus()
        finally:
            self._busy = False
