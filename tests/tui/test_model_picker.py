"""Picking an installed model and exporting it for training (D10), by keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.pilot import Pilot

from core.files import installed
from core.files.installed import InstalledModel
from core.hosts.local import LocalConnection
from core.registry.records import Host
from tests.tui.fake import FakeHosts, Yard
from tests.tui.user import press, screen_text, session, settle, toasts, type_text, until
from tests.unit.stores import ollama_store
from tui.modals.model_form import ModelForm
from tui.modals.model_picker import ModelPicker
from tui.modals.pick import PickDialog
from tui.modals.training import TrainingDialog
from tui.modals.training_export import TrainingExportDialog
from tui.widgets.fields import Field

MODELS = {
    "Qwen/Qwen3-8B": ("hf:Qwen/Qwen3-8B@1", ("config.json", "model.safetensors")),
    "bartowski/Llama-3.2-1B-GGUF/l.gguf": ("hf:bartowski/Llama-3.2-1B-GGUF@1", ("",)),
    "stabilityai/sdxl": ("hf:stabilityai/stable-diffusion-xl-base-1.0@1", ("sd_xl_base_1.0.safetensors",)),
    "ostris/adapter": ("hf:ostris/zimage_turbo_training_adapter@1", ("a.safetensors",)),
}


@pytest.fixture(autouse=True)
def this_machine_is_real(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The headers of picked files are read by it."""

    def connection(_hosts: FakeHosts, host: Host) -> LocalConnection:
        return LocalConnection(host, yard.settings)

    monkeypatch.setattr(FakeHosts, "connection", connection)


@pytest.fixture
def models(yard: Yard) -> Path:
    """Four installed models of three families and three types."""
    folder = yard.settings.models_dir
    for path, (source, names) in MODELS.items():
        files = []
        for name in names:
            place = folder / path / name if name else folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"weights")
            files.append({"path": place.relative_to(folder).as_posix(), "size": 7, "sha256": ""})
        installed.record(folder, InstalledModel(path=path, title=path, source=source, files=tuple(files)))
    return folder


def value(pilot: Pilot[None], name: str) -> Any:
    """What stands in a field."""
    return pilot.app.screen.query_one(f"#field-{name}", Field).value


async def open_picker(pilot: Pilot[None]) -> None:
    """From the form of a new model."""
    await press(pilot, "a", "ctrl+o")
    await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
    await settle(pilot)


async def test_an_installed_model_fills_in_the_form(yard: Yard, models: Path) -> None:
    """D10: wherever a model's files are asked for, an installed one is picked by keys alone."""
    async with session(yard, size=(80, 24)) as pilot:
        await open_picker(pilot)
        shown = screen_text(pilot)
        assert "Showing 4 of 4" in shown
        assert "Ctrl+O" not in shown
        await type_text(pilot, "llama")
        assert "Showing 1 of 4" in screen_text(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm), "the form")
        await settle(pilot)
        assert value(pilot, "path") == str(models / "bartowski/Llama-3.2-1B-GGUF/l.gguf")
        assert (value(pilot, "host"), value(pilot, "provider")) == ("local", "llamacpp")
        assert value(pilot, "model_id") == "bartowski/Llama-3.2-1B-GGUF"
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await type_text(pilot, "qwen3")
        await press(pilot, "enter")
        await until(pilot, lambda: value(pilot, "path") == str(models / "Qwen/Qwen3-8B"), "the other model")
        assert (value(pilot, "model_id"), value(pilot, "provider")) == ("Qwen/Qwen3-8B", "vllm")


async def test_what_was_said_is_not_taken_back_by_a_pick(yard: Yard, models: Path) -> None:
    """D10: only the place is always the picked one's; an edited record keeps the rest."""
    async with session(yard) as pilot:
        await press(pilot, "a")
        await type_text(pilot, "my own name")
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await type_text(pilot, "qwen3")
        await press(pilot, "enter")
        await until(pilot, lambda: value(pilot, "path") == str(models / "Qwen/Qwen3-8B"), "the path")
        assert value(pilot, "name") == "my own name"
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await press(pilot, "escape")
        assert value(pilot, "path") == str(models / "Qwen/Qwen3-8B")


async def test_type_and_family_narrow_the_list(yard: Yard, models: Path) -> None:
    """D10: filters of type and family, by keys, and all of them away again."""
    async with session(yard, size=(80, 24)) as pilot:
        await open_picker(pilot)
        await press(pilot, "ctrl+t")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the menu")
        assert all(word in screen_text(pilot) for word in ("adapter", "image", "text"))
        await press(pilot, "i", "enter")
        await until(pilot, lambda: "type image" in screen_text(pilot), "the filter")
        assert "Showing 1 of 4" in screen_text(pilot)
        await press(pilot, "ctrl+f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog), "the menu")
        await press(pilot, "q", "enter")
        await until(pilot, lambda: "Showing 0 of 4" in screen_text(pilot), "nothing is both")
        await press(pilot, "enter", "ctrl+e")
        assert isinstance(pilot.app.screen, ModelPicker)
        await press(pilot, "ctrl+n")
        await until(pilot, lambda: "Showing 4 of 4" in screen_text(pilot), "all of them")


async def test_one_whose_files_are_gone_is_not_taken(yard: Yard, models: Path) -> None:
    """D10: installed only: a file that is missing or short is told."""
    (models / "Qwen/Qwen3-8B/model.safetensors").write_bytes(b"short")
    async with session(yard) as pilot:
        await open_picker(pilot)
        await type_text(pilot, "qwen")
        await press(pilot, "enter")
        await until(pilot, lambda: any("model.safetensors" in one for one in toasts(pilot)), "why not")
        assert isinstance(pilot.app.screen, ModelPicker)


async def test_a_model_is_exported_for_training_from_the_picker(
    yard: Yard, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10: its files are the base model of the config; nothing is written over before it is asked for twice."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "training.yaml"
    out.write_text("mine")
    async with session(yard, size=(80, 24)) as pilot:
        await open_picker(pilot)
        await type_text(pilot, "sdxl")
        await press(pilot, "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainingExportDialog), "the dialog")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "Write over" in screen_text(pilot), "the question")
        assert out.read_text() == "mine"
        await press(pilot, "y")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "back in the picker")
        await press(pilot, "ctrl+n")
        await type_text(pilot, "qwen")
        await press(pilot, "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainingExportDialog), "the dialog")
        family = pilot.app.screen.query_one("#field-family", Field)
        await until(pilot, lambda: "can't be told" in family.problem, "why another can't be trained on")
    config = yaml.safe_load(out.read_text())["config"]["process"][0]
    assert config["model"]["name_or_path"] == str(models / "stabilityai/sdxl/sd_xl_base_1.0.safetensors")


async def test_what_other_tools_keep_is_picked_in_place_and_text_from_outside_is_harmless(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10, X8: a model of Ollama's store is taken where it lies; a licence can't steer the terminal."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    ollama_store(tmp_path / "ollama")
    folder = yard.settings.models_dir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.safetensors").write_bytes(b"weights")
    files = ({"path": "own.safetensors", "size": 7, "sha256": ""},)
    hostile = "a\x1b]0;owned\x07[b]\u202ec"
    installed.record(folder, InstalledModel(path="own.safetensors", title=hostile, licence=hostile, files=files))
    async with session(yard, size=(80, 24)) as pilot:
        await open_picker(pilot)
        shown = screen_text(pilot)
        assert "1 file, a[b]c" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
        await type_text(pilot, "llama3.2")
        assert "Ollama's store" in screen_text(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm), "the form")
        await until(pilot, lambda: value(pilot, "path").startswith(f"{tmp_path}/ollama/blobs/"), "its blob")


async def test_the_base_of_a_training_is_picked(
    yard: Yard, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10, P18: the training form asks for a model's files, too; before there is a field for it, why not is said."""
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "adapter_config.json").write_text("{}")
    (tmp_path / "tuned" / "adapter_model.safetensors").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "T")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainingDialog), "the form")
        await press(pilot, "ctrl+o")
        assert "Look at the folder first." in toasts(pilot)
        await type_text(pilot, "tuned")
        await press(pilot, "enter")
        await until(pilot, lambda: bool(pilot.app.screen.query("#field-base")), "what was found")
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await type_text(pilot, "qwen3")
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainingDialog), "the form")
        assert value(pilot, "base") == "Qwen/Qwen3-8B"


async def test_an_id_of_the_catalog_is_looked_at_and_a_wrong_one_told(yard: Yard, tmp_path: Path) -> None:
    """D1: typed where a source is asked for; what was probably meant stands beside the field."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "style.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (shelf / "other.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    offer = {"id": "house", "name": "H", "family": "flux", "type": "image", "source": str(shelf)}
    (tmp_path / "site.json").write_text(json.dumps({"weights": [{**offer, "files": ["style.safetensors"]}]}))
    yard.settings = replace(yard.settings, catalog=str(tmp_path / "site.json"))
    async with session(yard) as pilot:
        await open_picker(pilot)
        assert "Nothing is installed on this machine; ctrl+g goes to another host." in screen_text(pilot)
        await press(pilot, "escape", "escape", "6", "a")
        await type_text(pilot, "hous")
        await press(pilot, "enter")
        source = pilot.app.screen.query_one("#field-source", Field)
        await until(pilot, lambda: "Did you mean house?" in source.problem, "what was meant")
        await type_text(pilot, "e")
        await press(pilot, "enter")
        await until(pilot, lambda: "style.safetensors" in screen_text(pilot), "what it offers")
        assert "other.safetensors" not in screen_text(pilot)
