"""What can be done with the selected model."""

from __future__ import annotations

from core.registry.values import ModelRow
from tui import operations
from tui.screens import model_records, model_sources
from tui.screens.base import ListScreen
from tui.screens.model_list import ModelList

_OF_CORE = {"mine", "edit", "deploy", "stop", "restart", "chat", "test", "logs", "delete", "archive", "key"}


class ModelActions(ListScreen):
    """The actions on one model; each asks first where something would be lost."""

    @property
    def models(self) -> ModelList:
        """The list, in its own type."""
        return self.query_one(ModelList)

    @property
    def row(self) -> ModelRow | None:
        """The selected line."""
        return self.models.selected

    @property
    def chosen(self) -> ModelRow:
        """The selected line, in an action that `why_not` has let through."""
        row = self.row
        if row is None:
            raise RuntimeError("no line is selected")
        return row

    def why_not(self, key_id: str) -> str:
        name = key_id.removeprefix("models.")
        if name not in _OF_CORE:
            return ""
        row = self.row
        if row is None or self.modelyard.yard is None:
            return "No model is selected."
        actions = {action.name: action.why_not for action in self.yard.deploys.actions(row.model, row.server)}
        return actions.get(name, "It is yours already." if name == "mine" else "")

    async def do_add(self) -> None:
        """Fill in a form; the new model is selected."""
        await self._form(None)

    async def do_edit(self) -> None:
        """The same form, filled in."""
        await self._form(self.chosen)

    async def do_key(self) -> None:
        """Which key it is asked with, of a global model too (P7)."""
        await model_sources.choose_key(self, self.chosen.model)

    async def _form(self, row: ModelRow | None) -> None:
        from tui.modals.model_form import ModelForm

        saved = await self.app.push_screen_wait(ModelForm(self.yard, row.model if row else None))
        if saved is not None:
            self.reload_soon(select=saved)

    async def do_mine(self) -> None:
        """A copy of a global model."""
        await model_sources.make_mine(self, self.chosen.model)

    async def do_training(self) -> None:
        """What a training job left."""
        await model_sources.add_training(self)

    async def do_import(self) -> None:
        """Records of a file or of another program."""
        await model_records.import_records(self)

    async def do_export(self) -> None:
        """Records into a file."""
        await model_records.export_records(self)

    async def do_history(self) -> None:
        """Who changed what."""
        await model_records.history(self)

    async def do_undo(self) -> None:
        """Take the newest change back."""
        await model_records.undo(self)

    async def do_redo(self) -> None:
        """Do again what was taken back."""
        await model_records.undo(self, redo=True)

    def show_new(self, model_id: str) -> None:
        """Bring the list to a new model."""
        self.reload_soon(select=model_id)

    async def do_deploy(self) -> None:
        """Options, dry run, confirmation, progress."""
        from tui.modals.deploy import DeployDialog

        await self.app.push_screen_wait(DeployDialog(self.yard, self.chosen.model))
        self.reload_soon()

    async def do_stop(self) -> None:
        """Stop its server."""
        if (server := self.chosen.server) is not None:
            await operations.stop(self.modelyard, server)

    async def do_restart(self) -> None:
        """Stop and start its server."""
        if (server := self.chosen.server) is not None:
            await operations.restart(self.modelyard, server)

    async def do_logs(self) -> None:
        """Show its server's logs."""
        if (server := self.chosen.server) is not None:
            await operations.show_logs(self.modelyard, server)

    async def do_test(self) -> None:
        """Test its connection."""
        from tui.modals.connection import ConnectionDialog

        await self.app.push_screen_wait(ConnectionDialog(self.chosen.model))
        self.reload_soon()

    async def do_chat(self) -> None:
        """Talk to it."""
        model = self.chosen.model
        await operations.chat(self.modelyard, model.id, model.name)
