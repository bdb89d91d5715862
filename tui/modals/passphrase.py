"""The vault's passphrase: asked for in a dialog, never from under the screens."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input
from textual.worker import NoActiveWorker

from core.errors import InvalidInput, WrongPassphrase
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.widgets.fields import Field
from tui.widgets.plain import Plain, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.app import App
    from textual.binding import BindingType

    from core.keys.store import KeyStore
    from core.registry.records import Model
    from tui.app import ModelyardApp

Purpose = Literal["unlock", "new", "change"]
_LEADS = {
    "unlock": ("Unlock the vault", "It holds your API keys, and stays open until you leave."),
    "new": ("Make a vault for your API keys", "Without its passphrase, the keys in it are lost: nobody can reset it."),
    "change": ("A new passphrase for the vault", "Other sessions of yours have to unlock it again."),
}
_DIFFERENT = "Not the same as above."


class PassphraseDialog(Dialog[bool | None]):
    """True when the vault is open, or has its new passphrase."""

    HEADING = "Vault"
    AUTO_FOCUS = "#field-passphrase TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "keys.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, keys: KeyStore, purpose: Purpose) -> None:
        super().__init__()
        self._store = keys
        self._purpose = purpose
        self._busy = False

    def body(self) -> Iterable[Widget]:
        title, note = _LEADS[self._purpose]
        yield Plain(title, classes="lead")
        yield Plain(note, classes="muted")
        with Vertical(classes="fields"):
            hint = "" if self._purpose == "unlock" else "8 characters or more"
            yield Field("passphrase", "Passphrase", TextField(password=True), hint=hint)
            if self._purpose != "unlock":
                yield Field("again", "The same again", TextField(password=True))
        with Horizontal(id="buttons"):
            yield Spinner()
            yield button("Cancel", "cancel")
            yield button("Unlock" if self._purpose == "unlock" else "Save", "save")

    @on(Button.Pressed, "#button-cancel")
    def cancel_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter in the last field goes on."""
        if event.input is self.query(TextField).last():
            self.action_submit()
        else:
            self.focus_next()

    @on(Button.Pressed, "#button-save")
    def action_submit(self) -> None:
        """Unlock, or take the new one."""
        typed = [field.query_one(TextField).value for field in self.query(Field)]
        fields = list(self.query(Field))
        for field in fields:
            field.complain("")
        if not typed[0]:
            self._complain(fields[0], "Required.")
        elif any(other != typed[0] for other in typed):
            self._complain(fields[-1], _DIFFERENT)
        elif not self._busy:
            self._busy = True
            self.modelyard.guard(self._work(typed[0]))

    async def _work(self, passphrase: str) -> None:
        spinner = self.query_one(Spinner)
        spinner.start()
        try:
            if self._purpose == "change":
                await self._store.change_passphrase(passphrase)
            else:
                await self._store.unlock(passphrase)
        except WrongPassphrase as error:
            self._again(error.message)
        except InvalidInput as error:
            self._again(" ".join(error.fields.values()))
        else:
            self.dismiss(True)
        finally:
            self._busy = False
            if spinner.is_mounted:
                spinner.stop()

    def _again(self, problem: str) -> None:
        """Wrong: the field is empty again."""
        for field in self.query(TextField):
            field.value = ""
        self._complain(self.query_one("#field-passphrase", Field), problem)

    def _complain(self, field: Field, problem: str) -> None:
        field.complain(problem)
        field.query_one(TextField).focus()


async def ensure_unlocked(app: App[Any], model: Model | None = None) -> bool:
    """Whether keys can be read now: asks for the passphrase where the vault is locked.

    With a model, only where calling it needs a key of the vault. Call it in a worker, before the work that needs it.
    """
    yard = cast("ModelyardApp", app).yard
    if yard is None:
        return False
    if model is not None and not await yard.keys.needs_unlock(model):
        return True
    if not (await yard.keys.backend()).locked:
        return True
    opened = await app.push_screen_wait(PassphraseDialog(yard.keys, "unlock"))
    return bool(opened)


async def open_vault(app: App[Any], keys: KeyStore) -> bool:
    """Unlock the vault, or make one where there is none; for what is going to write into it."""
    backend = await keys.backend()
    if backend.kind != "vault" or not (backend.locked or backend.new):
        return True
    opened = await app.push_screen_wait(PassphraseDialog(keys, "new" if backend.new else "unlock"))
    return bool(opened)


async def ask_in_dialog(app: App[Any], keys: KeyStore, new: bool) -> None:
    """For work that finds the vault locked: the dialog opens it; nothing can be asked outside of an action."""
    with suppress(NoActiveWorker):
        await app.push_screen_wait(PassphraseDialog(keys, "new" if new else "unlock"))
