"""Add what a training job left (P18): look at a folder, choose an output, register it, and deploy it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from core.errors import InvalidInput, ModelyardError
from core.registry.values import LOCAL_HOST
from core.training.look import look
from core.training.register import choose, context_of, proposed_name, register, values
from core.training.values import Kind
from tui.keys import bindings
from tui.modals.dialog import Dialog, button
from tui.modals.model_picker import Picked, PicksInstalled, base_name
from tui.show import findings, pairs, problem, size
from tui.widgets.chrome import KeyBar
from tui.widgets.fields import Choice, Field
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.training.values import Output, Training

_ROOM = 68  # cells
_ASKED = {"folder", "on"}


class Added(NamedTuple):
    """The new model, and whether to deploy it now."""

    model_id: str
    deploy: bool


class Asking(Dialog[Added | None]):
    """The keys of every form."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]


class TrainingDialog(Asking, PicksInstalled[Added | None]):
    """Folder and host, then what was found there, then the name."""

    HEADING = "Training output"
    KEYS = ("training", "form", "installed_files")
    AUTO_FOCUS = "#field-folder TextField"
    CSS_PATH: ClassVar = ["dialog.tcss", "training.tcss"]
    PICK_HEADING = "The model that it was trained on"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("training")]

    def __init__(self, yard: Modelyard, hosts: list[str]) -> None:
        super().__init__()
        self._yard = yard
        self._hosts = hosts or [LOCAL_HOST]
        self._found: Training | None = None
        self._busy = False

    def body(self) -> Iterable[Widget]:
        yield Plain("Add what a training job left", classes="lead")
        yield Plain("A folder with checkpoints, a merged model or an adapter.", classes="muted")
        yield Field("folder", "Folder *", TextField(placeholder="/runs/my-finetune"), hint="Enter looks at it")
        yield Field("on", "Host", Choice([(host, host) for host in self._hosts], LOCAL_HOST), hint="Where it lies")
        with VerticalScroll(classes="fields", can_focus=False):
            yield Plain(id="seen")
        yield Vertical(id="rest")
        with Horizontal(id="buttons"):
            yield button("Close", "close")
            yield button("Look", "look")
            yield button("Add", "add", disabled=True)
            yield button("Add and deploy", "deploy", disabled=True)

    def _text(self, key: str) -> str:
        found = self.query(f"#field-{key}")
        field = found.first(Field) if found else None
        return str(field.value) if field is not None else ""

    # Looking

    @on(Input.Submitted, "#field-folder TextField")
    @on(Button.Pressed, "#button-look")
    def look_soon(self) -> None:
        """Read the folder's small files."""
        if not self._text("folder"):
            self.query_one("#field-folder", Field).complain("Required.")
        elif not self._busy:
            self._busy = True
            self.query_one("#seen", Plain).show("Looking…")
            self.modelyard.guard(self._look(), group="look")

    async def _look(self) -> None:
        try:
            host = await self._yard.registry.get_host(self._text("on"))
            path = _absolute(self._text("folder"), host.name)
            self._found = await look(self._yard.hosts.connection(host), path, host=host.name)
        except ModelyardError as error:
            await self._forget()
            self.query_one("#seen", Plain).show(problem(error, _ROOM))
        else:
            self.query_one("#seen", Plain).show(_told(self._found))
            await self._offer(self._found)
        finally:
            self._busy = False

    async def _offer(self, found: Training) -> None:
        """The fields that are left, filled in."""
        rest = self.query_one("#rest")
        await rest.remove_children()
        outputs = [(_label(one), one.name) for one in found.outputs]
        await rest.mount(
            Field("output", "Take", Choice(outputs, found.proposed.name), hint=f"of {len(outputs)} found"),
            Field("name", "Name", TextField(proposed_name(found)), hint="What you call it"),
            Field("base", "Base model", TextField(found.base_model), hint=found.base_source or "No file names it"),
        )
        self._allow(found.proposed)
        rest.query_one("#field-name", Field).control.focus()

    async def _forget(self) -> None:
        self._found = None
        await self.query_one("#rest").remove_children()
        self._allow(None)

    def _allow(self, output: Output | None) -> None:
        """An adapter alone, or a damaged output, can't be deployed."""
        self.query_one("#button-add", Button).disabled = output is None
        whole = output is not None and output.kind is Kind.MODEL and not output.problem
        self.query_one("#button-deploy", Button).disabled = not whole
        self.query_one(KeyBar).renew()

    @on(Input.Changed, "#field-folder TextField")
    @on(Select.Changed, "#field-on Choice")
    def elsewhere(self) -> None:
        """What was found is of another folder."""
        self.query_one("#field-folder", Field).complain("")
        if self._found is not None:
            self.query_one("#seen", Plain).show("")
            self.modelyard.guard(self._forget(), group="look")

    @on(Select.Changed, "#field-output Choice")
    def another(self) -> None:
        """Another output of the same job."""
        if self._found is not None:
            self._allow(choose(self._found, self._text("output")))

    # Adding

    @on(Button.Pressed, "#button-close")
    def close_pressed(self) -> None:
        """Close."""
        self.action_cancel()

    @on(Button.Pressed, "#button-add")
    def action_submit(self) -> None:
        """Look first; then add."""
        if self._found is None:
            self.look_soon()
        else:
            self._add_soon(deploy=False)

    @on(Button.Pressed, "#button-deploy")
    def action_deploy(self) -> None:
        """Add, and go on to the deploy."""
        if reason := self.why_not("training.deploy"):
            self.modelyard.toast(reason, tone="warning")
        else:
            self._add_soon(deploy=True)

    def host_of_files(self) -> str:
        """Where the training's output lies, its base may, too."""
        return self._text("on") or LOCAL_HOST

    async def take_installed(self, picked: Picked) -> None:
        """The base model is an installed one."""
        for field in self.query("#field-base").results(Field):
            field.put(base_name(picked))

    def why_not(self, key_id: str) -> str:
        if key_id not in {"training.deploy", "installed_files.pick"}:
            return ""
        if self._found is None:
            return "Look at the folder first."
        if key_id == "installed_files.pick":
            return ""
        output = choose(self._found, self._text("output"))
        if output.problem:
            return output.problem
        return "It is an adapter alone; merge it first." if output.kind is Kind.ADAPTER else ""

    def _add_soon(self, *, deploy: bool) -> None:
        if not self._busy:
            self._busy = True
            self.modelyard.guard(self._add(deploy), group="add")

    async def _add(self, deploy: bool) -> None:
        found = self._found
        try:
            if found is None:
                return
            output = choose(found, self._text("output"))
            host = await self._yard.registry.get_host(found.host)
            context = await context_of(self._yard.hosts.connection(host), output)
            made = values(found, output, base_model=self._text("base"), context_length=context)
            name = self._text("name")
            model = await register(self._yard.registry, found, made, name="" if name == proposed_name(found) else name)
        except InvalidInput as error:
            self._complain(error)
        else:
            self.dismiss(Added(model.id, deploy))
        finally:
            self._busy = False

    def _complain(self, error: InvalidInput) -> None:
        """Beside the name; anything else as a toast."""
        field = self.query_one("#field-name", Field)
        if "name" in error.fields:
            field.complain(error.fields["name"])
            field.control.focus()
        else:
            self.modelyard.toast(error.message, tone="error")


def _absolute(path: str, host: str) -> str:
    from pathlib import Path

    return str(Path(path).expanduser().absolute()) if host == LOCAL_HOST else path


def _label(output: Output) -> str:
    parts = [
        "the folder itself" if output.name == "." else output.name,
        "best" if output.best else "",
        "adapter" if output.kind is Kind.ADAPTER else "",
        "damaged" if output.problem else "",
    ]
    return ", ".join(part for part in parts if part)


def _told(found: Training) -> Content:
    """What was found, and what stands against it."""
    rows = pairs(
        [
            ("Training", found.how_far),
            ("Method", found.method),
            ("Takes", size(found.proposed.size)),
            ("Job", found.job_id),
        ],
        _ROOM,
        width=17,
    )
    told = findings(list(found.findings), _ROOM)
    return Content("\n").join(part for part in (rows, told) if part.plain)
