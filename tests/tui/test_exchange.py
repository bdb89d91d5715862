"""Import and export, by keys."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button

from core.exchange.service import BATCH
from core.registry.store import Registry
from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, session, toasts, type_text, until
from tests.unit.stores import ollama_store

NAME = "\x1b]0;evil\x07new [b]"


def _file(folder: Path) -> str:
    models = [
        {"name": NAME, "provider": "vllm", "model_id": "x"},
        {"name": "bge-m3", "provider": "vllm", "model_id": "BAAI/bge-m3", "context_length": 77},
        {"name": "bad", "provider": "nobody"},
    ]
    path = folder / "m.json"
    path.write_text(json.dumps({"models": models}))
    return str(path)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_an_import_is_shown_applied_and_taken_back(yard: Yard, short_folder: Path, size: tuple[int, int]) -> None:
    async with session(yard, size=size) as pilot:
        assert yard.registry is not None
        await press(pilot, "i")
        await type_text(pilot, _file(short_folder))
        await press(pilot, "enter")
        await until(pilot, lambda: "1 to add, 1 in conflict (kept), 1 invalid" in screen_text(pilot))
        assert "provider: Must be one of openai, anthropic" in screen_text(pilot)
        for words in ("✗ invalid", "! conflict", "+ add", "new [b]"):
            assert words in screen_text(pilot)
        assert isinstance(pilot.app.focused, Button)
        assert (await yard.registry.get_model("bge-m3")).context_length != 77
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "Imported: 1 added, 1 left alone, 1 invalid" in screen_text(pilot))
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: NAME in rows(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: NAME not in rows(pilot))
        assert any(toast.startswith("Took back: added model: new [b] (imported from") for toast in toasts(pilot))


async def test_a_file_that_cannot_be_read_is_explained_in_the_dialog(yard: Yard, short_folder: Path) -> None:
    (short_folder / "m.yaml").write_text("models: [a: b: c")
    async with session(yard) as pilot:
        await press(pilot, "i", "enter")
        assert "Required." in screen_text(pilot)
        await type_text(pilot, str(short_folder / "m.yaml"))
        await press(pilot, "enter")
        await until(pilot, lambda: "did not find expected" in screen_text(pilot))
        assert "What to do" in screen_text(pilot)
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_another_rule_shows_another_preview(yard: Yard, short_folder: Path) -> None:
    async with session(yard) as pilot:
        assert yard.registry is not None
        await press(pilot, "i")
        await type_text(pilot, _file(short_folder))
        await press(pilot, "tab", "enter", "end", "enter")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "1 to add, 1 to change, 1 invalid" in screen_text(pilot))
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "1 added, 1 changed" in screen_text(pilot))
        assert (await yard.registry.get_model("bge-m3")).context_length == 77


async def test_ollamas_store_is_imported(empty_yard: Yard, short_folder: Path) -> None:
    ollama_store(short_folder / "ollama")
    async with session(empty_yard) as pilot:
        await press(pilot, "i", "shift+tab", "enter", "down", "enter", "tab")
        await type_text(pilot, str(short_folder / "ollama"))
        await press(pilot, "enter")
        await until(pilot, lambda: "2 to add" in screen_text(pilot))
        await press(pilot, "enter")
        await until(pilot, lambda: "Imported: 2 added" in screen_text(pilot))
        await press(pilot, "escape")
        await until(pilot, lambda: set(rows(pilot)) == {"llama3.2:1b", "someone/small:latest"})


async def test_an_export_is_written_and_asks_before_it_writes_over(yard: Yard, short_folder: Path) -> None:
    path = short_folder / "out.yaml"
    async with session(yard) as pilot:
        await press(pilot, "X", "end", "ctrl+u")
        await type_text(pilot, str(short_folder / "out.txt"))
        await press(pilot, "enter")
        assert "✗ Must end in" in screen_text(pilot)
        await press(pilot, "ctrl+u")
        await type_text(pilot, str(path))
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: any(f"to {path}" in toast for toast in toasts(pilot)))
        first = path.read_text()
        assert "bge-m3" in first
        path.write_text("mine")
        await press(pilot, "X", "end", "ctrl+u")
        await type_text(pilot, str(path))
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "once more to write over it" in screen_text(pilot))
        assert path.read_text() == "mine"
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: path.read_text() != "mine")
        assert path.read_text().splitlines()[2:] == first.splitlines()[2:]


async def test_an_import_is_stopped_between_two_batches(
    empty_yard: Yard, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [{"name": f"m{number}", "provider": "vllm", "model_id": "x"} for number in range(2 * BATCH)]
    (short_folder / "m.json").write_text(json.dumps(models))
    works, go_on, begun = Registry.import_batch, asyncio.Event(), asyncio.Event()

    async def slow(registry: Registry, *words: Any) -> Any:
        if begun.is_set():
            await go_on.wait()
        begun.set()
        return await works(registry, *words)

    monkeypatch.setattr(Registry, "import_batch", slow)
    async with session(empty_yard) as pilot:
        await press(pilot, "i")
        await type_text(pilot, str(short_folder / "m.json"))
        await press(pilot, "enter")
        await until(pilot, lambda: "1,000 to add" in screen_text(pilot))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Importing 500 of 1,000" in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "Showing 500 of 500 models" in screen_text(pilot))
        assert any("was stopped" in toast for toast in toasts(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: rows(pilot) == [])
