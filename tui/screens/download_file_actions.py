"""What can be done with installed models; each asks first where something would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import ModelyardError
from core.files.service import is_bad
from core.registry.values import LOCAL_HOST, ModelQuery, Ownership
from tui import operations
from tui.screens.download_actions import DownloadActions
from tui.screens.download_cards import FileRow
from tui.show import named, plural, size

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles
    from core.registry.jobs import Job
    from core.registry.records import Model

_MOST_NAMED = 5


class FileActions(DownloadActions):
    """Actions on installed models of the host that is shown."""

    @property
    def host(self) -> str:
        """Its name."""
        return self.known.host

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
        starting = self.yard.verifications.start([row.path for row in rows], host=self.host)
        if await operations.asked(self.app, starting, f"Asking {named(self.host)} for its files…") is None:
            return
        self.modelyard.toast(f"Verifying {self._called(rows)}; the downloads tab shows how far", timeout=8)
        self.lines.unmark()
        self.jobs_changed()

    async def do_repair(self) -> None:
        """Fetch what a check found bad, after a question that names it."""
        for job_id in dict.fromkeys(map(self._check_of, self.meant("repair"))):
            job = await self.yard.registry.get_job(job_id)
            bad = [f"  {file['condition']:<11}{file['path']}" for file in job.files if is_bad(str(file["condition"]))]
            question = f"Fetch {plural(len(bad), 'file')} of {job.title}{_on(job.host)} again?"
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
        asking = f"Asking {named(job.host)} and where the files came from…"
        started = await operations.asked(self.app, self.yard.verifications.repair(job), asking)
        for error in started or ():
            if isinstance(error, ModelyardError):
                self.modelyard.show_error(error)

    async def do_adopt(self) -> None:
        """Note what lies there unknown."""
        from tui.modals.files import AdoptDialog

        unknown = [row for row in self.known.files if row.model is None]
        files = await self.yard.files_of(self.host)
        await self.app.push_screen_wait(AdoptDialog(files, len(unknown), sum(row.size for row in unknown)))
        self.files_changed(files.host)

    async def do_delete(self) -> None:
        """Delete the files of models, after a question that names them."""
        from tui.modals.delete_files import may_delete

        rows: list[FileRow] = self.meant("delete")
        files = await self.yard.files_of(self.host)
        looking = _to_delete(files, [row.path for row in rows])
        models = await operations.asked(self.app, looking, f"Asking {named(files.host)} what would go…")
        if models and await may_delete(self.app, models, files):
            self.lines.unmark()
            self.modelyard.guard(self._delete(files, models, self._called(rows)), group="delete")

    async def _delete(self, files: ModelFiles, models: Sequence[InstalledModel], called: str) -> None:
        """It goes on whatever is looked at meanwhile; what was deleted before a failure is seen, too."""
        if files.host != LOCAL_HOST:
            self.modelyard.toast(f"Deleting {called}…")
        try:
            for model in models:
                await files.delete(model.path)
        finally:
            self.files_changed(files.host)
        self.modelyard.toast(f"Deleted {called}: {size(sum(model.size for model in models))} are free again")

    async def do_tidy(self) -> None:
        """Delete what unfinished downloads and copies left, after a question that shows it."""
        from tui.modals.tidy import TidyDialog

        host = self.host
        looking = self.yard.leftovers.look(host)
        found = await operations.asked(self.app, looking, f"Looking for unfinished files on {named(host)}…")
        if found == []:
            self.modelyard.toast(f"Nothing unfinished lies on {named(host)}")
        if found and (await self.app.push_screen_wait(TidyDialog(found, host))) is True:
            self.modelyard.guard(self._tidy([one.path for one in found if not one.kept], host), group="delete")

    async def _tidy(self, paths: Sequence[str], host: str) -> None:
        """What somebody needs by now stays."""
        try:
            gone = await self.yard.leftovers.tidy(paths, host)
        finally:
            self.files_changed(host)
        amount = size(sum(one.size for one in gone))
        self.modelyard.toast(f"Deleted {plural(len(gone), 'leftover')}{_on(host)}: {amount} are free again")

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
        files = await self.yard.files_of(self.host)
        if written := await self.app.push_screen_wait(TrainingExportDialog(self.yard, row.model, files)):
            self.modelyard.toast(f"Wrote {written}", timeout=8)

    async def do_usage(self) -> None:
        """What models take on the disks."""
        from tui.modals.usage import UsageDialog

        await self.app.push_screen_wait(UsageDialog(self.yard, self.known))

    # Records

    async def do_model(self) -> None:
        """A record of it, so that it can be deployed."""
        [row] = self.meant("model")
        if (values := await self._values(row)) is not None and (model := await self._record(row, values)) is not None:
            self.modelyard.toast(f"Added the model {model.name}; d deploys it", timeout=8)

    async def _deploy(self, row: FileRow) -> None:
        """With the record that tells of it or, where none does, with a new one."""
        from tui.modals.deploy import DeployDialog

        if (values := await self._values(row)) is None:
            return
        model = await self._recorded(values) or await self._record(row, values)
        if model is not None:
            await self.app.push_screen_wait(DeployDialog(self.yard, model))

    async def _values(self, row: FileRow) -> dict[str, Any] | None:
        """What a record of it says; None where nothing is known of it, or its host isn't waited for."""
        from tui.modals.installed_form import form_values

        if row.model is None:
            return None
        reading = form_values(self.yard, row.model, host=self.host)
        return await operations.asked(self.app, reading, f"Reading headers on {named(self.host)}…")

    async def _record(self, row: FileRow, values: dict[str, Any]) -> Model | None:
        from tui.modals.installed_form import InstalledForm

        place = f"{row.path}{_on(str(values['host']))}"
        model_id = await self.app.push_screen_wait(InstalledForm(self.yard, place, values))
        return None if model_id is None else await self.yard.registry.get_model(model_id)

    async def _recorded(self, values: dict[str, Any]) -> Model | None:
        """One's own record whose path on its host is this, if it is still called after it."""
        place = (values["host"], values["path"])
        for text in dict.fromkeys((values["name"], values["model_id"])):
            page = await self.yard.registry.search(ModelQuery(text=str(text), ownership=Ownership.MINE))
            for found in page.rows:
                if (found.model.host, found.model.path) == place:
                    return found.model
        return None

    def _called(self, rows: Sequence[FileRow]) -> str:
        return (rows[0].shown if len(rows) == 1 else plural(len(rows), "model")) + _on(self.host)


async def _to_delete(files: ModelFiles, paths: Sequence[str]) -> list[InstalledModel]:
    return [await files.to_delete(path) for path in paths]


def _on(host: str) -> str:
    """Nothing of this machine."""
    return "" if host == LOCAL_HOST else f" on {host}"


def _first(names: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    rest = len(names) - _MOST_NAMED
    return [*names[:_MOST_NAMED], *([f"  and {rest:,} more"] if rest > 0 else [])]
