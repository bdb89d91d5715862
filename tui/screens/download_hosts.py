"""The models of another host in the installed tab (D7 to D10): asked beside everything else, over whatever line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import ModelyardError
from core.registry.values import LOCAL_HOST
from tui.screens.download_checks import Checks
from tui.screens.download_installed import InstalledView
from tui.screens.download_reading import DownloadReading, Look

if TYPE_CHECKING:
    from textual.worker import Worker

_NO_HOSTS = "There is no other host yet: 3 goes to the hosts, a adds one."


class HostReading(DownloadReading):
    """Shows one host at a time; its rows of the last look stay while it is asked again."""

    def __init__(self) -> None:
        super().__init__()
        self._asking: tuple[str, Worker[None]] | None = None

    # Which

    async def do_host(self) -> None:
        """Choose the host whose models are shown."""
        from tui.modals.host_picker import pick_host

        if len(await self.yard.registry.hosts()) == 1:
            self.modelyard.toast(_NO_HOSTS, tone="warning")
        elif (picked := await pick_host(self.app, self.yard, self.host)) is not None:
            await self.show_host(picked)

    async def show_host(self, host: str) -> None:
        """Its models in the installed tab, whichever is shown."""
        if host != self.host:
            self._leave()
            if self.view_name == InstalledView.NAME:
                self.lines.unmark()
            self.known = replace(self.known, host=host, checks=Checks(), is_asking=host != LOCAL_HOST)
            await self.show_look()
            self._fill(InstalledView.NAME)
        if host != LOCAL_HOST:
            self.stale.add(host)
        await self.show_view(InstalledView.NAME)
        await self.show_rows()
        self.list.move_to(0)
        self.show_selected()
        self.jobs_changed()

    def _leave(self) -> None:
        """What a host would answer isn't waited for any more."""
        if self._asking is not None:
            self._asking[1].cancel()
            self._asking = None

    # Asking

    async def load(self, select: str | None) -> None:
        """All that is here; a host is asked meanwhile."""
        self._ask_soon()
        await super().load(select)
        self._ask_soon()

    def _ask_soon(self) -> None:
        """Once more if its files change while it is asked."""
        host = self.host
        if host == LOCAL_HOST or host not in self.stale:
            return
        if self._asking is None or self._asking[0] != host or self._asking[1].is_finished:
            self._asking = host, self.modelyard.guard(self._ask(host), group="there")

    async def _ask(self, host: str) -> None:
        try:
            while host == self.host and host in self.stale:
                self.stale.discard(host)
                self.known = replace(self.known, is_asking=True)
                await self.show_rows()
                await self._look_there(host)
                self._say_old(host)
        finally:
            if host == self.host:
                self.known = replace(self.known, is_asking=False)
        await self.show_rows()
        self.show_selected()

    async def _look_there(self, host: str) -> None:
        """Whatever goes wrong is told in the place of the rows or, where there are some, above them."""
        try:
            files = await self.yard.files_of(host)
        except ModelyardError as problem:
            await self.no_files(host, problem)
        else:
            await self.read_files(files, await self.told(files), None)

    def _say_old(self, host: str) -> None:
        """Rows that stay though their host doesn't answer any more."""
        look = self.looks.get(host, Look())
        if look.problem is not None and look.rows:
            self.modelyard.toast(f"Not up to date: {look.problem.message} {look.problem.remedy}", tone="warning")

    @property
    def problem(self) -> ModelyardError | None:
        """Why nothing is known of the files of the host that is shown."""
        return self.looks.get(self.host, Look()).problem

    def telling(self, problem: ModelyardError) -> str:
        """Cause, remedy and the keys that go on."""
        told = [f"✗ {problem.message}", problem.cause, f"→ {problem.remedy}" if problem.remedy else ""]
        back = "" if self.host == LOCAL_HOST else ", or Esc for this machine"
        return "\n".join([*filter(None, told), "", f"Press ctrl+r to try again{back}."])
