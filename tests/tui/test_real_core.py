"""The main job over the real core: add, dry run, deploy, talk, stop, delete; a real engine as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.tui.user import press, rows, screen_text, settle, start, toasts, type_text, until
from tui.app import ModelyardApp
from tui.widgets.fields import Field


async def test_a_model_goes_from_file_to_answer_and_back(smollm2: Path, settings: Settings) -> None:
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "a")
        for name, text in (("name", "smol"), ("model_id", "HuggingFaceTB/SmolLM2"), ("path", str(smollm2))):
            field: Any = app.screen.query_one(f"#field-{name}", Field)
            app.screen.set_focus(field.control)
            await type_text(pilot, text)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: rows(pilot) == ["smol"])
        assert app.yard is not None
        await app.yard.registry.edit_model(
            "smol", {"default_temperature": 0.0, "max_output_tokens": 64}
        )  # so small a model rambles
        await press(pilot, "d", "ctrl+s")
        await until(pilot, lambda: "llama.cpp as a process" in screen_text(pilot), "the dry run")
        await press(pilot, "ctrl+s")
        await _answered(pilot)
        await press(pilot, "s", "y")
        await until(pilot, lambda: "○ stopped" in screen_text(pilot), "stopped", within_s=60)
        await press(pilot, "x")
        assert "Kept: its files" in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: rows(pilot) == [])
        assert smollm2.exists()


async def _answered(pilot: Any) -> None:
    """It comes up, its URL is told, and it says something."""
    await until(pilot, lambda: "Answers at http://127.0.0.1:" in screen_text(pilot), "running", within_s=90)
    assert any("http://127.0.0.1:" in toast for toast in toasts(pilot))
    await until(pilot, lambda: bool(pilot.app.screen.query("#button-close")))
    await settle(pilot)
    await press(pilot, "escape", "c")
    await type_text(pilot, "Say hello")
    await press(pilot, "enter")
    await until(pilot, lambda: "tokens/s, first after" in screen_text(pilot), "the whole answer", within_s=120)
    await press(pilot, "escape")


async def test_a_path_that_is_not_there_is_refused_with_a_remedy(settings: Settings) -> None:
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot)
        assert app.yard is not None
        values = {"name": "gone", "provider": "llamacpp", "model_id": "x/gone", "path": "/nowhere/gone.gguf"}
        await app.yard.registry.add_model(values)
        await until(pilot, lambda: rows(pilot) == ["gone"])
        await press(pilot, "d", "ctrl+s")
        await until(pilot, lambda: "Refused:" in screen_text(pilot), within_s=30)
        assert "✗ error" in screen_text(pilot)
        assert "/nowhere/gone.gguf" in screen_text(pilot)


async def test_this_machine_and_its_doctor(settings: Settings) -> None:
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await press(pilot, "3")
        await until(pilot, lambda: "CPUs" in screen_text(pilot), within_s=30)
        await press(pilot, "h")
        await until(pilot, lambda: "Doctor" in screen_text(pilot), within_s=30)
        assert any(mark in screen_text(pilot) for mark in ("✓ ok", "! warning", "✗ error", "· note"))


@pytest.mark.parametrize("target", ["nobody@127.0.0.1:1", "no-such-host.invalid"])
async def test_a_host_that_cannot_be_reached_is_explained_in_the_form(settings: Settings, target: str) -> None:
    app = ModelyardApp(settings)
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot)
        await press(pilot, "3", "a")
        await type_text(pilot, "far")
        await press(pilot, "tab")
        await type_text(pilot, target)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "✗" in screen_text(pilot), within_s=30)
        assert "far" not in rows(pilot)
