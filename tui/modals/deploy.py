"""Deploy a model (P11, L5, L6): options, then the dry run, then a confirmation of warnings, then progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, ContentSwitcher, Input, Select

from core.errors import InvalidInput, ModelyardError
from core.findings import Severity
from tui import operations
from tui.keys import bindings
from tui.modals.deploy_options import OptionsForm
from tui.modals.deploy_progress import ProgressPane
from tui.modals.dialog import Dialog, button
from tui.modals.plan_text import plan_text
from tui.show import line, plural, problem, toned
from tui.widgets.chrome import KeyBar
from tui.widgets.plain import Flow, Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.deploy.values import Plan
    from core.registry.records import Model

_TITLES = {"options": "Options", "plan": "Dry run", "progress": "Progress"}


class DeployDialog(Dialog[None]):
    """Three steps in one frame; nothing on the host changes before the last one."""

    HEADING = "Deploy"
    AUTO_FOCUS = "#field-host Choice"
    CSS_PATH: ClassVar = ["dialog.tcss", "deploy.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, yard: Modelyard, model: Model) -> None:
        super().__init__()
        self._yard = yard
        self._model = model
        self._planning = False
        self.plan: Plan | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="deploy-top"):
            yield Plain(line(self._model.name), classes="lead", id="deploy-name")
            yield Plain(id="deploy-step")
        with ContentSwitcher(initial="options", id="steps"):
            with VerticalScroll(id="options", classes="fields", can_focus=False):
                yield OptionsForm(self._model, self._yard.hosts)
            with VerticalScroll(id="plan", classes="fields"):
                yield Flow(id="plan-text")
            with Vertical(id="progress"):
                yield ProgressPane(self._yard)
        with Horizontal(id="outcome-line"):
            yield Spinner()
            yield Flow(id="outcome")
        yield Horizontal(id="buttons")

    async def on_mount(self) -> None:
        hosts = await self._yard.registry.hosts()
        await self.query_one(OptionsForm).fill([host.name for host in hosts], default=self._model.host)
        await self._go_to("options")

    @property
    def step(self) -> str:
        """ "options", "plan" or "progress"."""
        return self.query_one(ContentSwitcher).current or "options"

    async def _go_to(self, step: str) -> None:
        self.query_one(ContentSwitcher).current = step
        names = [
            Content.styled(f"{number} {title}", "bold underline $text-primary" if name == step else "$faint")
            for number, (name, title) in enumerate(_TITLES.items(), start=1)
        ]
        self.query_one("#deploy-step", Plain).show(Content("  ").join(names))
        await self._set_buttons(step)
        self.query_one(KeyBar).renew()

    async def _set_buttons(self, step: str) -> None:
        row = self.query_one("#buttons", Horizontal)
        await row.remove_children()
        if step == "options":
            await row.mount(button("Cancel", "cancel"), button("Dry run", "next"))
            self.query_one("#field-host").query_one(Select).focus()
        elif step == "plan" and self.plan is not None:
            refused = bool(self.plan.of(Severity.ERROR))
            warnings = len(self.plan.of(Severity.WARNING))
            label = f"Deploy despite {plural(warnings, 'warning')}" if warnings else "Deploy"
            await row.mount(button("Back", "back"), button(label, "next", disabled=refused))
            self.query_one("#button-back" if refused or warnings else "#button-next", Button).focus()

    # Steps

    @on(Button.Pressed, "#button-next")
    def action_submit(self) -> None:
        """To the next step."""
        if self.step == "options" and not self._planning:
            self._planning = True
            self.modelyard.guard(self._dry_run())
        elif self.step == "plan" and self.plan is not None and not self.plan.of(Severity.ERROR):
            self.modelyard.guard(self._deploy(self.plan))

    @on(Input.Submitted)
    def next_field(self) -> None:
        """Enter goes to the next field."""
        self.focus_next()

    async def _dry_run(self) -> None:
        form = self.query_one(OptionsForm)
        spinner = self.query_one(Spinner)
        spinner.start()
        try:
            host, options = form.read()
            self._say("Asking the host and reading the model's headers…", "dim")
            self.plan = await self._yard.deploys.plan(self._model.id, host, options)
        except InvalidInput as error:
            self._say("\n".join(form.complain(error.fields)), "bad")
        except ModelyardError as error:
            self._show_error(error)
        else:
            await self._show_plan(self.plan)
        finally:
            self._planning = False
            spinner.stop()

    async def _show_plan(self, plan: Plan) -> None:
        self.query_one("#plan-text", Flow).flow(lambda room: plan_text(plan, room))
        self.query_one("#plan", VerticalScroll).scroll_home(animate=False)
        self._say("", "dim")
        errors = plan.of(Severity.ERROR)
        if errors:
            self._say(f"✗ Refused: {plural(len(errors), 'error')} above. Nothing was changed.", "bad")
        await self._go_to("plan")

    async def _deploy(self, plan: Plan) -> None:
        warnings = plan.of(Severity.WARNING)
        if warnings:
            question = f"Deploy {plan.model_name} despite {plural(len(warnings), 'warning')}?"
            details = [f"! {finding.reason}" for finding in warnings]
            if not await operations.confirm(self.modelyard, question, details=details, yes="Deploy"):
                return
        self._say("", "dim")
        await self._go_to("progress")
        await self.query_one(ProgressPane).follow(plan)

    @on(ProgressPane.Ended)
    async def ended(self, event: ProgressPane.Ended) -> None:
        """Running, or not: say so, and what can be done now."""
        row = self.query_one("#buttons", Horizontal)
        await row.remove_children()
        if event.running:
            await row.mount(button("Chat", "chat"), button("Close", "close"))
        else:
            await row.mount(button("Options", "back"), button("Close", "close"))
        self.query_one("#button-close", Button).focus()

    def why_not(self, key_id: str) -> str:
        if key_id != "form.submit":
            return ""
        if self.step == "plan" and self.plan is not None and self.plan.of(Severity.ERROR):
            return "The dry run found errors."
        return "There is no further step." if self.step == "progress" else ""

    # Leaving

    @on(Button.Pressed, "#button-back")
    async def back(self) -> None:
        """To the options, with what was chosen."""
        self._say("", "dim")
        await self._go_to("options")

    @on(Button.Pressed, "#button-chat")
    def chat(self) -> None:
        """Talk to it."""
        self.dismiss(None)
        self.modelyard.guard(operations.chat(self.modelyard, self._model.id, self._model.name))

    @on(Button.Pressed, "#button-cancel")
    @on(Button.Pressed, "#button-close")
    def action_cancel(self) -> None:
        """Close; while a server comes up, ask what shall become of it."""
        if self.query_one(ProgressPane).busy:
            self.modelyard.guard(self._leave())
        else:
            self.dismiss(None)

    async def _leave(self) -> None:
        from tui.modals.pick import PickDialog

        options = [("Keep watching", "watch"), ("Leave it loading, and close", "leave"), ("Stop it", "stop")]
        picked = await self.app.push_screen_wait(PickDialog("The server is coming up", options, "watch"))
        pane = self.query_one(ProgressPane)
        if picked == "leave":
            pane.leave()
            self.dismiss(None)
        elif picked == "stop":
            await pane.stop()

    def _show_error(self, error: ModelyardError) -> None:
        self.query_one("#outcome", Flow).flow(lambda room: problem(error, room))

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#outcome", Flow).flow(lambda _: toned(text, tone))
