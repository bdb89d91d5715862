"""What can be done with installed models; each asks first where something would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import ModelyardError
from core.files.service import is_bad
from core.registry.values import ModelQuery, Ownership
from tui import operations
from tui.screens.download_actions import DownloadActions
from tui.screens.download_cards import FileRow
from tui.show import plural, size

if TYPE_CHECKING:
    from core.registry.jobs import Job
    from core.registry.records import Model

_MOST_NAMED = 5


class FileActions(DownloadActions):
    """Actions on installed models."""

    async def do_use(self) -> None:
        """The main thing: an offer is fetched, an installed model deployed."""
        rows = self.lines.meant()
        if isinstance(rows[0], FileRow):
            await self._deploy(rows[0])
        else:
            await self.fetch(rows)

    # Whole or not

    async def do_verify(self) -> None:
        """Read files and compare their hashes: a job, which goes on without the screen."""
        rows: list[FileRow] = self.meant("verify")
        await self.yard.verifications.start([row.path for row in rows])
        self.modelyard.toast(f"Verifying {_called(rows)}; the downloads tab shows how far", timeout=8)
        self.lines.unmark()
        self.jobs_changed()

    async def do_repair(self) -> None:
        """Fetch what a check found bad, after a question that names it."""
        for job_id in dict.fromkeys(map(self._check_of, self.meant("repair"))):
            job = await self.yard.registry.get_job(job_id)
            bad = [f"  {file['condition']:<11}{file['path']}" for file in job.files if is_bad(str(file["condition"]))]
            question = f"Fetch {plural(len(bad), 'file')} of {job.title} again?"
            details = [*_first(bad), "Each is replaced once the right one has come."]
            if await operations.confirm(self.modelyard, question, details=details, yes="Fetch"):
                await self._repair(job)
        self.lines.unmark()
        self.jobs_changed()

    def _check_of(self, row: Any) -> str:  # noqa: ANN401 - a row of either tab
        """The job of the check that a row means."""
        if not isinstance(row, FileRow):
            return str(row.id)
        checked = self.known.checks.of(row.model) if row.model else None
        return checked.job_id if checked else ""

    async def _repair(self, job: Job) -> None:
        """What can't be fetched is told; what can is."""
        started = await self.yard.verifications.repair(job)
        for error in started:
            if isinstance(error, ModelyardError):
                self.modelyard.show_error(error)

    async def do_adopt(self) -> None:
        """Note what lies there unknown."""
        from tui.modals.files import AdoptDialog

        unknown = [row for row in self.known.files if row.model is None]
        await self.app.push_screen_wait(AdoptDialog(self.yard, len(unknown), sum(row.size for row in unknown)))
        self.files_changed()

    async def do_delete(self) -> None:
        """Delete the files of models, after a question that names them."""
        from tui.modals.delete_files import may_delete

        rows: list[FileRow] = self.meant("delete")
        models = [await self.yard.files.to_delete(row.path) for row in rows]
        if await may_delete(self.app, models, str(self.yard.files.folder)):
            for model in models:
                await self.yard.files.delete(model.path)
            self.modelyard.toast(f"Deleted {_called(rows)}: {size(sum(row.size for row in rows))} are free again")
            self.lines.unmark()
            self.files_changed()

    async def do_copy(self) -> None:
        """Its files to hosts."""
        from tui.modals.copy import CopyDialog

        [row] = self.meant("copy")
        await self.app.push_screen_wait(CopyDialog(row.shown, row.path))
        self.jobs_changed()

    async def do_training(self) -> None:
        """A config of a training tool, with it as the base model."""
        from tui.modals.training_export import TrainingExportDialog

        [row] = self.meant("training")
        if written := await self.app.push_screen_wait(TrainingExportDialog(self.yard, row.model)):
            self.modelyard.toast(f"Wrote {written}", timeout=8)

    async def do_usage(self) -> None:
        """What models take on the disks."""
        from tui.modals.usage import UsageDialog

        await self.app.push_screen_wait(UsageDialog(self.yard, self.known))

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


def _called(rows: Sequence[FileRow]) -> str:
    return rows[0].shown if len(rows) == 1 else plural(len(rows), "model")


def _first(names: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    rest = len(names) - _MOST_NAMED
    return [*names[:_MOST_NAMED], *([f"  and {rest:,} more"] if rest > 0 else [])]
