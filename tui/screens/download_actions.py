"""What can be done with downloads and installed models; each asks first where something would be lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.errors import DownloadDenied, ModelyardError
from core.registry.jobs import Job
from tui import operations
from tui.screens.base import ListScreen
from tui.screens.download_cards import FileRow, source_of
from tui.screens.download_views import Known, Offer
from tui.show import plural, size

_MOST_NAMED = 5


class DownloadActions(ListScreen):
    """The actions of both views."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Known()

    async def show_view(self, name: str, *, select: str | None = None) -> None:
        """Other lines in the same frame."""
        raise NotImplementedError

    def files_changed(self) -> None:
        """Read the models folder again."""
        raise NotImplementedError

    @property
    def chosen(self) -> Any:  # noqa: ANN401 - a row of the view that the action belongs to
        """The selected line, in an action that `why_not` has let through."""
        row = self.list.selected
        if row is None:
            raise RuntimeError("no line is selected")
        return row

    async def do_add(self) -> None:
        """Look at a source, then fetch it."""
        from tui.modals.download import DownloadDialog

        row = self.list.selected
        source, patterns = (row.source, row.patterns) if isinstance(row, Offer) else ("", ())
        job_id = await self.app.push_screen_wait(DownloadDialog(self.yard, source=source, patterns=patterns))
        if job_id is not None:
            await self.show_view("downloads", select=job_id)

    # Downloads

    async def do_pause(self) -> None:
        """Stop for now."""
        await self.yard.downloads.pause(self.chosen.id)

    async def do_cancel(self) -> None:
        """Stop; what has come is kept."""
        await self.yard.downloads.cancel(self.chosen.id)

    async def do_resume(self) -> None:
        """Go on, or try again; where the source refused, a token is asked for."""
        job: Job = self.chosen
        token = await self._token(job) if _was_refused(job) else ""
        if token is not None:
            await self.yard.downloads.resume(job.id, token=token)

    async def _token(self, job: Job) -> str | None:
        """What the source wants beside the keys that are kept: "" nothing; None, the user gave nothing."""
        from tui.modals.token import TokenDialog

        source = source_of(job)
        try:
            await self.yard.downloads.look(source)
        except DownloadDenied as error:
            return await self.app.push_screen_wait(TokenDialog(source, error))
        except ModelyardError:  # the worker meets it again, and says it in the list
            return ""
        return ""

    async def do_remove(self) -> None:
        """Forget it."""
        job: Job = self.chosen
        details = ["Only the line goes.", f"Kept: everything in {job.folder}."]
        if await operations.confirm(self.modelyard, f"Forget the download of {job.title}?", details=details, yes="Yes"):
            await self.yard.downloads.remove(job.id)

    # Installed models

    async def do_verify(self) -> None:
        """Read its files and compare their hashes."""
        from tui.modals.files import VerifyDialog

        row: FileRow = self.chosen
        if row.model is None:
            return
        outcome = await self.app.push_screen_wait(VerifyDialog(self.yard, row.model))
        if outcome is not None:
            self.known = replace(self.known, checked={**self.known.checked, row.path: outcome})
            self.list.redraw()
            self.show_selected()

    async def do_adopt(self) -> None:
        """Note what lies there unknown."""
        from tui.modals.files import AdoptDialog

        unknown = [row for row in self.known.files if row.model is None]
        await self.app.push_screen_wait(AdoptDialog(self.yard, len(unknown), sum(row.size for row in unknown)))
        self.files_changed()

    async def do_delete(self) -> None:
        """Delete the files of a model, after a question that names them."""
        row: FileRow = self.chosen
        if row.model is None:
            return
        named = [f"  {file['path']}" for file in row.model.files[:_MOST_NAMED]]
        more = [f"  and {row.count - len(named):,} more"] if row.count > len(named) else []
        details = [
            f"Deleted for good: {plural(row.count, 'file')}, {size(row.size)}, in {self.yard.files.folder}",
            *named,
            *more,
            "Kept: other files there, and records of models; those that point here find nothing then.",
        ]
        question = f"Delete the files of {row.path} from the disk?"
        if await operations.confirm(self.modelyard, question, details=details, yes="Delete"):
            await self.yard.files.delete(row.path)
            self.modelyard.toast(f"Deleted {row.path}: {size(row.size)} are free again")
            self.files_changed()

    async def do_model(self) -> None:
        """A record of it, so that it can be deployed."""
        from tui.modals.installed_form import InstalledForm, form_values

        row: FileRow = self.chosen
        if row.model is None:
            return
        values = await form_values(self.yard, row.model)
        model_id = await self.app.push_screen_wait(InstalledForm(self.yard, row.path, values))
        if model_id is not None:
            model = await self.yard.registry.get_model(model_id)
            self.modelyard.toast(f"Added the model {model.name}; d among the models (1) deploys it", timeout=8)


def _was_refused(job: Job) -> bool:
    """Whether it failed where a token could help; to ask a source takes a while, so nothing else is asked for."""
    listing = job.spec.get("listing", {})
    hints = job.spec.get("token") or listing.get("gated") or "401" in job.cause or "403" in job.cause
    return job.state == "failed" and bool(hints)
