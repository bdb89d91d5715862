"""What can be done on the Downloads screen with offers and jobs; each asks first where something would be lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from core.errors import DownloadDenied, ModelyardError
from core.registry.jobs import OVER
from core.registry.values import LOCAL_HOST
from tui import operations
from tui.screens.base import ListScreen
from tui.screens.download_views import DownloadList, DownloadsView, Known
from tui.show import plural

if TYPE_CHECKING:
    from core.catalog.weights import Weights
    from core.registry.jobs import ListedJob


class DownloadActions(ListScreen):
    """Actions on the marked lines or, where none is marked, on the selected one."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Known()

    @property
    def view(self) -> DownloadsView:
        """The tab that is shown."""
        raise NotImplementedError

    async def show_view(self, name: str, *, select: str | None = None) -> None:
        """Another tab in the same frame."""
        raise NotImplementedError

    def files_changed(self, host: str) -> None:
        """Read the models folder of a host again."""
        raise NotImplementedError

    def jobs_changed(self) -> None:
        """Read all jobs again."""
        raise NotImplementedError

    @property
    def lines(self) -> DownloadList:
        """The list, in its own type."""
        return cast("DownloadList", self.list)

    def meant(self, action: str) -> list[Any]:
        """The lines that an action is for and can be done with."""
        return [row for row in self.lines.meant() if not self.view.refusal(action, row, self.known)]

    # Beginning

    async def do_add(self) -> None:
        """Look at a source, then fetch it; to the host whose models are shown, unless another is chosen."""
        await self._look_at([("", ())], host=self.known.host if self.view.OF_HOST else LOCAL_HOST)

    async def fetch(self, offers: Sequence[Weights]) -> None:
        """Look at offers of the catalog, one after the other, and fetch those that are started."""
        await self._look_at([(offer.source, offer.patterns) for offer in offers])

    async def _look_at(self, sources: Sequence[tuple[str, tuple[str, ...]]], *, host: str = LOCAL_HOST) -> None:
        """The dialog for each; what was begun there is shown."""
        from tui.modals.download import DownloadDialog

        begun = None
        for number, (source, patterns) in enumerate(sources, 1):
            turn = (number, len(sources))
            dialog = DownloadDialog(self.yard, source=source, patterns=patterns, host=host, turn=turn)
            begun = await self.app.push_screen_wait(dialog) or begun
        if begun is not None:
            self.lines.unmark()
            await self.show_view("downloads", select=begun)

    # Jobs

    async def _each(self, action: str, do: Callable[[ListedJob], Awaitable[object]]) -> None:
        for job in self.meant(action):
            await do(job)
        self.lines.unmark()
        self.reload_soon()

    async def do_pause(self) -> None:
        """Stop for now."""
        await self._each("pause", lambda job: self.yard.downloads.pause(job.id))

    async def do_cancel(self) -> None:
        """Stop; what has come is kept."""
        await self._each("cancel", lambda job: self.yard.downloads.cancel(job.id))

    async def do_resume(self) -> None:
        """Go on, or try again; where the source refused, a token is asked for."""
        await self._each("resume", self._resume)

    async def _resume(self, job: ListedJob) -> None:
        token = await self._token(job) if _was_refused(job) else ""
        if token is not None:
            await self.yard.downloads.resume(job.id, token=token)

    async def _token(self, job: ListedJob) -> str | None:
        """What the source wants beside the keys that are kept: "" nothing; None, the user gave nothing."""
        from tui.modals.token import look

        try:
            _, token = await look(self.modelyard, self.yard, job.source)
        except DownloadDenied:
            return None
        except ModelyardError:  # the worker meets it again, and says it in the list
            return ""
        return token

    async def do_sooner(self) -> None:
        """Before others."""
        await self._each("sooner", lambda job: self.yard.downloads.prioritise(job.id, job.priority + 1))

    async def do_later(self) -> None:
        """After others."""
        await self._each("later", lambda job: self.yard.downloads.prioritise(job.id, job.priority - 1))

    async def do_limit(self) -> None:
        """Show the limit on bandwidth, and take another."""
        from tui.modals.limit import LimitDialog

        rate = await self.app.push_screen_wait(LimitDialog(await self.yard.downloads.limits()))
        if rate is not None:
            limits = await self.yard.downloads.limit(rate=rate)
            self.modelyard.toast(f"Limited to {limits.rate}" if limits.bytes_per_s else "No limit on bandwidth")
            self.jobs_changed()

    async def do_remove(self) -> None:
        """Forget it."""
        await self._forget(self.meant("remove"))

    async def do_clear(self) -> None:
        """Forget all that is over."""
        await self._forget([job for job in self.known.jobs if job.state in OVER])

    async def _forget(self, jobs: list[ListedJob]) -> None:
        one = jobs[0]
        what = f"the {one.kind} of {one.title}" if len(jobs) == 1 else plural(len(jobs), "job")
        unfinished = sum(job.state != "done" for job in jobs)
        details = [
            "Only the lines go; every file stays." if len(jobs) > 1 else "Only the line goes.",
            *([f"Kept: everything in {one.folder}."] if len(jobs) == 1 and one.folder else []),
            *([f"{plural(unfinished, 'failed or cancelled one')} can't be resumed then."] if len(jobs) > 1 else []),
            *(["What is not whole stays, too, until t tidies up."] if unfinished else []),
        ]
        if await operations.confirm(self.modelyard, f"Forget {what}?", details=details, yes="Yes"):
            for job in jobs:
                await self.yard.downloads.remove(job.id)
            self.lines.unmark()
            self.reload_soon()


def _was_refused(job: ListedJob) -> bool:
    """Whether it failed where a token could help; to ask a source takes a while, so nothing else is asked for."""
    return job.state == "failed" and (job.error_code == "DownloadDenied" or job.took_token or job.is_gated)
