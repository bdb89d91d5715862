"""Files of this machine by keys (D5): other kinds are refused beside the field, pickles are warned of."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from core.settings import Settings
from tests.tui.user import press, screen_text, start, type_text, until
from tests.unit.pickles import running, zipped
from tui.app import ModelyardApp


async def test_kinds_that_no_model_is_made_of_are_refused_and_pickles_warned_of(
    settings: Settings, tmp_path: Path
) -> None:
    """D5."""
    (tmp_path / "setup.exe").write_bytes(b"MZ")
    (tmp_path / "evil.pth").write_bytes(zipped(running(tmp_path / "victim")))
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await press(pilot, "6", "a")
        await type_text(pilot, str(tmp_path / "setup.exe"))
        await press(pilot, "enter")
        await until(pilot, lambda: "not a model's file" in _told(pilot), "the refusal")
        await press(pilot, "home", "ctrl+k")
        await type_text(pilot, str(tmp_path / "evil.pth"))
        await press(pilot, "enter")
        await until(pilot, lambda: "imports posix.system" in _told(pilot), "the warning")
    assert not (tmp_path / "victim").exists()


def _told(pilot: Pilot[None]) -> str:
    """The screen as one line: what is said may be wrapped."""
    return " ".join(screen_text(pilot).replace("│", " ").split())
