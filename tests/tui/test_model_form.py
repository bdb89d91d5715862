"""Adding and editing models, used by keys."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, select, selected, session, type_text, until
from tui.modals.model_form import ModelForm
from tui.widgets.fields import Field


def problem(pilot: Pilot[None], name: str) -> str:
    """What stands as wrong beside a field."""
    return pilot.app.screen.query_one(f"#field-{name}", Field).problem


async def fill(pilot: Pilot[None], name: str, text: str) -> None:
    """Replace a field's text."""
    control: Any = pilot.app.screen.query_one(f"#field-{name}", Field).control
    control.focus()
    await press(pilot, "end", "ctrl+u")
    await type_text(pilot, text)


async def test_errors_stand_beside_their_fields_and_go_when_corrected(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "a")
        await fill(pilot, "context_length", "0")
        await fill(pilot, "default_temperature", "2.5")
        await fill(pilot, "max_output_tokens", "many")
        await press(pilot, "ctrl+s")
        assert problem(pilot, "name") == "✗ Required."
        assert problem(pilot, "model_id") == "✗ Required."
        assert "1 or more" in problem(pilot, "context_length")
        assert "between 0 and 2" in problem(pilot, "default_temperature")
        assert "whole number" in problem(pilot, "max_output_tokens")
        assert "✗ Required." in screen_text(pilot)
        await fill(pilot, "context_length", "8192")
        assert problem(pilot, "context_length") == ""


async def test_added_model_is_listed_selected_and_has_the_defaults(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "my model")
        await fill(pilot, "model_id", "org/my-model")
        await fill(pilot, "context_length", "16384")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "my model" in rows(pilot) and selected(pilot) == "my model")
        assert yard.registry is not None
        model = await yard.registry.get_model("my model")
        assert (model.model_id, model.context_length, model.max_output_tokens) == ("org/my-model", 16384, 2048)
        assert (model.default_temperature, model.supports_streaming, model.user_id) == (1.0, True, "ada")


async def test_duplicate_name_is_said_beside_the_name(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "bge-m3")
        await fill(pilot, "model_id", "x/y")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: problem(pilot, "name") != "")
        assert isinstance(pilot.app.screen, ModelForm)


async def test_edit_is_filled_in_and_writes_only_what_changed(yard: Yard) -> None:
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        assert yard.registry is not None
        before = await yard.registry.get_model("qwen3-32b")
        await press(pilot, "e")
        form: Any = pilot.app.screen
        assert form.query_one("#field-model_id", Field).value == "Qwen/Qwen3-32B"
        assert form.values() == {}
        await fill(pilot, "default_temperature", "0.6")
        assert form.values() == {"default_temperature": 0.6}
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "temperature 0.6" in screen_text(pilot))
        after = await yard.registry.get_model("qwen3-32b")
        assert (after.path, after.context_length) == (before.path, before.context_length)


async def test_escape_leaves_without_writing(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "never")
        await press(pilot, "escape")
        assert "never" not in rows(pilot)
        assert len(pilot.app.screen_stack) == 1


async def test_toggles_tell_by_words(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "a")
        field = pilot.app.screen.query_one("#field-supports_vision", Field)
        field.control.focus()
        await press(pilot, "space")
        assert field.value is True
        line = next(line for line in screen_text(pilot).split("\n") if "Vision" in line)
        assert "[x] yes" in line
