"""The main job by keys on a real remote host: meet it, register a file that lies there, deploy, talk, stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.settings import Settings
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.test_main_job import checksums
from tests.tui.user import press, rows, screen_text, settle, start, toasts, type_text, until
from tui.app import ModelyardApp
from tui.modals.chat import ChatDialog
from tui.modals.choose import ChooseDialog
from tui.modals.fingerprint import FingerprintDialog
from tui.widgets.fields import Field

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> FleetHost:
    return clean_hosts.hosts[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_the_main_job(
    clean_hosts: Fleet, host: FleetHost, remote_model: str, settings: Settings, tmp_path: Path, size: tuple[int, int]
) -> None:
    config = clean_hosts.write_ssh_config(tmp_path / "config", known_hosts=tmp_path / "known_hosts")
    before = checksums(host.models_folder)
    app = ModelyardApp(settings)
    async with app.run_test(size=size, notifications=True) as pilot:
        await start(pilot)
        await _add_host(pilot, host, config)
        await _add_model(pilot, host, remote_model)
        await press(pilot, "d", "ctrl+s")
        await until(pilot, lambda: "llama.cpp as a container" in screen_text(pilot), "the dry run", within_s=30)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "Answers at http://127.0.0.1:" in screen_text(pilot), "running", within_s=90)
        assert any("http://127.0.0.1:" in toast for toast in toasts(pilot))
        await until(pilot, lambda: bool(pilot.app.screen.query("#button-close")))
        await settle(pilot)
        await press(pilot, "escape", "c")
        await type_text(pilot, "Say hello")
        await press(pilot, "enter")
        await until(pilot, lambda: "tokens/s" in screen_text(pilot), "the whole answer", within_s=120)
        await _leave_chat(pilot)
        await press(pilot, "2", "l")
        await until(pilot, lambda: "llama_server" in screen_text(pilot), "the engine's lines", within_s=30)
        await press(pilot, "escape", "s", "y")
        await until(pilot, lambda: "○ stopped" in screen_text(pilot), "stopped", within_s=60)
    assert host.docker("ps", "-q") == ""
    assert checksums(host.models_folder) == before


async def _leave_chat(pilot: Pilot[None]) -> None:
    """The first Escape stops an answer that is still being written, the next one closes."""
    while isinstance(pilot.app.screen, ChatDialog):
        await press(pilot, "escape")


async def _add_host(pilot: Pilot[None], host: FleetHost, config: Path) -> None:
    """First contact: the key's fingerprint is shown, compared and accepted."""
    await press(pilot, "3", "a")
    await _fill(pilot, name=host.name, target=host.name, models_dir=host.models_dir, ssh_config=str(config))
    await press(pilot, "ctrl+s")
    await until(pilot, lambda: isinstance(pilot.app.screen, FingerprintDialog), "the fingerprint", within_s=30)
    assert host.fingerprint in screen_text(pilot).replace("\n", "")
    await press(pilot, "y")
    await until(pilot, lambda: host.name in rows(pilot), "the host is listed", within_s=30)
    await press(pilot, "1")


async def _add_model(pilot: Pilot[None], host: FleetHost, path: str) -> None:
    await press(pilot, "a")
    await _fill(pilot, name="smol", model_id="HuggingFaceTB/SmolLM2", path=path)
    field: Any = pilot.app.screen.query_one("#field-host", Field)
    pilot.app.screen.set_focus(field.control)
    await press(pilot, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ChooseDialog), "the hosts to choose from")
    await type_text(pilot, host.name)
    await press(pilot, "enter")
    await until(pilot, lambda: field.value == host.name, "the host is chosen")
    await press(pilot, "ctrl+s")
    await until(pilot, lambda: rows(pilot) == ["smol"], "the model is listed")


async def _fill(pilot: Pilot[None], **values: str) -> None:
    for name, text in values.items():
        field: Any = pilot.app.screen.query_one(f"#field-{name}", Field)
        pilot.app.screen.set_focus(field.control)
        await type_text(pilot, text)
