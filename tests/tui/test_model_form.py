"""Adding and editing models, used by keys."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from core.registry.store import Registry
from core.settings import Settings
from tests.cli.program import Terminal
from tests.tui import demo
from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, select, selected, session, settle, toasts, type_text, until
from tui.drafts import Drafts
from tui.modals.key_form import KeyForm
from tui.modals.model_form import ModelForm
from tui.widgets.fields import Field


def problem(pilot: Pilot[None], name: str) -> str:
    """What stands as wrong beside a field."""
    return pilot.app.screen.query_one(f"#field-{name}", Field).problem


async def fill(pilot: Pilot[None], name: str, text: str) -> None:
    """Replace a field's text."""
    await go_to(pilot, name)
    await press(pilot, "end", "ctrl+u")
    await type_text(pilot, text)


async def go_to(pilot: Pilot[None], name: str) -> None:
    """To a field."""
    control: Any = pilot.app.screen.query_one(f"#field-{name}", Field).control
    control.focus()
    await settle(pilot)


def value(pilot: Pilot[None], name: str) -> Any:
    """What stands in a field."""
    return pilot.app.screen.query_one(f"#field-{name}", Field).value


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
    """P4: only the required fields are filled in; the others have their defaults."""
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
    """P5: the same form, filled in; only what changed is written, and the card shows it at once."""
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


async def test_escape_leaves_an_unchanged_form_at_once(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "a", "tab", "escape")
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


HOSTILE = "a\x1b]0;owned\x07[b]\u202edne"


@pytest.fixture
def yard_with_heads(yard: Yard) -> Yard:
    """The demo fleet with two heads and a region of one's own."""

    async def fill_all(registry: Registry) -> None:
        await registry.add_region({"id": "lab", "name": HOSTILE})
        await registry.add_head({"name": "frankfurt", "region": "de", "url": "https://fra.example/v1"})
        await registry.add_head({"name": HOSTILE, "region": "lab", "url": "https://lab.example/v1"})
        await demo.fill(registry)

    yard.fill = fill_all
    return yard


def chosen(pilot: Pilot[None]) -> str:
    """The id of the selected model."""
    screen: Any = pilot.app.screen
    return str(screen.row.model.id)


async def test_errors_come_as_a_field_is_left(yard: Yard) -> None:
    """P4: beside the field as one leaves it: missing, taken, out of range; ranges and defaults are told before."""
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "a")
        assert "required" in screen_text(pilot).split("Name: ")[1].split("\n")[0]
        await press(pilot, "tab")
        assert problem(pilot, "name") == "✗ Required."
        await press(pilot, "shift+tab")
        await type_text(pilot, "bge-m3")
        await press(pilot, "tab")
        await until(pilot, lambda: "a model of this name already" in problem(pilot, "name"))
        await fill(pilot, "context_length", "0")
        assert problem(pilot, "context_length") == ""
        assert "Context length: Tokens of prompt and answer; 1 or more; default 4096" in screen_text(pilot)
        await press(pilot, "tab")
        assert "1 or more" in problem(pilot, "context_length")
        await fill(pilot, "endpoint", "localhost:8000")
        await press(pilot, "tab")
        assert "http://" in problem(pilot, "endpoint")
        await fill(pilot, "path", "/m/Qwen3-8B/checkpoint-1")
        await press(pilot, "tab")
        assert value(pilot, "model_id") == "Qwen3-8B"


async def test_region_and_head_are_picked_by_typing(yard_with_heads: Yard) -> None:
    """R1, R2: a list that is narrowed as one types; each head is shown with its region, and names are harmless."""
    async with session(yard_with_heads) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "picked")
        await fill(pilot, "model_id", "org/m")
        await go_to(pilot, "region")
        await type_text(pilot, "germ")
        assert "Germany" in screen_text(pilot)
        await press(pilot, "enter")
        assert value(pilot, "region") == "de"
        await until(pilot, lambda: "de  Germany" in screen_text(pilot))
        await press(pilot, "tab", "enter")
        text = screen_text(pilot)
        assert "frankfurt  de  https://fra.example/v1" in text
        assert "a[b]dne  lab" in text
        await type_text(pilot, "lab.ex")
        await press(pilot, "enter")
        assert value(pilot, "head") == HOSTILE
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "picked" in rows(pilot))
        model = await registry_of(yard_with_heads).get_model("picked")
        assert (model.region, model.head) == ("de", HOSTILE)


async def test_a_burst_of_keys_lands_in_the_list(yard: Yard) -> None:
    """R1: typed faster than the list opens, nothing is lost, swapped, or opened twice."""
    async with session(yard) as pilot:
        await press(pilot, "a")
        await go_to(pilot, "region")
        for key in ("g", "e", "r", "m", "enter"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else "\r"))
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm) and value(pilot, "region") == "de")


async def test_a_picked_region_can_be_taken_back_and_nothing_matching_is_said(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "a")
        await go_to(pilot, "region")
        await type_text(pilot, "qqqq")
        assert "Nothing matches." in screen_text(pilot)
        await press(pilot, "enter")
        await press(pilot, "ctrl+u")
        await type_text(pilot, "eu")
        await press(pilot, "enter")
        assert value(pilot, "region") == "eu"
        await press(pilot, "backspace")
        assert value(pilot, "region") == ""


def registry_of(yard: Yard) -> Registry:
    """Once the program runs."""
    assert yard.registry is not None
    return yard.registry


async def test_metadata_is_json_and_its_fault_has_a_place(yard: Yard) -> None:
    """R3: line and column beside the editor; what is right is kept, with endpoint, key and local inference."""
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "noted")
        await fill(pilot, "model_id", "org/m")
        await fill(pilot, "endpoint", "http://h/v1")
        await go_to(pilot, "local_inference")
        await press(pilot, "space", "tab")
        assert "an address of this machine" in problem(pilot, "endpoint")
        await fill(pilot, "endpoint", "http://[::1]/v1")
        assert problem(pilot, "endpoint") == ""
        await press(pilot, "tab")
        await type_text(pilot, "team")
        await press(pilot, "enter")
        await fill(pilot, "tags", "prod, chat")
        await go_to(pilot, "extra")
        await type_text(pilot, '{"a": 1,')
        await press(pilot, "enter")
        await type_text(pilot, '"b" 2}')
        await press(pilot, "ctrl+s")
        assert "Line 2, column 5" in problem(pilot, "extra")
        await press(pilot, "left", "left")
        await type_text(pilot, ":")
        await until(pilot, lambda: problem(pilot, "extra") == "")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "noted" in rows(pilot))
        model = await registry_of(yard).get_model("noted")
        assert (model.extra, model.tags, model.local_inference) == ({"a": 1, "b": 2}, ["prod", "chat"], True)
        assert (model.endpoint, model.api_key_ref) == ("http://[::1]/v1", "team")


async def test_a_key_in_place_of_its_name_is_refused_and_not_shown(yard: Yard) -> None:
    """P8: the field takes the name of a key; a key itself never stands in it, nor in the draft."""
    key = "sk-0123456789abcdef"
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "named")
        await go_to(pilot, "api_key_ref")
        await type_text(pilot, key)
        await press(pilot, "enter")
        assert any("modelyard keys set" in toast for toast in toasts(pilot))
        await press(pilot, "escape")
        assert value(pilot, "api_key_ref") == ""
        pilot.app.screen.query_one("#field-endpoint", Field).put(f"https://host/{key}")
        await until(pilot, lambda: draft_of(yard) == {"name": "named"})
        assert key not in (yard.settings.data_dir / "drafts" / "model-new.json").read_text()


async def test_a_new_key_is_stored_from_the_form(yard: Yard) -> None:
    """P8: the list of keys offers to store another one; leaving that changes nothing."""
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "a")
        await go_to(pilot, "api_key_ref")
        await press(pilot, "enter")
        await until(pilot, lambda: "Store a new key…" in screen_text(pilot))
        await type_text(pilot, "zz")
        assert "zz  as typed" in screen_text(pilot)
        await press(pilot, "down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyForm))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm))
        assert value(pilot, "api_key_ref") == ""


def draft_of(yard: Yard, name: str = "model-new") -> dict[str, Any] | None:
    """What is kept of a form that was not saved."""
    path = yard.settings.data_dir / "drafts" / f"{name}.json"
    if not path.exists():
        return None
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    values: dict[str, Any] = json.loads(path.read_text())["values"]
    return values


async def test_escape_on_a_changed_form_asks(yard: Yard) -> None:
    """P4: nothing is lost by accident: keep editing, keep a draft, or discard."""
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "half")
        await press(pilot, "escape")
        assert "Leave without saving?" in screen_text(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ModelForm)
        assert value(pilot, "name") == "half"
        await press(pilot, "escape", "c", "enter")
        assert len(pilot.app.screen_stack) == 1
        assert draft_of(yard) == {"name": "half"}
        await press(pilot, "a")
        await until(pilot, lambda: value(pilot, "name") == "half")
        assert "Your draft of" in screen_text(pilot)
        await press(pilot, "ctrl+n")
        assert value(pilot, "name") == ""
        await type_text(pilot, "other")
        await press(pilot, "escape", "d", "enter")
        assert len(pilot.app.screen_stack) == 1
        assert draft_of(yard) is None
        assert "half" not in rows(pilot)


async def test_a_draft_of_an_edit_goes_when_it_is_saved(yard: Yard) -> None:
    """P5: only what was changed is in the draft, and in what is written."""
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        model = await registry_of(yard).get_model("qwen3-32b")
        await press(pilot, "e")
        await fill(pilot, "default_top_p", "0.5")
        await until(pilot, lambda: draft_of(yard, f"model-{model.id}") == {"default_top_p": "0.5"})
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "top-p 0.5" in screen_text(pilot))
        assert draft_of(yard, f"model-{model.id}") is None


async def test_a_broken_draft_does_no_harm(yard: Yard) -> None:
    yard.settings.ensure_folders()
    folder = yard.settings.data_dir / "drafts"
    folder.mkdir(mode=0o700)
    (folder / "model-new.json").write_text('{"values": {"provider": "gone", "context_length": 5}, "at": "2026-01-01"}')
    async with session(yard) as pilot:
        await press(pilot, "a")
        assert value(pilot, "provider") == "local"
        (folder / "model-new.json").write_text("[]")
        await press(pilot, "escape", "a")
        assert isinstance(pilot.app.screen, ModelForm)


async def test_old_drafts_of_records_that_are_gone_are_cleared_away(yard: Yard) -> None:
    """Those of records that are there, of new ones, and young ones stay: a deleted record may come back by undo."""
    folder = yard.settings.data_dir / "drafts"
    drafts = Drafts(folder)
    async with session(yard) as pilot:
        living = (await registry_of(yard).get_model("qwen3-32b")).id
        stay = {f"model-{living}.json", "model-new.json", "region-gone.json"}
        for name in ("model-0a0a0a0a0a0a", "head-0a0a0a0a0a0a", *(name.removesuffix(".json") for name in stay)):
            drafts.write(name, {"name": "x"})
        (folder / "model-new.4711").write_text("half writ")
        for path in folder.iterdir():
            age = 0 if path.name == "region-gone.json" else 91 * 86400
            os.utime(path, (time.time() - age, time.time() - age))
        await press(pilot, "a")
        await until(pilot, lambda: {path.name for path in folder.iterdir()} == stay)


async def test_what_was_not_touched_stays_exactly_as_it_was(yard_with_heads: Yard) -> None:
    """P5: a name that can't be shown as it is survives an edit of another field."""
    async with session(yard_with_heads) as pilot:
        registry = registry_of(yard_with_heads)
        values = {"name": HOSTILE, "provider": "vllm", "model_id": HOSTILE, "head": HOSTILE, "tags": [HOSTILE, "a,b"]}
        model = await registry.add_model({**values, "extra": {HOSTILE: HOSTILE}, "path": HOSTILE})
        await until(pilot, lambda: len(rows(pilot)) == 11)
        await press(pilot, "home")
        while chosen(pilot) != model.id:
            await press(pilot, "down")
        await press(pilot, "e")
        await fill(pilot, "max_output_tokens", "77")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        after = await registry.get_model(model.id)
        assert after.max_output_tokens == 77
        assert {name: getattr(after, name) for name in values} == values
        assert after.extra == {HOSTILE: HOSTILE, "model_path": HOSTILE}


async def test_a_draft_survives_a_kill(settings: Settings) -> None:
    """What was typed is there again after kill -9."""
    yard = Yard(settings=settings)
    terminal = Terminal()
    terminal.wait_for("Showing")
    terminal.write("ahalf a name")
    deadline = time.monotonic() + 20
    while draft_of(yard) != {"name": "half a name"}:
        assert time.monotonic() < deadline, "no draft was kept"
        terminal._read(0.05)
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.close() == -signal.SIGKILL
    async with session(yard) as pilot:
        await press(pilot, "a")
        await until(pilot, lambda: value(pilot, "name") == "half a name")
