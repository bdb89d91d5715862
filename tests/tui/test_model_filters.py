"""Filters, chips, sort, marks and bulk actions of the models screen, by keys."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.registry.records import Model
from core.registry.store import Registry
from core.registry.values import ServerStatus
from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, select, selected, session, toasts, type_text, until
from tui.memory import FILE, recall, remember

SIZES = [(80, 24), (120, 40)]


async def choose(pilot: Pilot[None], *pairs: str) -> None:
    """Filters from the menu, by typing their names."""
    for words in pairs:
        await press(pilot, "f")
        await type_text(pilot, words)
        await press(pilot, "enter")


@pytest.mark.parametrize("size", SIZES)
async def test_filters_combine_and_are_chips_that_come_off(yard: Yard, size: tuple[int, int]) -> None:
    """P1, P2: provider, state and ability combine; each is a chip; Backspace takes the last one off, F all."""
    async with session(yard, size=size) as pilot:
        await choose(pilot, "provider vllm", "state stopped", "can vision")
        text = screen_text(pilot)
        for chip in ("provider vllm ✕", "state stopped ✕", "can vision ✕"):
            assert chip in text
        assert "No model matches" in text
        await press(pilot, "backspace")
        assert rows(pilot) == ["bge-m3", "deepseek-r1-distill-14b", "mistral-small-24b"]
        assert "Showing 3 of 10 models" in screen_text(pilot)
        await choose(pilot, "state running")
        assert rows(pilot) == ["qwen3-32b"]
        assert "state stopped" not in screen_text(pilot)
        await press(pilot, "F")
        assert "Showing 10 of 10 models" in screen_text(pilot)
        assert "✕" not in screen_text(pilot)


async def test_a_filter_chosen_again_is_taken_off_and_a_click_takes_a_chip_off(yard: Yard) -> None:
    async with session(yard) as pilot:
        await choose(pilot, "provider ollama", "owner mine")
        assert rows(pilot) == ["gemma-3-12b-it"]
        await choose(pilot, "owner mine")
        assert "owner mine" not in screen_text(pilot)
        await pilot.click("#chips", offset=(3, 0))
        await until(pilot, lambda: "Showing 10 of 10" in screen_text(pilot))


async def test_regions_in_use_can_be_chosen(yard: Yard) -> None:
    """R1: a region is a filter as soon as a model is in it."""
    async with session(yard) as pilot:
        assert yard.registry is not None
        await yard.registry.edit_model("bge-m3", {"region": "eu"})
        await choose(pilot, "region eu")
        assert rows(pilot) == ["bge-m3"]
        assert "region eu ✕" in screen_text(pilot)


async def test_tags_are_searched_and_every_word_must_match(yard: Yard) -> None:
    async with session(yard) as pilot:
        assert yard.registry is not None
        await yard.registry.edit_model("qwen3-32b", {"tags": ["Produktion"]})
        await press(pilot, "slash")
        await type_text(pilot, "PROD 32")
        await until(pilot, lambda: rows(pilot) == ["qwen3-32b"])


@pytest.mark.parametrize("size", SIZES)
async def test_any_column_sorts_both_ways_and_the_header_says_so(yard: Yard, size: tuple[int, int]) -> None:
    """P2: `o` and a letter sorts, `O` reverses; the selected row stays selected."""
    async with session(yard, size=size) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "o", "c", "enter")
        assert "CONTEXT▲" in screen_text(pilot)
        assert rows(pilot)[-1] == "gemma-3-12b-it"
        assert selected(pilot) == "qwen3-32b"
        await press(pilot, "O")
        assert "CONTEXT▼" in screen_text(pilot)
        assert rows(pilot)[:2] == ["gemma-3-12b-it", "qwen3-32b"]
        assert rows(pilot)[4:6] == ["deepseek-r1-distill-14b", "llama-3.3-70b-fp8"]  # ties by name, both ways
        assert selected(pilot) == "qwen3-32b"
        await press(pilot, "o", "s", "enter")
        assert "by state of the server ▲" in screen_text(pilot)
        assert rows(pilot)[:3] == ["qwen3-32b", "smollm2-135m", "support-bot-v4"]


async def test_a_click_on_a_title_sorts_by_its_column(yard: Yard) -> None:
    """P2: the second click is the other way round; the selected row stays selected."""
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        at = screen_text(pilot).split("\n")[3].index("CONTEXT")
        for mark in "▲▼":
            await pilot.click("#list", offset=(at + 2, 0))
            await until(pilot, lambda mark=mark: f"CONTEXT{mark}" in screen_text(pilot))  # type: ignore[misc]
        assert rows(pilot)[:2] == ["gemma-3-12b-it", "qwen3-32b"]
        assert selected(pilot) == "qwen3-32b"


async def test_filters_and_sort_survive_a_restart(yard: Yard) -> None:
    """P2: what was searched for does not."""
    async with session(yard) as pilot:
        await choose(pilot, "provider vllm", "can tools")
        await press(pilot, "o", "u", "escape", "o", "l", "enter", "O", "slash")
        await type_text(pilot, "qwen")
    kept = yard.settings.data_dir / FILE
    assert kept.stat().st_mode & 0o777 == 0o600
    yard.fill = None
    async with session(yard) as pilot:
        text = screen_text(pilot)
        for chip in ("provider vllm ✕", "can tools ✕", "by last change ▼ ✕"):
            assert chip in text
        assert "Showing 6 of 10 models" in text


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", '{"models": 3}', '{"models": {"filters": [7], "sort": []}}'])
async def test_a_damaged_memory_is_left_out(yard: Yard, damage: str) -> None:
    yard.settings.data_dir.mkdir(mode=0o700, parents=True)
    (yard.settings.data_dir / FILE).write_text(damage)
    async with session(yard) as pilot:
        assert "Showing 10 of 10 models" in screen_text(pilot)


def test_memory_keeps_other_screens_and_needs_no_folder(tmp_path: Path) -> None:
    remember(tmp_path, "one", {"a": 1})
    remember(tmp_path, "two", {"b": [2]})
    assert (recall(tmp_path, "one"), recall(tmp_path, "two")) == ({"a": 1}, {"b": [2]})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert json.loads((tmp_path / FILE).read_text()) == {"one": {"a": 1}, "two": {"b": [2]}}
    remember(tmp_path / "missing", "one", {"a": 1})
    assert recall(tmp_path / "missing", "one") == {}


# Marks


@pytest.mark.parametrize("size", SIZES)
async def test_marked_models_are_seen_and_escape_takes_the_marks_off(yard: Yard, size: tuple[int, int]) -> None:
    async with session(yard, size=size) as pilot:
        await press(pilot, "home", "space", "space")
        text = screen_text(pilot)
        assert "2 marked" in text
        assert " ✓bge-m3" in text
        assert selected(pilot) == "gemma-3-12b-it"
        await press(pilot, "asterisk")
        assert "10 marked" in screen_text(pilot)
        await press(pilot, "asterisk")
        assert "marked" not in screen_text(pilot)
        await press(pilot, "space", "escape")
        assert "marked" not in screen_text(pilot)


async def test_marks_stay_while_the_list_changes_under_them(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "bge-m3")
        await press(pilot, "space")
        await choose(pilot, "provider ollama")
        await press(pilot, "asterisk", "z")
        await press(pilot, "F")
        await until(pilot, lambda: "Showing 8 of 8 models" in screen_text(pilot))
        assert {"bge-m3", "gemma-3-12b-it"} & {*rows(pilot)} == set()


async def test_deleting_many_names_them_and_keeps_what_is_served(yard: Yard) -> None:
    """P6, L8: the question names number and names; a running server blocks with its reason; no is the default."""
    async with session(yard) as pilot:
        await press(pilot, "asterisk", "x")
        text = " ".join(screen_text(pilot).split())
        assert "Nothing was deleted" in text
        assert "qwen3-32b" in text
        await press(pilot, "escape", "escape")
        await choose(pilot, "state stopped")
        await press(pilot, "asterisk", "x")
        text = " ".join(screen_text(pilot).split())
        assert "Delete 5 models?" in text
        for name in ("bge-m3", "deepseek-r1-distill-14b", "gemma-3-12b-it", "mistral-small-24b", "team-gpt"):
            assert f"{name}," in text or f"{name}." in text
        assert "Kept: all model files" in text
        await press(pilot, "enter")
        assert len(rows(pilot)) == 5
        await press(pilot, "x", "y")
        await until(pilot, lambda: rows(pilot) == [])
        await press(pilot, "F")
        assert len(rows(pilot)) == 5
        assert yard.registry is not None
        assert {server.status for server in await yard.registry.servers()} & {ServerStatus.STOPPED} == set()


async def test_archiving_and_restoring_many(yard: Yard) -> None:
    """L11: hidden, kept, and brought back."""
    async with session(yard) as pilot:
        await press(pilot, "home", "space", "space", "z")
        await until(pilot, lambda: "Showing 8 of 8 models" in screen_text(pilot))
        await press(pilot, "Z")
        assert rows(pilot) == ["bge-m3", "deepseek-r1-distill-14b"]
        assert "archived ✕" in screen_text(pilot)
        await press(pilot, "asterisk", "z")
        await until(pilot, lambda: "Nothing is archived" in screen_text(pilot))
        await press(pilot, "Z")
        await until(pilot, lambda: "Showing 10 of 10 models" in screen_text(pilot))


async def test_tags_and_region_of_many(yard: Yard) -> None:
    """R1: one step for all that are marked; with none marked, for the selected one."""
    async with session(yard) as pilot:
        assert yard.registry is not None
        await yard.registry.edit_model("bge-m3", {"tags": ["old", "kept"]})
        await press(pilot, "home", "space", "space", "number_sign")
        await type_text(pilot, "new -old")
        await press(pilot, "enter")
        await until(pilot, lambda: any("Tagged bge-m3, deepseek" in toast for toast in toasts(pilot)))
        assert await _tags(yard.registry, "bge-m3", "deepseek-r1-distill-14b") == [["kept", "new"], ["new"]]
        await press(pilot, "R")
        await type_text(pilot, "us")
        await press(pilot, "enter", "escape")
        await until(pilot, lambda: any("Region us: bge-m3" in toast for toast in toasts(pilot)))
        assert (await yard.registry.get_model("deepseek-r1-distill-14b")).region == "us"
        await select(pilot, "qwen3-32b")
        await press(pilot, "number_sign")
        assert "Tags of qwen3-32b" in screen_text(pilot)
        await press(pilot, "enter")
        assert await _tags(yard.registry, "qwen3-32b") == [[]]


async def _tags(registry: Registry, *names: str) -> list[list[str]]:
    return [list((await registry.get_model(name)).tags) for name in names]


async def test_global_models_can_be_marked_but_not_changed(yard: Yard) -> None:
    """P7: the reason names them."""
    async with session(yard) as pilot:
        assert yard.registry is not None
        shared = Model(name="a-shared", provider="openai", model_id="gpt", served_name="gpt", is_global=True)
        await yard.registry._save(shared, "model", "added")
        await until(pilot, lambda: "a-shared" in rows(pilot))
        await press(pilot, "asterisk", "x")
        await until(pilot, lambda: any("a-shared can't be changed: global" in toast for toast in toasts(pilot)))
        assert len(pilot.app.screen_stack) == 1


# Under way


async def test_a_search_is_overtaken_by_the_next_key(yard: Yard, monkeypatch: Any) -> None:
    """What an older search finds later is not shown in place of what the newer one found."""
    async with session(yard) as pilot:
        works, cancelled = Registry.model_rows, asyncio.Event()

        async def slow(registry: Registry, query: Any, *words: Any, **more: Any) -> Any:
            if query.text == "q":
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()
            return await works(registry, query, *words, **more)

        monkeypatch.setattr(Registry, "model_rows", slow)
        await press(pilot, "slash")
        await pilot.press("q", "w")
        await until(pilot, lambda: cancelled.is_set() and "Showing 4 of 10" in screen_text(pilot))


async def test_the_selected_row_stays_selected_when_many_come_before_it(yard: Yard) -> None:
    """P1: however far it moves."""
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        assert yard.registry is not None
        many = [Model(user_id="ada", name=f"a{n:04}", model_id="x", served_name=f"a{n}") for n in range(1500)]
        await yard.registry._db.write(lambda db: db.add_all(many))
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "Showing 1,510 of 1,510" in screen_text(pilot))
        assert selected(pilot) == "qwen3-32b"
        await press(pilot, "end")
        await until(pilot, lambda: "team-gpt" in screen_text(pilot))
