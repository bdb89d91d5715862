"""The machines that can serve: what they have, what is free, and what the doctor says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType
from textual.content import Content

from core.events import Event, HostChanged
from core.findings import Finding
from core.registry.values import LOCAL_HOST
from tui import operations
from tui.keys import bindings
from tui.screens.base import ListScreen
from tui.screens.host_card import gpu_words, host_card
from tui.show import UNREACHABLE, size
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList

if TYPE_CHECKING:
    from core.hosts.values import HostOverview
    from core.registry.records import Host

_AT_ONCE = 8


@dataclass(frozen=True)
class HostRow:
    """A host, what it last said (None: not asked yet), and what the doctor found (None: not run)."""

    host: Host
    overview: HostOverview | None = None
    findings: tuple[Finding, ...] | None = None
    checking: bool = False


class HostList(PagedList[HostRow]):
    """One snapshot of all hosts."""

    COLUMNS = (
        Column("NAME", 12, weight=2, most=28),
        Column("STATE", 13),
        Column("ENGINE", 13, weight=1, most=22),
        Column("GPUS", 14, weight=4),
        Column("DISK FREE", 9, right=True),
        Column("CPUS", 4, right=True, from_width=100),
        Column("MEM FREE", 9, right=True, from_width=100),
    )

    def __init__(self) -> None:
        super().__init__(id="list")
        self.snapshot: Sequence[HostRow] = ()

    async def fetch(self, offset: int, limit: int) -> Chunk[HostRow]:
        return Chunk(self.snapshot[offset : offset + limit], len(self.snapshot))

    def row_id(self, row: HostRow) -> str:
        return row.host.id

    def cells(self, row: HostRow) -> tuple[Cell, ...]:
        overview = row.overview
        state = _state(row)
        if overview is None or not overview.reachable:
            return (Cell(row.host.name), state, Cell("-", "dim"), Cell("-", "dim"), *(Cell("-", "dim"),) * 3)
        return (
            Cell(row.host.name),
            state,
            Cell(overview.engine or "no engine", "" if overview.engine else "warn"),
            Cell(
                gpu_words(overview.gpus),
                "" if overview.gpus else "dim",
                short=gpu_words(overview.gpus, with_bar=False),
            ),
            Cell(size(overview.disk.free) if overview.disk else "-"),
            Cell(str(overview.cpus or "-")),
            Cell(size(overview.memory_available)),
        )


def _state(row: HostRow) -> Cell:
    if row.overview is None:
        if row.host.unreachable_since is not None:
            return Cell(UNREACHABLE.text, UNREACHABLE.tone)
        return Cell("◔ asking", "busy")
    if not row.overview.reachable:
        return Cell(UNREACHABLE.text, UNREACHABLE.tone)
    return Cell("● ready", "good") if not row.overview.problem else Cell("! limited", "warn")


class HostsScreen(ListScreen):
    """Add machines, and see how they are."""

    PLACE = "hosts"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("hosts")]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, HostRow] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    def make_list(self) -> PagedList[Any]:
        return HostList()

    @property
    def hosts(self) -> HostList:
        """The list, in its own type."""
        return self.query_one(HostList)

    @property
    def chosen(self) -> HostRow:
        """The selected host, in an action that `why_not` has let through."""
        row = self.hosts.selected
        if row is None:
            raise RuntimeError("no line is selected")
        return row

    # Loading

    async def load(self, select: str | None) -> None:
        hosts = await self.yard.registry.hosts()
        known = self._rows
        self._rows = {host.name: _renewed(known.get(host.name), host) for host in hosts}
        await self._show(select)
        for name in self._rows:
            if name not in known:
                self._ask_soon(name)

    async def _show(self, select: str | None = None) -> None:
        self.hosts.snapshot = list(self._rows.values())
        await super().load(select)
        if not self.hosts.count:
            self.show_selected()

    def on_core(self, event: Event | None) -> None:
        super().on_core(event)
        if isinstance(event, HostChanged) and event.host in self._rows:
            self._ask_soon(event.host)

    def _ask_soon(self, name: str) -> None:
        self.modelyard.guard(self._ask(name), group="ask")

    async def _ask(self, name: str) -> None:
        async with self._places:
            overview = await self.yard.hosts.overview(name)
        await self._change(name, overview=overview)

    async def _change(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - the fields of HostRow
        from dataclasses import replace

        if name in self._rows:
            self._rows[name] = replace(self._rows[name], **changes)
            await self._show()

    async def _ask_hosts(self) -> None:
        for name in self._rows:
            self._ask_soon(name)
        await super()._ask_hosts()

    def when_empty(self) -> str:
        return "No hosts.\n\nPress a to add one."

    # The selected host

    def card(self, room: int) -> Content:
        row = self.hosts.selected
        if row is None:
            return Content()
        return host_card(row.host, row.overview, row.findings, room, checking=row.checking)

    def why_not(self, key_id: str) -> str:
        if not key_id.startswith("hosts.") or key_id == "hosts.add":
            return ""
        row = self.hosts.selected
        if row is None:
            return "No host is selected."
        local = row.host.kind == "local" or row.host.name == LOCAL_HOST
        return "This machine is always there." if key_id == "hosts.remove" and local else ""

    async def do_add(self) -> None:
        """Fill in a form; the new host is selected."""
        from tui.modals.host_form import HostForm

        added = await self.app.push_screen_wait(HostForm(self.yard.hosts))
        if added is not None:
            self.reload_soon(select=added)

    async def do_check(self) -> None:
        """Run the doctor; its findings stand in the card."""
        name = self.chosen.host.name
        if not self.has_class("-wide"):
            self.add_class("-show-card")
        await self._change(name, checking=True)
        try:
            found = await self.yard.hosts.check(name)
            await self._change(name, findings=tuple(found))
        finally:
            await self._change(name, checking=False)

    async def do_files(self) -> None:
        """Look through its folders."""
        from tui.modals.host_files import HostFilesDialog

        added = await self.app.push_screen_wait(HostFilesDialog(self.yard, self.chosen.host))
        if added is not None:
            model = await self.yard.registry.get_model(added)
            self.modelyard.toast(f"Added the model {model.name}; the models screen deploys it", timeout=8)
        self.reload_soon()

    async def do_models(self) -> None:
        """Its installed models, on the screen that is for them."""
        from tui.screens.downloads import DownloadsScreen

        name = self.chosen.host.name
        await self.app.switch_mode("downloads")
        if isinstance(self.app.screen, DownloadsScreen):
            await self.app.screen.show_host(name)

    async def do_refresh(self) -> None:
        """Ask it again."""
        name = self.chosen.host.name
        await self._change(name, overview=None)
        self._ask_soon(name)

    async def do_remove(self) -> None:
        """Forget it, after a question."""
        name = self.chosen.host.name
        details = [f"Forgotten: {name} and what is known of its servers.", "Nothing on the host is stopped or deleted."]
        if await operations.confirm(self.modelyard, f"Remove the host {name}?", details=details, yes="Remove"):
            await self.yard.hosts.remove(name)
            self.modelyard.toast(f"Removed {name}")
            self.reload_soon()


def _renewed(row: HostRow | None, host: Host) -> HostRow:
    return HostRow(host, row.overview, row.findings, row.checking) if row else HostRow(host)
