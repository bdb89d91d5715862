"""Keys that arrive in one burst act in the order they were pressed, each on what the one before it led to."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.keys import _character_to_key
from textual.pilot import Pilot

from tests.tui.fake import Yard
from tests.tui.user import rows, screen_text, select, session, settle, until
from tui import typeahead
from tui.modals.model_form import ModelForm
from tui.screens.downloads import DownloadsScreen
from tui.widgets.fields import Field
from tui.widgets.plain import TextField


def burst(pilot: Pilot[None], *keys: str) -> None:
    """All at once, as a slow line delivers them."""
    for key in keys:
        character = key if len(key) == 1 else None
        pilot.app.post_message(events.Key(_character_to_key(key) if character else key, character))


async def test_a_search_typed_at_once_is_a_search(yard: Yard) -> None:
    async with session(yard) as pilot:
        burst(pilot, "/", *"qwen3-3")
        await until(pilot, lambda: rows(pilot) == ["qwen3-32b"])


async def test_move_and_delete_name_the_row_that_was_moved_to(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "llama-3.3-70b-fp8")
        burst(pilot, "down", "x")
        await until(pilot, lambda: "Delete the model mistral-small-24b?" in screen_text(pilot))


async def test_an_answer_typed_ahead_reaches_the_question(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "mistral-small-24b")
        burst(pilot, "x", "y")
        await until(pilot, lambda: "mistral-small-24b" not in rows(pilot))


async def test_a_form_filled_in_at_once(yard: Yard) -> None:
    async with session(yard) as pilot:
        burst(pilot, "a", *"small one", "tab", "tab", *"org/small")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm))
        await settle(pilot)
        form = pilot.app.screen
        assert form.query_one("#field-name", Field).value == "small one"
        assert form.query_one("#field-model_id", Field).value == "org/small"


async def test_keys_go_on_after_an_action_that_opened_nothing(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "bge-m3")
        burst(pilot, "z", "Z")
        await until(pilot, lambda: rows(pilot) == ["bge-m3"])


async def test_the_patience_of_one_hold_does_not_end_the_next(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typeahead, "_PATIENCE_S", 0.4)
    async with session(yard) as pilot:
        app: Any = pilot.app
        app.hold_keys()
        app.release_keys()
        await until(pilot, lambda: not app._holding)
        monkeypatch.setattr(typeahead, "_PATIENCE_S", 30.0)
        app.hold_keys()
        burst(pilot, "Z")
        fired: list[bool] = []
        app.set_timer(0.6, lambda: fired.append(True))
        await until(pilot, lambda: bool(fired))
        assert app._holding
        app.release_keys()
        await until(pilot, lambda: "Nothing is archived." in screen_text(pilot))


class _Deep(App[None]):
    """A field, some boxes deep."""

    CSS = "TextField { height: 1; }"

    def compose(self) -> ComposeResult:
        with Vertical(), Vertical():
            yield TextField("hello")


async def test_keys_that_come_in_one_go_keep_their_order_in_fields() -> None:
    """X9: on a slow line letters and corrections arrive together; none overtakes another."""
    app = _Deep()
    async with app.run_test() as pilot:
        app.query_one(TextField).focus()
        await pilot.pause()
        burst(pilot, "ctrl+u", *"abc", "backspace", "d", "left", "x")
        await until(pilot, lambda: app.query_one(TextField).value == "abxd", "what was meant")


async def test_tabs_changed_at_once_end_at_the_right_one(yard: Yard) -> None:
    """D8, X9: two presses are two tabs, also while the first is on its way."""
    async with session(yard) as pilot:
        burst(pilot, "6")
        await until(pilot, lambda: isinstance(pilot.app.screen, DownloadsScreen))
        screen = pilot.app.screen
        assert isinstance(screen, DownloadsScreen)
        order = list(screen.views)
        began = order.index(screen.view_name)
        burst(pilot, "v", "v")
        await until(pilot, lambda: screen.view_name == order[(began + 2) % len(order)], "two tabs on")
        assert len(screen.query("#list")) == 1
        assert "That didn't work" not in screen_text(pilot)
