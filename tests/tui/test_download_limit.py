"""The limit on bandwidth by keys: shown, changed while a real worker downloads, and refused where it is nonsense."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot

from core.downloads.limits import choose_limits
from core.settings import Settings
from tests.downloads.server import FileServer
from tests.tui.test_downloads import (  # noqa: F401 - fixtures
    _look,
    downloads,
    jobs,
    no_hosts_are_watched,
    no_worker_is_left,
)
from tests.tui.user import press, screen_text, toasts, type_text, until
from tui.modals.limit import LimitDialog
from tui.widgets.fields import Field

CONTENT = random.Random(8).randbytes(9_000_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=CONTENT).running() as server:
        yield server


async def limited(pilot: Pilot[None], rate: str) -> None:
    """Type another limit into the dialog."""
    await press(pilot, "l")
    assert isinstance(pilot.app.screen, LimitDialog)
    await type_text(pilot, rate)
    await press(pilot, "enter")


async def test_a_limit_is_set_and_taken_off_while_a_download_runs(settings: Settings, server: FileServer) -> None:
    """D6: the line above the list tells it; what runs goes on with another one, without a stop."""
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "l")
        assert "Limit: It is for downloads: v goes there." in toasts(pilot)
        await press(pilot, "v")
        assert "limit" not in screen_text(pilot).splitlines()[3].lower()
        await limited(pilot, "100kB/s")
        assert "Limited to 100 kB/s" in toasts(pilot)
        await _look(pilot, server.url("model.gguf"))
        await until(pilot, lambda: "8.6 MiB in 1 file" in screen_text(pilot))
        await press(pilot, "enter")
        await until(pilot, lambda: bool(jobs(pilot)) and jobs(pilot)[0].bytes_done > 0, within_s=40)
        assert "limit 100 kB/s" in screen_text(pilot)
        [job] = jobs(pilot)
        assert (job.state, job.bytes_done < len(CONTENT) / 3) == ("running", True), "a minute and a half at this limit"
        await press(pilot, "l")
        assert "Now: 100 kB/s" in screen_text(pilot)
        await press(pilot, "tab", "tab", "enter")
        assert "No limit on bandwidth" in toasts(pilot)
        await until(pilot, lambda: jobs(pilot)[0].state == "done", "done without the limit", within_s=15)
        await until(pilot, lambda: "limit 100" not in screen_text(pilot))
    assert (settings.models_dir / "custom" / "model.gguf").read_bytes() == CONTENT
    assert Settings.load().download_bandwidth == 0


async def test_what_is_no_rate_is_said_beside_the_field(settings: Settings) -> None:
    """D6: nothing is kept then; another program's choice is seen; a file that can't be changed stays as it is."""
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "v")
        await limited(pilot, "8Mb")
        assert "may be bits or bytes" in pilot.app.screen.query_one("#field-rate", Field).problem
        assert "Write MB/s or Mbit/s" in " ".join(screen_text(pilot).replace("│", " ").split())
        await press(pilot, "escape")
        assert Settings.load().download_bandwidth == 0
        choose_limits(settings, rate="1.5MB/s")
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "limit 1.5 MB/s" in screen_text(pilot))
        config = settings.config_dir / "config.toml"
        config.write_text('"download_bandwidth" = 5\n')
        await limited(pilot, "5MB/s")
        await until(pilot, lambda: "download_bandwidth = 5_000_000" in " ".join(screen_text(pilot).split()))
        assert config.read_text() == '"download_bandwidth" = 5\n'
