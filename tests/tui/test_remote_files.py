"""The models of a real host by keys: seen, checked, taken up, deleted, and its line cut meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.files import installed
from core.settings import Settings
from tests.downloads.inline import working
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.tui.there import put
from tests.tui.user import press, rows, screen_text, select, start, toasts, type_text, until
from tui.app import ModelyardApp

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def host(fleet: Fleet) -> Iterator[FleetHost]:
    """With one model, and a file that nobody told of."""
    host = fleet.hosts[0]
    put(host.models_folder, "org/tuned", "hf:org/tuned@9f1c2e", ("config.json", "a.safetensors"), b"x" * 200_000)
    (host.models_folder / "custom").mkdir()
    (host.models_folder / "custom" / "carried.safetensors").write_bytes(b"carried")
    yield host
    host.exec(["sh", "-c", f"cd {host.models_dir} && rm -rf org custom .installed* installed*"])


async def test_the_models_of_a_host_are_looked_after(
    fleet: Fleet, host: FleetHost, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D7, D8, D9, L8: each works there as here, and the rows stay when the line is lost."""
    folder = host.models_folder
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        assert app.yard is not None
        await app.yard.hosts.add(host.name, ssh_config=str(fleet.ssh_config), models_dir=host.models_dir)
        async with working(app.yard, monkeypatch):
            await press(pilot, "6", "h")
            await type_text(pilot, host.name)
            await press(pilot, "enter")
            await until(pilot, lambda: "org/tuned" in rows(pilot), "what is there")
            await until(
                pilot, lambda: f"Installed {len(rows(pilot))} on {host.name}" in screen_text(pilot), "all of it"
            )
            assert "custom/carried.safetensors" in rows(pilot)
            (folder / "org/tuned/a.safetensors").write_bytes(b"y" * 200_000)
            await select(pilot, "org/tuned")
            await press(pilot, "V")
            await until(pilot, lambda: "✗ 1 bad" in screen_text(pilot), "what the check found")
            await press(pilot, "u")
            await until(pilot, lambda: "taken up; none was changed" in screen_text(pilot), "taken up")
            await press(pilot, "escape")
            await until(pilot, lambda: "? not known" not in screen_text(pilot), "all is known")
            assert "custom/carried.safetensors" in _told(folder)
            await select(pilot, "org/tuned")
            await press(pilot, "D")
            await until(pilot, lambda: f"from the disk of {host.name}?" in screen_text(pilot), "the question")
            await press(pilot, "y")
            await until(pilot, lambda: "org/tuned" not in rows(pilot), "gone")
            assert not (folder / "org/tuned/config.json").exists()
            before = rows(pilot)
            host.take_down_sshd()
            await press(pilot, "ctrl+r")
            await until(pilot, lambda: "! as of 20" in screen_text(pilot), "that it is old")
            assert rows(pilot) == before
            assert any(toast.startswith("Not up to date") for toast in toasts(pilot))


def _told(folder: Path) -> list[str]:
    return [model.path for model in installed.read(folder)]
