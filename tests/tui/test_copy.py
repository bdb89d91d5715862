"""Model files to hosts by keys: choose, follow, leave alone, and what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from core.downloads.copies import CopyEvent
from core.downloads.copy_events import CopyDone, CopyFailed, CopyProgress
from core.downloads.outgoing import Outgoing, OutgoingFile
from core.errors import NotAllowed
from core.registry.records import Host
from core.registry.store import Registry
from core.settings import Settings
from tests.tui.fake import Yard
from tests.tui.user import press, screen_text, session, settle, toasts, until

_FILE = OutgoingFile(path=Path("/m.gguf"), place="org/m.gguf", size=3 << 30, mtime_ns=0)


class FakeCopies:
    """Copies that are where the test lets them be."""

    def __init__(self, refused: NotAllowed | None = None) -> None:
        self.refused = refused
        self.hosts: list[str] = []
        self.go_on = asyncio.Event()
        self.ended = False

    async def find(self, ref: str) -> Outgoing:
        if self.refused:
            raise self.refused
        return Outgoing(title="m", place="org/m.gguf", files=(_FILE,))

    async def copy(self, ref: str, hosts: Sequence[str]) -> AsyncIterator[CopyEvent]:
        self.hosts = list(hosts)
        try:
            for host in hosts:
                yield _progress(host)
            await self.go_on.wait()
            yield CopyDone(host=hosts[0], path="/srv/models/org/m.gguf", files=1, size=3 << 30, sent=3 << 30)
            for host in hosts[1:]:
                told = {"message": f"{host}: the disk is \x1b[2Jfull.", "cause": "[/b] x", "remedy": "Free some room."}
                yield CopyFailed(host=host, path="", error="DiskFull", **told)  # type: ignore[arg-type]
        finally:
            self.ended = True


def _progress(host: str) -> CopyProgress:
    done = {"done": 1 << 30, "total": 3 << 30, "rate": 5.0 * (1 << 20)}
    return CopyProgress(task=host, text="", host=host, state="sending", **done)  # type: ignore[arg-type]


async def _fill(registry: Registry) -> None:
    await registry.add_model({"name": "small", "provider": "llamacpp", "path": "/m.gguf"})
    for number in (1, 2, 3):
        await registry.add_host(Host(name=f"gpu{number}", target=f"gpu{number}", models_dir="/srv/models"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_choose_hosts_and_follow(settings: Settings, size: tuple[int, int]) -> None:
    """By keys: two of three hosts are marked; progress and the end of each are shown."""
    copies = FakeCopies()
    async with session(Yard(settings, fill=_fill, copies=copies), size=size) as pilot:
        await press(pilot, "C")
        await until(pilot, lambda: "1 file, 3" in screen_text(pilot), "its files are known")
        assert "[ ] gpu1  /srv/models/org/m.gguf" in screen_text(pilot)
        await press(pilot, "space", "down", "down", "space", "enter")
        await until(pilot, lambda: screen_text(pilot).count("33 %  sending  5") == 2, "both are under way")
        assert copies.hosts == ["gpu1", "gpu3"]
        copies.go_on.set()
        await until(pilot, lambda: "✓ there and right" in screen_text(pilot), "one is there")
        await until(pilot, lambda: "gpu3: the disk is full." in screen_text(pilot), "one failed")
        assert "[/b] x" in screen_text(pilot)
        assert "1 of 2 hosts" in screen_text(pilot)
        await press(pilot, "escape")
        assert "Copy to hosts" not in screen_text(pilot)


async def test_escape_closes_and_the_copies_go_on(settings: Settings) -> None:
    """D8: a copy is a job; nothing is stopped by looking away."""
    copies = FakeCopies()
    async with session(Yard(settings, fill=_fill, copies=copies)) as pilot:
        await press(pilot, "C")
        await until(pilot, lambda: "1 file, 3" in screen_text(pilot))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "33 %  sending" in screen_text(pilot))
        assert copies.hosts == ["gpu2"]
        await pilot.press("escape")
        await until(pilot, lambda: copies.ended, "nobody follows any more")
        await settle(pilot)
        assert "Copy to hosts" not in screen_text(pilot)
        assert any("The copies go on" in toast for toast in toasts(pilot))


async def test_what_can_not_be_copied_is_told(settings: Settings) -> None:
    copies = FakeCopies(NotAllowed("The files of small are on gpu1.", remedy="Download them here first."))
    async with session(Yard(settings, fill=_fill, copies=copies)) as pilot:
        await press(pilot, "C", "enter")
        await until(pilot, lambda: "Download them here first." in screen_text(pilot))
        assert copies.hosts == []
