"""Pick the host whose models are shown (D8): each with its models folder, and what is free as soon as it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content

from core.errors import ModelyardError
from core.registry.values import LOCAL_HOST
from tui.modals.choose import ChooseDialog
from tui.show import line, named, size, toned
from tui.widgets.picker import Option

if TYPE_CHECKING:
    from textual.app import App

    from core.app import Modelyard
    from core.hosts.connection import DiskUsage
    from core.hosts.values import HostOverview
    from core.registry.records import Host

_AT_ONCE = 8
_PATIENCE_S = 15.0
_NAME, _FOLDER = 16, 21  # cells
_LITTLE = 20  # less than this part of a disk is


async def pick_host(app: App[Any], yard: Modelyard, current: str) -> str | None:
    """The name of the host that is picked, None for none."""
    return await app.push_screen_wait(HostPicker(yard, await yard.registry.hosts(), current))


class HostPicker(ChooseDialog):
    """The name of a host, or None; all are asked at once, and none is waited for."""

    CSS_PATH: ClassVar = ["dialog.tcss", "choose.tcss"]

    def __init__(self, yard: Modelyard, hosts: Sequence[Host], current: str) -> None:
        ordered = sorted(hosts, key=lambda host: (host.name != LOCAL_HOST, host.name.casefold()))
        options = [Option(host.name, named(host.name), host.models_dir) for host in ordered]
        super().__init__("Installed models of", options, current)
        self._yard = yard
        self._told = {host.name: toned("asking…", "dim") for host in hosts}

    def on_mount(self) -> None:
        self.run_worker(self._ask_all(), group="look", exit_on_error=True)

    async def _ask_all(self) -> None:
        some = asyncio.Semaphore(_AT_ONCE)

        async def ask(name: str) -> None:
            async with some:
                self._told[name] = await self._disk(name)
            self._draw()

        await asyncio.gather(*map(ask, list(self._told)))

    async def _disk(self, name: str) -> Content:
        """What is free on its disk, or why nobody knows."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return _told(await self._yard.hosts.overview(name))
        except TimeoutError:
            return toned("no answer in time", "bad")
        except ModelyardError:  # it was removed meanwhile
            return toned("✗ not known", "bad")

    def _line(self, number: int) -> Content:
        """In columns."""
        option, here = self._shown[number], number == self._at
        name = line(option.label).truncate(_NAME, ellipsis=True, pad=True)
        folder = line(option.detail or "no models folder").truncate(_FOLDER, ellipsis=True, pad=True)
        return Content.assemble(
            ("▌ " if here else "  ", "bold $text-primary"),
            name.stylize("bold $text-primary") if here else name,
            (" ✓ " if option.key == self._current else "   ", "$text-success"),
            folder.stylize("$quiet"),
            "  ",
            self._told[option.key],
        )


def _told(overview: HostOverview) -> Content:
    if not overview.reachable:
        return toned("✗ can't be reached", "bad")  # the Hosts screen says why
    return _free(overview.disk) if overview.disk else toned("not told", "dim")


def _free(disk: DiskUsage) -> Content:
    return toned(f"{size(disk.free)} free of {size(disk.total)}", "warn" if disk.free < disk.total // _LITTLE else "")
