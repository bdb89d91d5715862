"""The servers of all hosts, live (P14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType
from textual.content import Content

from core.registry.values import ACTIVE, ServerStatus
from core.text import clean_line
from tui import operations
from tui.keys import bindings
from tui.screens.base import ListScreen
from tui.screens.model_card import engine_label, status_sentence
from tui.show import block, line, moment, pairs, size, status_mark, toned, uptime
from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList

if TYPE_CHECKING:
    from core.registry.records import Host, Server


class ServerList(PagedList["Server"]):
    """One snapshot of all servers."""

    COLUMNS = (
        Column("STATUS", 13, weight=1, most=24),
        Column("MODEL", 14, weight=4, most=40),
        Column("ENGINE", 9, from_width=76),
        Column("HOST", 8, weight=2, most=24),
        Column("PORT", 5, right=True),
        Column("UPTIME", 6, right=True),
        Column("GPU MEM", 8, right=True),
    )

    def __init__(self) -> None:
        super().__init__(id="list")
        self.snapshot: Sequence[Server] = ()
        self.lost: dict[str, Host] = {}

    async def fetch(self, offset: int, limit: int) -> Chunk[Server]:
        return Chunk(self.snapshot[offset : offset + limit], len(self.snapshot))

    def row_id(self, row: Server) -> str:
        return row.id

    def cells(self, row: Server) -> tuple[Cell, ...]:
        mark = status_mark(row, unreachable=row.host_id in self.lost)
        return (
            Cell(mark.text, mark.tone, short=mark.short),
            Cell(row.model_name),
            Cell(engine_label(row.server_type)),
            Cell(row.host_name),
            Cell(str(row.port or "-")),
            Cell(uptime(row.uptime_seconds)),
            Cell(size(row.gpu_memory)),
        )


class ServersScreen(ListScreen):
    """Watch what runs, and act on it."""

    PLACE = "servers"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("servers")]

    def make_list(self) -> PagedList[Any]:
        return ServerList()

    @property
    def servers(self) -> ServerList:
        """The list, in its own type."""
        return self.query_one(ServerList)

    @property
    def chosen(self) -> Server:
        """The selected server, in an action that `why_not` has let through."""
        server = self.servers.selected
        if server is None:
            raise RuntimeError("no line is selected")
        return server

    async def load(self, select: str | None) -> None:
        hosts = await self.yard.registry.hosts()
        servers = await self.yard.registry.servers()
        self.servers.lost = {host.id: host for host in hosts if host.unreachable_since is not None}
        self.servers.snapshot = sorted(servers, key=lambda s: (s.status not in ACTIVE, s.model_name, s.host_name))
        await super().load(select)
        if not self.servers.count:
            self.show_selected()

    def when_empty(self) -> str:
        return "Nothing is deployed.\n\nPress 1 for the models, and d on one of them to deploy it."

    def card(self, room: int) -> Content:
        server = self.servers.selected
        if server is None:
            return Content()
        lost = self.servers.lost.get(server.host_id)
        return Content("\n\n").join([_title(server, lost), _facts(server, lost, room)])

    def why_not(self, key_id: str) -> str:
        server = self.servers.selected
        name = key_id.removeprefix("servers.")
        if not key_id.startswith("servers."):
            return ""
        return "Nothing is selected." if server is None else _why_not(name, ServerStatus(server.status))

    async def do_logs(self) -> None:
        """Show its logs."""
        await operations.show_logs(self.modelyard, self.chosen)

    async def do_stop(self) -> None:
        """Stop it."""
        await operations.stop(self.modelyard, self.chosen)

    async def do_restart(self) -> None:
        """Stop and start it."""
        await operations.restart(self.modelyard, self.chosen)

    async def do_chat(self) -> None:
        """Talk to its model."""
        await operations.chat(self.modelyard, self.chosen.model_id, self.chosen.model_name)

    async def do_remove(self) -> None:
        """Remove container and record."""
        await operations.remove_server(self.modelyard, self.chosen)
        self.reload_soon()


def _why_not(name: str, status: ServerStatus) -> str:
    match name:
        case "stop":
            return "" if status in ACTIVE and status is not ServerStatus.STOPPING else f"It is {status.value}."
        case "restart":
            return "It is being worked on." if status in {ServerStatus.STARTING, ServerStatus.STOPPING} else ""
        case "chat":
            return "" if status is ServerStatus.RUNNING else "It is not running."
        case "remove":
            return f"It is {status.value}: stop it first." if status in ACTIVE else ""
    return ""


def _title(server: Server, lost: Host | None) -> Content:
    mark = status_mark(server, unreachable=lost is not None)
    sentence = toned(f"{mark.symbol} {status_sentence(server, lost=lost is not None)}", mark.tone)
    parts = [line(server.model_name).stylize("bold"), sentence]
    if lost is not None and lost.problem:
        parts.append(block(lost.problem))
    return Content("\n").join(parts)


def _facts(server: Server, lost: Host | None, room: int) -> Content:
    return pairs(
        [
            ("At", server.phase if server.status in {ServerStatus.STARTING, ServerStatus.LOADING} else ""),
            ("Cause", server.cause),
            ("Remedy", server.remedy),
            ("URL", f"{server.url}/v1/chat/completions" if server.url and server.status in ACTIVE else ""),
            ("Served as", server.served_name),
            ("Host", server.host_name),
            ("Engine", f"{engine_label(server.server_type)}, {server.runtime}"),
            ("Image", server.image),
            ("Container", server.container_name),
            ("GPUs", ", ".join(server.gpus)),
            ("GPU memory", size(server.gpu_memory) if server.gpu_memory else ""),
            ("Started", moment(server.started_at) if server.started_at else ""),
            ("Uptime", uptime(server.uptime_seconds) if server.uptime_seconds is not None else ""),
            ("Stopped", moment(server.stopped_at) if server.stopped_at else ""),
            ("Restarts", str(server.restarts) if server.restarts else ""),
            ("Last seen", moment(server.observed_at) if lost is not None and server.observed_at else ""),
            ("Id", clean_line(server.id)),
        ],
        room,
    )
