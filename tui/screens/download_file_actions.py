"""What can be done with installed models; each asks first where something would be lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.registry.values import ModelQuery, Ownership
from tui import operations
from tui.screens.download_actions import DownloadActions
from tui.show import plural, size

if TYPE_CHECKING:
    from core.registry.records import Model
    from tui.screens.download_cards import FileRow

_MOST_NAMED = 5


class FileActions(DownloadActions):
    """Actions on installed models."""

    async def do_use(self) -> None:
        """The main thing: an offer is fetched, an installed model deployed."""
        [row] = self.lines.meant()[:1]
        if self.view.NAME == "catalog":
            await self.fetch(row)
        else:
            await self._deploy(row)

    async def do_verify(self) -> None:
        """Read its files and compare their hashes."""
        from tui.modals.files import VerifyDialog

        for row in self.meant("verify"):
            outcome = await self.app.push_screen_wait(VerifyDialog(self.yard, row.model))
            if outcome is not None:
                self.known = replace(self.known, checked={**self.known.checked, row.path: outcome})
        self.lines.unmark()
        self.outcome_known()

    def outcome_known(self) -> None:
        """Say what verifying found."""
        self.list.redraw()
        self.show_selected()

    async def do_adopt(self) -> None:
        """Note what lies there unknown."""
        from tui.modals.files import AdoptDialog

        unknown = [row for row in self.known.files if row.model is None]
        await self.app.push_screen_wait(AdoptDialog(self.yard, len(unknown), sum(row.size for row in unknown)))
        self.files_changed()

    async def do_delete(self) -> None:
        """Delete the files of models, after a question that names them."""
        rows: list[FileRow] = self.meant("delete")
        what = rows[0].path if len(rows) == 1 else plural(len(rows), "model")
        question = f"Delete the files of {what} from the disk?"
        if await operations.confirm(self.modelyard, question, details=self._what_goes(rows), yes="Delete"):
            for row in rows:
                await self.yard.files.delete(row.path)
            self.modelyard.toast(f"Deleted {what}: {size(sum(row.size for row in rows))} are free again")
            self.lines.unmark()
            self.files_changed()

    def _what_goes(self, rows: list[FileRow]) -> list[str]:
        count, amount = sum(row.count for row in rows), sum(row.size for row in rows)
        if len(rows) == 1 and rows[0].model is not None:
            names = [str(file["path"]) for file in rows[0].model.files]
        else:
            names = [f"{row.path}, {size(row.size)}" for row in rows]
        more = [f"  and {len(names) - _MOST_NAMED:,} more"] if len(names) > _MOST_NAMED else []
        return [
            f"Deleted for good: {plural(count, 'file')}, {size(amount)}, in {self.yard.files.folder}",
            *(f"  {name}" for name in names[:_MOST_NAMED]),
            *more,
            "Kept: other files there, and records of models; those that point here find nothing then.",
        ]

    # Records

    async def do_model(self) -> None:
        """A record of it, so that it can be deployed."""
        [row] = self.meant("model")
        if (model := await self._record(row)) is not None:
            self.modelyard.toast(f"Added the model {model.name}; d deploys it", timeout=8)

    async def _deploy(self, row: FileRow) -> None:
        """With the record that tells of it or, where none does, with a new one."""
        from tui.modals.deploy import DeployDialog

        model = await self._recorded(row) or await self._record(row)
        if model is not None:
            await self.app.push_screen_wait(DeployDialog(self.yard, model))

    async def _record(self, row: FileRow) -> Model | None:
        from tui.modals.installed_form import InstalledForm, form_values

        if row.model is None:
            return None
        values = await form_values(self.yard, row.model)
        model_id = await self.app.push_screen_wait(InstalledForm(self.yard, row.path, values))
        return None if model_id is None else await self.yard.registry.get_model(model_id)

    async def _recorded(self, row: FileRow) -> Model | None:
        """One's own record whose path is this, if it is still called after it."""
        from tui.modals.installed_form import form_values

        if row.model is None:
            return None
        values = await form_values(self.yard, row.model)
        for text in dict.fromkeys((values["name"], values["model_id"])):
            page = await self.yard.registry.search(ModelQuery(text=str(text), ownership=Ownership.MINE))
            for found in page.rows:
                if found.model.path == values["path"]:
                    return found.model
        return None
