"""Hosts whose model files lie in folders of this machine, behind a line that a test holds or cuts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from core.errors import HostSilent
from core.files import installed
from core.files.installed import InstalledModel
from core.hosts.connection import Completed
from core.hosts.local import LocalConnection
from core.registry.records import Host
from core.registry.store import Registry
from core.settings import Settings
from tests.tui.fake import FakeHosts
from tests.tui.user import press, type_text, until
from tui.modals.host_picker import HostPicker


@dataclass
class Line:
    """The way to one host: answers wait while it is held; nothing comes when it is cut."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def passed(self, host: str) -> None:
        """Whatever is asked goes through here."""
        self.asked += 1
        await self.open.wait()
        if self.cut:
            raise HostSilent(f"{host} does not answer.", cause="It is down.", remedy=f"Try ssh {host}.")


class Behind(LocalConnection):
    """A host behind a line."""

    def __init__(self, host: Host, settings: Settings, line: Line) -> None:
        super().__init__(host, settings)
        self._line = line

    async def run(self, *words: Any, **more: Any) -> Completed:
        await self._line.passed(self.name)
        return await super().run(*words, **more)

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        await self._line.passed(self.name)
        return await super().read(path, offset=offset, length=length)


@dataclass
class Hosts:
    """Folders and lines of `gpu1` and `gpu2`."""

    folders: Mapping[str, Path]
    lines: Mapping[str, Line]

    async def fill(self, registry: Registry) -> None:
        """Their records."""
        for name, folder in self.folders.items():
            await registry.add_host(Host(name=name, target=name, models_dir=str(folder)))


def hosts_in(folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Two hosts, asked by the real code; what other tools keep on this machine is not theirs."""
    made = Hosts({name: folder / name for name in ("gpu1", "gpu2")}, {"gpu1": Line(), "gpu2": Line()})
    for variable in ("HF_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.setenv(variable, str(folder / "no store"))
    connections: dict[str, Behind] = {}

    def connection(_hosts: FakeHosts, host: Host) -> LocalConnection:
        if host.name not in made.lines:
            return LocalConnection(host, settings)
        if host.name not in connections:
            connections[host.name] = Behind(host, settings, made.lines[host.name])
        return connections[host.name]

    monkeypatch.setattr(FakeHosts, "connection", connection)
    return made


def put(folder: Path, place: str, source: str, names: tuple[str, ...] = (), content: bytes = b"weights") -> None:
    """An installed model of these files, or of the one file `place`."""
    files = []
    for path in [f"{place}/{name}" for name in names] or [place]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        files.append({"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    title = place.rpartition("/")[2]
    installed.record(folder, InstalledModel(path=place, title=title, source=source, files=tuple(files)))


async def choose_host(pilot: Pilot[None], host: str, *, key: str, back_on: type[Screen[Any]]) -> None:
    """By its name, in the list that a key opens."""
    await press(pilot, key)
    await until(pilot, lambda: isinstance(pilot.app.screen, HostPicker), "the hosts")
    await type_text(pilot, host)
    await press(pilot, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, back_on), "the list of that host")
