"""A host's folders by keys (L9, X8): walked through, models inspected and added in place, the models folder chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from core.settings import Settings
from tests.tui.user import press, screen_text, start, toasts, until
from tests.unit.model_files import LLAMA, TENSORS, gguf, safetensors
from tests.unit.pickles import running, zipped
from tests.unit.stores import hf_cache, ollama_store
from tui.app import ModelyardApp
from tui.widgets.plain import Plain


@pytest.fixture
def models(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A models folder, and beside it the stores of other tools."""
    folder = tmp_path / "models"
    (folder / "org").mkdir(parents=True)
    (folder / "org" / "llama.gguf").write_bytes(gguf(LLAMA, TENSORS))
    (folder / "evil.ckpt").write_bytes(zipped(running(tmp_path / "victim")))
    snapshot = hf_cache(tmp_path / "hub") / "snapshots" / "aaa"
    (snapshot / "model.safetensors").resolve().write_bytes(safetensors({"w": ("BF16", [10], 20)}))
    ollama_store(tmp_path / "ollama")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return folder


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_files_of_a_host_are_looked_through(settings: Settings, models: Path, size: tuple[int, int]) -> None:
    """L9, X8, D5: folders, headers, what a pickle imports, and what other tools keep."""
    app = ModelyardApp(replace(settings, models_dir=models))
    async with app.run_test(size=size, notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "3", "f")
        await until(pilot, lambda: "Ollama's store" in screen_text(pilot), "the stores")
        assert "(the models folder)" in _where(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: "llama.gguf" in screen_text(pilot), "the folder")
        await press(pilot, "enter")
        await until(pilot, lambda: "7,424" in screen_text(pilot), "its headers")
        assert "2,048 tokens" in screen_text(pilot)
        await press(pilot, "left", "down", "i")
        await until(pilot, lambda: "posix.system" in screen_text(pilot), "what it imports")
        await press(pilot, "m")
        await until(pilot, lambda: "pickle format" in screen_text(pilot), "why it can't be added")


async def test_what_another_tool_keeps_becomes_a_model_in_place(settings: Settings, models: Path) -> None:
    """X8: nothing is copied, and the record's path is the blob."""
    app = ModelyardApp(replace(settings, models_dir=models))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "3", "f")
        await until(pilot, lambda: "llama3.2:1b" in screen_text(pilot), "the stores")
        await press(pilot, "end", "m")
        await until(pilot, lambda: "Model of installed files" in screen_text(pilot), "the form")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: any("Added the model" in toast for toast in toasts(pilot)), "added")
        assert app.yard is not None
        record = await app.yard.registry.get_model("llama3.2:1b")
        assert Path(record.path).parent == models.parent / "ollama" / "blobs"
        assert (record.provider, record.context_length) == ("llamacpp", 2048)


async def test_the_models_folder_of_a_host_is_chosen(settings: Settings, models: Path) -> None:
    """L9: kept in the record and in the configuration; nothing is moved."""
    app = ModelyardApp(replace(settings, models_dir=models))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "3", "f")
        await until(pilot, lambda: "org/" in screen_text(pilot), "the folder")
        await press(pilot, "enter")
        await until(pilot, lambda: "llama.gguf" in screen_text(pilot), "the inner folder")
        await press(pilot, "b")
        await until(pilot, lambda: "(the models folder)" in _where(pilot), "it is the models folder now")
        assert app.yard is not None
        assert (await app.yard.registry.get_host("local")).models_dir == str(models / "org")
    assert Settings.load().models_dir == models / "org"
    assert (models / "org" / "llama.gguf").exists()


async def test_a_folder_that_is_not_there_is_explained_and_left(settings: Settings, tmp_path: Path) -> None:
    """L9."""
    app = ModelyardApp(replace(settings, models_dir=tmp_path / "none"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "3", "f")
        await until(pilot, lambda: "there is no" in screen_text(pilot), "why")
        await press(pilot, "left")
        await until(pilot, lambda: _where(pilot) == str(tmp_path), "the folder above")
        await press(pilot, "escape")
        assert len(app.screen_stack) == 1


def _where(pilot: Pilot[None]) -> str:
    """The folder that is shown; a toast may lie over it."""
    return pilot.app.screen.query_one("#where", Plain).text
