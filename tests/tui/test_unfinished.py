"""What strangers stumbled over in the downloads, by keys: leftovers, files that are gone, a misspelled repository."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.settings import Settings
from tests.downloads.hub import Hub
from tests.tui.test_downloads import downloads, no_hosts_are_watched, no_worker_is_left  # noqa: F401
from tests.tui.user import press, screen_text, until
from tui.modals.download import DownloadDialog
from tui.modals.token import TokenDialog
from tui.widgets.fields import Field


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Without any repository."""
    with Hub().running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.base)
        yield hub


async def test_a_misspelled_repository_is_mended_where_it_was_typed(settings: Settings, hub: Hub) -> None:
    """D11: without a token the Hub doesn't tell; Esc goes back to the text."""
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "a", *"hf:org/nne", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TokenDialog), "the question for a token")
        lines = [line for line in screen_text(pilot).splitlines() if "org/nne" in line]
        assert "There is no org/nne, or it is private." in lines[0]
        assert "Esc goes back to what was typed." in screen_text(pilot)
        await press(pilot, "escape", "x")
        screen = pilot.app.screen
        assert isinstance(screen, DownloadDialog)
        assert screen.query_one("#field-source", Field).value == "hf:org/nnex"
