"""The models screen, used by keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.app import Modelyard
from core.errors import ModelyardError
from core.registry.store import Registry
from core.registry.values import ServerStatus
from core.settings import Settings
from tests.tui.fake import Yard
from tests.tui.user import (
    press,
    rows,
    screen_text,
    select,
    selected,
    session,
    toasts,
    type_text,
    until,
)
from tui.app import ModelyardApp


async def test_list_shows_all_and_their_states(yard: Yard) -> None:
    async with session(yard) as pilot:
        text = screen_text(pilot)
        assert "Showing 10 of 10 models" in text
        marks = ("● running", "◐ loading", "✗ failed", "○ stopped", "? unreachable", "· not deployed", "· hosted")
        for state in marks:
            assert state in text


async def test_search_filters_while_typing_and_escape_clears(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "slash")
        await type_text(pilot, "qwen")
        await until(pilot, lambda: "Showing 4 of 10" in screen_text(pilot))
        assert rows(pilot) == ["deepseek-r1-distill-14b", "qwen2.5-vl-7b", "qwen3-32b", "support-bot-v4"]
        await press(pilot, "enter", "escape")
        await until(pilot, lambda: "Showing 10 of 10" in screen_text(pilot))


async def test_keys_typed_in_the_search_are_text(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "slash")
        await type_text(pilot, "q2x")
        assert pilot.app.current_mode == "models"
        assert len(pilot.app.screen_stack) == 1
        await until(pilot, lambda: "No model matches" in screen_text(pilot))


async def test_provider_menu_and_ownership_combine_with_search(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "p", "v", "enter")
        await until(pilot, lambda: "provider vllm" in screen_text(pilot))
        assert "gemma-3-12b-it" not in rows(pilot)
        await press(pilot, "f")
        await type_text(pilot, "owner global")
        await press(pilot, "enter")
        await until(pilot, lambda: "owner global" in screen_text(pilot))
        assert rows(pilot) == []
        assert "Press Esc" in screen_text(pilot)


async def test_card_says_what_and_why_not(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        text = screen_text(pilot)
        for part in (
            "Running vLLM on port 8000",
            "http://127.0.0.1:8000/v1/chat/completions",
            "It is running already.",
        ):
            assert part in text
        await press(pilot, "d")
        assert any("running already" in toast for toast in toasts(pilot))
        assert len(pilot.app.screen_stack) == 1


async def test_failed_start_shows_cause_and_remedy(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "llama-3.3-70b-fp8")
        text = " ".join(screen_text(pilot).split())
        assert "Lower the GPU memory share" in text
        assert "70.6 GiB" in text


async def test_card_below_in_80_columns_is_toggled_by_enter(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        assert "Sampling" not in screen_text(pilot)
        await press(pilot, "enter")
        assert "Sampling" in screen_text(pilot)
        await press(pilot, "escape")
        assert "Sampling" not in screen_text(pilot)


async def test_resize_moves_the_card_and_keeps_the_selection(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await select(pilot, "qwen3-32b")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "Sampling" in screen_text(pilot), "the card")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "Sampling" not in screen_text(pilot), "the list alone")
        assert selected(pilot) == "qwen3-32b"
        assert all(len(line) <= 80 for line in screen_text(pilot).split("\n"))


async def test_selected_row_stays_when_rows_come_and_go(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        assert yard.registry is not None
        await yard.registry.add_model({"name": "aaa-first", "provider": "vllm", "model_id": "a/b"})
        await until(pilot, lambda: "aaa-first" in rows(pilot))
        assert selected(pilot) == "qwen3-32b"
        await yard.registry.delete_model("bge-m3")
        await until(pilot, lambda: "bge-m3" not in rows(pilot))
        assert selected(pilot) == "qwen3-32b"


async def test_server_changes_show_live_with_a_toast(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "qwen2.5-vl-7b")
        assert yard.registry is not None
        server = await yard.registry.get_server("qwen2.5-vl-7b")
        await yard.change_server(server.id, ServerStatus.RUNNING)
        await until(pilot, lambda: "Running vLLM on port 8001" in screen_text(pilot))
        assert any("http://127.0.0.1:8001" in toast for toast in toasts(pilot))


async def test_delete_asks_names_it_and_no_is_the_default(yard: Yard) -> None:
    """P6: after a question that names it; it leaves the list at once, and files stay."""
    async with session(yard) as pilot:
        await select(pilot, "mistral-small-24b")
        await press(pilot, "x")
        text = screen_text(pilot)
        assert "Delete the model mistral-small-24b?" in text
        assert "Kept: its files" in " ".join(text.split())
        await press(pilot, "enter")
        assert "mistral-small-24b" in rows(pilot)
        await press(pilot, "x", "y")
        await until(pilot, lambda: "mistral-small-24b" not in rows(pilot))


async def test_archive_hides_and_restores(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "bge-m3")
        await press(pilot, "z")
        await until(pilot, lambda: "bge-m3" not in rows(pilot))
        await press(pilot, "Z")
        await until(pilot, lambda: rows(pilot) == ["bge-m3"])
        assert "z Restore" in screen_text(pilot)
        await press(pilot, "z")
        await until(pilot, lambda: rows(pilot) == [])


async def test_stop_after_a_question(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "s")
        assert "Stop qwen3-32b on atlas?" in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: "Stopped vLLM" in screen_text(pilot))


async def test_empty_registry_says_what_to_press(empty_yard: Yard) -> None:
    async with session(empty_yard) as pilot:
        await until(pilot, lambda: "Press a to add one" in screen_text(pilot))
        await press(pilot, "e")
        assert any("No model is selected" in toast for toast in toasts(pilot))


async def test_registry_that_cannot_be_opened_says_why_and_retries(yard: Yard) -> None:
    failures = [ModelyardError("The registry is damaged", cause="A disk was full.", remedy="Restore a backup.")]

    @asynccontextmanager
    async def opener(settings: Settings) -> AsyncIterator[Modelyard]:
        if failures:
            raise failures.pop()
        async with yard.open(settings) as opened:
            yield opened

    app = ModelyardApp(yard.settings, opener=opener)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "The registry is damaged" in screen_text(pilot))
        assert "→ Restore a backup." in screen_text(pilot)
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "Showing 10 of 10" in screen_text(pilot))


async def test_a_search_that_fails_is_said_and_can_be_tried_again(yard: Yard, monkeypatch: Any) -> None:
    async with session(yard) as pilot:
        works = Registry.count_models

        async def fails(*_: Any, **__: Any) -> Any:
            raise ModelyardError("The registry is locked", remedy="Close the other program.")

        monkeypatch.setattr(Registry, "count_models", fails)
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: any("registry is locked" in toast for toast in toasts(pilot)))
        assert "qwen3-32b" in screen_text(pilot)
        monkeypatch.setattr(Registry, "count_models", works)
        await press(pilot, "ctrl+r")
        assert len(rows(pilot)) == 10


async def test_number_keys_go_to_every_screen(yard: Yard) -> None:
    async with session(yard) as pilot:
        for key, words in (("2", "UPTIME"), ("3", "DISK FREE"), ("1", "CONTEXT")):
            await press(pilot, key)
            await until(pilot, lambda words=words: words in screen_text(pilot))  # type: ignore[misc]


async def test_quit_closes_the_core(yard: Yard) -> None:
    closed = asyncio.Event()

    @asynccontextmanager
    async def opener(settings: Settings) -> AsyncIterator[Modelyard]:
        async with yard.open(settings) as opened:
            try:
                yield opened
            finally:
                closed.set()

    app = ModelyardApp(yard.settings, opener=opener)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.yard is not None)
        await pilot.press("q")
    assert closed.is_set()


async def test_leaving_while_the_list_loads_ends_in_good_order(yard: Yard, monkeypatch: Any) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    works = Registry.hosts

    async def slow(registry: Registry) -> Any:
        reached.set()
        await go_on.wait()
        return await works(registry)

    async with session(yard) as pilot:
        monkeypatch.setattr(Registry, "hosts", slow)
        await pilot.press("ctrl+r")
        await reached.wait()
        await pilot.press("q")
        go_on.set()
    assert pilot.app.return_code == 0
