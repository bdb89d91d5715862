"""What models take on the disks (D8): by family on the host that is shown, and in all on each other one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from core.files.stores import LABELS
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.show import bar, hanging, line, named, plural, size, toned
from tui.widgets.plain import Flow

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.files.model_files import Usage
    from core.hosts.values import HostOverview
    from core.registry.records import Host
    from tui.screens.download_cards import FileRow
    from tui.screens.download_views import Known

_PATIENCE_S = 15.0
_LOOK_S = 60.0
_NAME, _BAR = 34, 16
_MOST_MODELS = 10
_LITTLE = 20  # less than this part of a disk


class UsageDialog(Dialog[None]):
    """Families and the largest models at once; hosts as they answer."""

    HEADING = "Disk usage"
    KEYS = ("read",)
    AUTO_FOCUS = "#usage"
    CSS_PATH: ClassVar = ["dialog.tcss", "download.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("read")]

    def __init__(self, yard: Modelyard, known: Known) -> None:
        super().__init__()
        self._yard = yard
        self._known = known
        self._hosts: dict[str, Content] = {}

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="usage", classes="fields"):
            yield Flow(id="found")

    def on_mount(self) -> None:
        self.run_worker(self._ask_all(), group="look", exit_on_error=True)

    async def _ask_all(self) -> None:
        hosts = [host for host in await self._yard.registry.hosts() if host.name != self._known.host]
        self._hosts = {host.name: toned("asking…", "dim") for host in hosts}
        self.call_after_refresh(self._draw)
        await asyncio.gather(*(self._ask(host) for host in hosts))

    async def _ask(self, host: Host) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                overview = await self._yard.hosts.overview(host.name)
        except (ModelyardError, TimeoutError) as error:
            self._hosts[host.name] = toned(f"✗ {getattr(error, 'message', 'It did not answer in time.')}", "bad")
        else:
            self._hosts[host.name] = _amounts("…", overview)
            if overview.reachable:
                self._draw()
                self._hosts[host.name] = _amounts(await self._taken(host), overview)
        self._draw()

    async def _taken(self, host: Host) -> str:
        """What models take there: a look at all of its models folder, which comes after what is told at once."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return size((await (await self._yard.files_of(host.name)).usage()).total)
        except (ModelyardError, TimeoutError):
            return "?"

    def _draw(self) -> None:
        for flow in self.query(Flow):
            flow.flow(lambda room: Content("\n").join(self._lines(room)))

    def _lines(self, room: int) -> list[Content]:
        usage = self._known.usage
        where = named(self._known.host)
        if usage is None:
            return [toned(f"The models folder of {where} can't be read.", "bad")]
        kept = {LABELS.get(store, store): amount for store, amount in usage.stores.items()}
        families = sorted((usage.families | kept).items(), key=lambda pair: -pair[1])
        largest = sorted(self._known.files, key=lambda row: -row.size)[:_MOST_MODELS]
        return [
            line(
                f"{size(usage.total)} in {plural(len(usage.models), 'model')} on {where}, {size(usage.free)} free"
            ).stylize("bold"),
            toned(usage.folder, "dim"),
            *_unfinished(usage),
            *_table("By family", families),
            *_table("The largest", _sizes(largest)),
            *(
                [Content(), Content.styled("Other hosts: what models take, what is free", "$quiet")]
                if self._hosts
                else []
            ),
            *(hanging(_named(named(name)), told, room) for name, told in self._hosts.items()),
        ]


def _unfinished(usage: Usage) -> list[Content]:
    """What nobody may need any more."""
    if not usage.unfinished_count:
        return []
    count = plural(usage.unfinished_count, "unfinished download")
    return [line(f"{size(usage.unfinished)} of it in {count}; in the list t tidies up")]


def _sizes(rows: Sequence[FileRow]) -> list[tuple[str, int]]:
    return [(row.shown, row.size) for row in rows]


def _table(title: str, rows: Sequence[tuple[str, int]]) -> list[Content]:
    most = max((amount for _, amount in rows), default=0)
    head = [Content(), Content.styled(title, "$quiet")]
    return [*head, *(_row(name, amount, most) for name, amount in rows)] if rows else []


def _named(name: str) -> Content:
    return line(name).truncate(_NAME, ellipsis=True, pad=True) + Content("  ")


def _row(name: str, amount: int, most: int) -> Content:
    share = bar(amount, most, width=_BAR).rstrip("░")
    return Content.assemble(_named(name), f"{size(amount):>9}  ", (share, "$text-accent"))


def _amounts(taken: str, overview: HostOverview) -> Content:
    disk = overview.disk
    if not overview.reachable:
        return toned(f"✗ {overview.problem or 'no answer'}", "bad")
    if disk is None:
        return toned(f"{taken:>9}  ? {overview.problem or 'the disk is not told'}", "warn")
    free = toned(f"{size(disk.free)} free", "warn" if disk.free < disk.total // _LITTLE else "")
    return Content.assemble(f"{taken:>9}  ", free)
