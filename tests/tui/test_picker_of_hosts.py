"""Picking a model that is installed on a host (D10), by keys, over a line that is good, held or cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.pilot import Pilot

from core.settings import Settings
from tests.tui.fake import Yard, settings_in
from tests.tui.there import Hosts, choose_host, hosts_in, put
from tests.tui.user import press, screen_text, session, toasts, type_text, until
from tui.modals.model_form import ModelForm
from tui.modals.model_picker import ModelPicker
from tui.modals.training_export import TrainingExportDialog
from tui.widgets.fields import Field


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def hosts(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """`gpu1` has two models, this machine another one."""
    made = hosts_in(tmp_path, settings, monkeypatch)
    put(settings.models_dir, "org/mine", "hf:org/mine@1", ("config.json", "model.safetensors"))
    put(made.folders["gpu1"], "Qwen/Qwen3-8B", "hf:Qwen/Qwen3-8B@1", ("config.json", "model.safetensors"))
    put(made.folders["gpu1"], "sdxl.safetensors", "hf:stabilityai/stable-diffusion-xl-base-1.0@1")
    return made


def field(pilot: Pilot[None], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


def value(pilot: Pilot[None], name: str) -> Any:
    return field(pilot, name).value


async def go_to(pilot: Pilot[None], host: str) -> None:
    """Another host's models in the picker."""
    await choose_host(pilot, host, key="ctrl+g", back_on=ModelPicker)


async def test_the_form_takes_a_model_of_a_host(settings: Settings, hosts: Hosts) -> None:
    """D10: path and host are filled in; the next pick begins on the host that stands in the form."""
    async with session(Yard(settings, fill=hosts.fill), size=(80, 24)) as pilot:
        await press(pilot, "a", "ctrl+o")
        await until(pilot, lambda: "org/mine" in screen_text(pilot), "the models of this machine")
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: "Showing 2 of 2" in screen_text(pilot), "those of the host")
        assert "org/mine" not in screen_text(pilot)
        await type_text(pilot, "qwen")
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelForm), "the form")
        await until(pilot, lambda: value(pilot, "host") == "gpu1", "the host")
        assert value(pilot, "path") == str(hosts.folders["gpu1"] / "Qwen/Qwen3-8B")
        assert (value(pilot, "model_id"), value(pilot, "provider")) == ("Qwen/Qwen3-8B", "vllm")
        hosts.lines["gpu1"].open.clear()
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: "Asking gpu1…" in screen_text(pilot), "that it is asked")
        await type_text(pilot, "sdxl")
        hosts.lines["gpu1"].open.set()
        await until(pilot, lambda: "Showing 1 of 2" in screen_text(pilot), "what was typed meanwhile")


async def test_a_host_that_does_not_answer_is_told_and_left(settings: Settings, hosts: Hosts) -> None:
    """D10: cause and remedy stand in the list's place; this machine is two keys away; nothing waits for the host."""
    hosts.lines["gpu1"].cut = True
    async with session(Yard(settings, fill=hosts.fill), size=(80, 24)) as pilot:
        await press(pilot, "a", "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: "Try ssh gpu1." in screen_text(pilot), "the remedy")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, ModelPicker)
        await go_to(pilot, "this machine")
        await until(pilot, lambda: "Showing 1 of 1" in screen_text(pilot), "the models of this machine")


async def test_files_that_are_gone_there_are_told(settings: Settings, hosts: Hosts) -> None:
    """D10: whether it is whole is asked on its host."""
    (hosts.folders["gpu1"] / "Qwen/Qwen3-8B/model.safetensors").write_bytes(b"short")
    async with session(Yard(settings, fill=hosts.fill)) as pilot:
        await press(pilot, "a", "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await go_to(pilot, "gpu1")
        await type_text(pilot, "qwen")
        await press(pilot, "enter")
        await until(pilot, lambda: any("model.safetensors" in one for one in toasts(pilot)), "why not")
        assert isinstance(pilot.app.screen, ModelPicker)


async def test_a_config_for_training_has_paths_of_the_host(
    settings: Settings, hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10: the config is written here; the folder of pictures is one of that host, too."""
    monkeypatch.chdir(tmp_path)
    async with session(Yard(settings, fill=hosts.fill), size=(80, 24)) as pilot:
        await press(pilot, "a", "ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "the picker")
        await go_to(pilot, "gpu1")
        await type_text(pilot, "sdxl")
        await press(pilot, "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainingExportDialog), "the dialog")
        await until(pilot, lambda: "sdxl-lora" in screen_text(pilot), "what would be written")
        await type_text(pilot, "pictures")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "whole path on gpu1" in field(pilot, "dataset").problem, "what is wrong")
        await press(pilot, "home", "/", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker), "back in the picker")
    config = yaml.safe_load((tmp_path / "training.yaml").read_text())["config"]["process"][0]
    assert config["model"]["name_or_path"] == str(hosts.folders["gpu1"] / "sdxl.safetensors")
    assert config["datasets"][0]["folder_path"] == "/pictures"
