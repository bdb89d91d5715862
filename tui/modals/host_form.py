"""Add a host; at first contact the user compares the fingerprint of its key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input

from core.errors import HostKeyUnknown, InvalidInput, ModelyardError
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.modals.fingerprint import FingerprintDialog
from tui.show import problem, toned
from tui.widgets.fields import Field
from tui.widgets.plain import Flow, Plain, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from core.hosts.service import HostService


class HostForm(Dialog[str | None]):
    """The id of the added host, or None."""

    HEADING = "Host"
    AUTO_FOCUS = "#field-name TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "host_form.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, hosts: HostService) -> None:
        super().__init__()
        self._hosts = hosts
        self._busy = False

    def body(self) -> Iterable[Widget]:
        yield Plain("Add a host", classes="lead")
        yield Plain("Reached by your own ssh: its configuration, keys, agent and jump hosts apply.", classes="muted")
        with Vertical(classes="fields"):
            yield Field("name", "Name *", TextField(), hint="What you call it")
            yield Field("target", "Target", TextField(placeholder="user@host"), hint="Or an ssh alias; else the name")
            yield Field("models_dir", "Models folder", TextField(), hint="There; empty: found out")
            yield Field("ssh_config", "ssh configuration", TextField(), hint="Another file than yours")
        with Horizontal(id="progress"):
            yield Spinner()
            yield Flow(id="outcome")
        with Horizontal(id="buttons"):
            yield button("Cancel", "cancel")
            yield button("Connect and add", "save")

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
        """Connect, then add."""
        name = self.query_one("#field-name", Field)
        name.complain("" if name.value else "Required.")
        if name.value and not self._busy:
            self._busy = True
            self.modelyard.guard(self._add())
        elif not name.value:
            name.control.focus()

    async def _add(self) -> None:
        spinner = self.query_one(Spinner)
        spinner.start()
        self._say("Connecting…", "dim")
        try:
            added = await self._connect(None)
        except InvalidInput as error:
            self._complain(error)
        except ModelyardError as error:
            self._show(error)
        else:
            if added is not None:
                self.dismiss(added)
        finally:
            self._busy = False
            if spinner.is_mounted:
                spinner.stop()

    async def _connect(self, accepted: str | None, *, asked: str | None = None) -> str | None:
        values = {field.key: str(field.value).strip() for field in self.query(Field)}
        name = values.pop("name")
        try:
            return (await self._hosts.add(name, accept_host_key=accepted, **values)).id
        except HostKeyUnknown as error:
            if error.host == asked:
                raise
            shown_by = error.host or values["target"] or name
            chosen = await self.app.push_screen_wait(FingerprintDialog(shown_by, error.fingerprints))
            if chosen is None:
                self._say("Not added: the key was not accepted.", "dim")
                return None
            self._say("Key accepted, connecting…", "dim")
            return await self._connect(chosen, asked=error.host)

    def _complain(self, error: InvalidInput) -> None:
        fields = {field.key: field for field in self.query(Field)}
        rest = [f"{name}: {text}" for name, text in error.fields.items() if name not in fields]
        for name, field in fields.items():
            field.complain(error.fields.get(name, ""))
        self._say("\n".join(rest), "bad")

    def _show(self, error: ModelyardError) -> None:
        self.query_one(Flow).flow(lambda room: problem(error, room))

    def _say(self, text: str, tone: str) -> None:
        self.query_one(Flow).flow(lambda _: toned(text, tone))
