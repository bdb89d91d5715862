"""What other tools keep, on the installed tab (X8, L8): listed, used in place, never deleted from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from tests.tui.user import press, rows, screen_text, select, start, toasts, until
from tests.unit.stores import hf_cache, ollama_store
from tui.app import ModelyardApp

OLLAMA = "llama3.2:1b, someone/small:latest"


async def test_stores_are_listed_and_a_model_of_them_is_used_in_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """X8: the record's path is the blob; and L8: deleting it here is refused."""
    hf_cache(tmp_path / "hub")
    ollama_store(tmp_path / "ollama")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "6")
        await until(pilot, lambda: OLLAMA in rows(pilot), "the stores")
        assert {"org/tiny", "org/tiny@bbb"} <= set(rows(pilot))
        await select(pilot, OLLAMA)
        await press(pilot, "D")
        assert any("never changed or deleted from here" in toast for toast in toasts(pilot))
        await press(pilot, "m")
        await until(pilot, lambda: "Model of installed files" in screen_text(pilot), "the form")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: any("Added the model" in toast for toast in toasts(pilot)), "added")
        assert app.yard is not None
        record = await app.yard.registry.get_model("llama3.2:1b")
        assert (record.provider, Path(record.path).parent) == ("llamacpp", tmp_path / "ollama" / "blobs")
        assert Path(record.path).exists()
