"""Models that come from elsewhere, and where they are answered, by keys (P7, P18, N1, N2, L2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.app import Modelyard
from core.registry.records import Host
from core.registry.values import ServerStatus
from core.settings import Settings
from tests.tui.user import press, rows, screen_text, select, selected, settle, start, toasts, type_text, until
from tests.unit.test_routes import server
from tests.unit.test_training import ADAPTER, UUID, WEIGHTS, state, write
from tui.app import ModelyardApp
from tui.widgets.fields import Field

CATALOG = """
replace: true
as_of: 2026-11-20
models:
  - {id: our/one, name: One, provider: openai, model_id: one-1, region: eu, capabilities: [streaming, tools]}
  - {id: our/two, name: Two, provider: vllm, model_id: our/two, context_length: 9000, licence: mit}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site catalog of two models and nothing else."""
    path = tmp_path / "site.yaml"
    path.write_text(CATALOG)
    monkeypatch.setenv("MODELYARD_CATALOG", str(path))
    return path


@asynccontextmanager
async def opened(size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[Pilot[None], Modelyard]]:
    """The program over the real core of a user who has configured nothing else."""
    app = ModelyardApp(Settings.load())
    async with app.run_test(size=size, notifications=True) as pilot:
        await start(pilot)
        assert app.yard is not None
        yield pilot, app.yard


def field(pilot: Pilot[None], name: str) -> Any:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


async def retype(pilot: Pilot[None], name: str, text: str) -> None:
    field(pilot, name).control.focus()
    await press(pilot, "end", "ctrl+u")
    await type_text(pilot, text)


async def test_a_global_model_is_read_only_and_can_be_made_mine(site: Path) -> None:
    """P7: edit, delete, archive and deploy say why not; a copy of it is one's own."""
    async with opened() as (pilot, yard):
        await press(pilot, "M")
        await until(pilot, lambda: "None is your own yet." in screen_text(pilot))
        await press(pilot, "M")
        await until(pilot, lambda: rows(pilot) == ["One", "Two"])
        await select(pilot, "Two")
        assert "global, read-only" in screen_text(pilot)
        for key, label in (("e", "Edit"), ("x", "Delete"), ("z", "Archive"), ("d", "Deploy")):
            await press(pilot, key)
            assert len(pilot.app.screen_stack) == 1
            assert any(toast.startswith(f"{label}: ") and "global" in toast for toast in toasts(pilot)), label
        await press(pilot, "m")
        assert "Make Two yours" in screen_text(pilot)
        await type_text(pilot, "/srv/models/two")
        await retype(pilot, "name", "My two")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: rows(pilot) == ["My two", "One", "Two"] and selected(pilot) == "My two")
        mine = await yard.registry.get_model("My two")
        assert (mine.is_global, mine.path, mine.context_length) == (False, "/srv/models/two", 9000)
        assert (mine.model_id, mine.served_name, mine.extra["licence"]) == ("our/two", "My-two", "mit")
        await press(pilot, "m")
        assert "Make mine: It is yours already." in toasts(pilot)
        await press(pilot, "M")
        await until(pilot, lambda: rows(pilot) == ["My two"])
        await press(pilot, "M")
        await until(pilot, lambda: rows(pilot) == ["My two", "One", "Two"])
        assert (await yard.registry.get_model("Two")).is_global


async def test_a_global_model_is_asked_with_a_key_of_ones_own(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, P8: one key chooses it, undo takes it back, and nothing else of the record can be changed."""
    monkeypatch.setenv("OPENAI_API_KEY", "global-one")
    async with opened((80, 24)) as (pilot, yard):
        await yard.registry.add_model({"name": "zz", "provider": "vllm", "model_id": "o/m", "api_key_ref": "work"})
        await until(pilot, lambda: rows(pilot) == ["One", "Two", "zz"])
        await press(pilot, "o", "o", "enter")
        await until(pilot, lambda: rows(pilot) == ["zz", "One", "Two"], "one's own first")
        await select(pilot, "One")
        await press(pilot, "y")
        await until(pilot, lambda: "The key of One" in screen_text(pilot))
        assert "the usual one: openai ✓" in screen_text(pilot)
        await press(pilot, "w", "enter")
        await until(pilot, lambda: any("One is asked with work" in toast for toast in toasts(pilot)))
        assert (await yard.registry.get_model("One")).api_key_ref == "work"
        await press(pilot, "enter", "enter")
        await until(pilot, lambda: "the key named work" in screen_text(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: "the provider's: openai" in screen_text(pilot))
        assert (await yard.registry.get_model("One")).api_key_ref == ""


async def test_a_broken_site_catalog_is_told_and_the_rest_is_there(site: Path) -> None:
    """P7: by file, line and field, as the screens open; corrected, it is read again."""
    site.write_text(CATALOG.replace("context_length: 9000", "context_length: 0"))
    async with opened() as (pilot, _):
        await until(pilot, lambda: rows(pilot) == ["One"])
        assert any(f"{site}:6: context_length: " in toast for toast in toasts(pilot))
        site.write_text(CATALOG)
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: rows(pilot) == ["One", "Two"], "the corrected file")


async def test_a_training_folder_becomes_a_model_that_is_highlighted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P18, N1, N2: looked at, registered under a readable id, highlighted, and on to the deploy."""
    monkeypatch.chdir(tmp_path)
    job = tmp_path / "support-bot" / UUID
    write(job, {"README.md": "---\nbase_model: Qwen/Qwen3-8B\n---\n"})
    for step in (100, 200):
        write(job / f"checkpoint-{step}", {**WEIGHTS, **state(step, 200, "/gpu/out/checkpoint-100")})
    async with opened((80, 24)) as (pilot, yard):
        await yard.registry.add_model({"name": "zebra", "provider": "vllm", "model_id": "x"})
        await press(pilot, "slash")
        await type_text(pilot, "zebra")
        await press(pilot, "enter", "T")
        await type_text(pilot, f"support-bot/{UUID}")
        await press(pilot, "enter")
        await until(pilot, lambda: "finished at step 200 of 200" in screen_text(pilot), "what was found")
        assert "Qwen/Qwen3-8B" in screen_text(pilot)
        assert field(pilot, "output").value == "checkpoint-100"
        assert field(pilot, "name").value == "support-bot"
        await press(pilot, "ctrl+d")
        await until(pilot, lambda: "Deploy" in pilot.app.screen.__class__.__name__, "the deploy")
        await press(pilot, "escape")
        await until(pilot, lambda: selected(pilot) == "support-bot", "the new row")
        assert rows(pilot) == ["support-bot", "zebra"]
        model = await yard.registry.get_model("support-bot")
        assert (model.model_id, model.path) == ("Qwen/Qwen3-8B", str(job / "checkpoint-100"))
        assert model.extra["training_job_id"] == UUID
        assert model.extra["checkpoint_path"] == model.path
        assert model.extra["display_name"] == "support-bot"


async def test_an_adapter_alone_is_added_but_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P18: the dialog and the list say what is needed."""
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "tuned", ADAPTER)
    async with opened() as (pilot, _):
        await press(pilot, "T")
        await type_text(pilot, folder.name)
        await press(pilot, "enter")
        await until(pilot, lambda: "Merge it where it was trained" in screen_text(pilot), "the remedy")
        await press(pilot, "ctrl+d")
        assert "It is an adapter alone; merge it first." in toasts(pilot)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: rows(pilot) == ["tuned"] and selected(pilot) == "tuned")
        await press(pilot, "d")
        assert any("adapter alone" in toast for toast in toasts(pilot) if toast.startswith("Deploy: "))


async def test_a_wrong_folder_is_told_in_the_dialog_and_a_taken_name_beside_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P18: what goes wrong is said where one is."""
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "tuned", WEIGHTS)
    async with opened() as (pilot, yard):
        await yard.registry.add_model({"name": "taken", "provider": "vllm", "model_id": "x"})
        await press(pilot, "T", "ctrl+s")
        assert field(pilot, "folder").problem == "✗ Required."
        await type_text(pilot, "nowhere")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "There is no folder" in screen_text(pilot), "the error")
        await retype(pilot, "folder", folder.name)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: bool(pilot.app.screen.query("#field-name")), "what was found")
        await retype(pilot, "name", "taken")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: field(pilot, "name").problem != "", "the duplicate")
        await press(pilot, "escape")
        await settle(pilot)
        assert rows(pilot) == ["taken"]


async def test_routes_are_a_view_of_the_heads_screen() -> None:
    """L2: served name, URL, task, region, head, health, and who quarrels about a name."""
    async with opened() as (pilot, yard):
        registry = yard.registry
        await registry.add_head({"name": "gate", "region": "eu", "url": "https://gate.example/v1"})
        common = {"provider": "vllm", "served_name": "chat", "region": "de", "head": "gate"}
        one = await registry.add_model({"name": "here", "model_id": "org/a", **common})
        hosted = {"name": "hosted", "provider": "openai", "model_id": "gpt", "endpoint": "https://api.example/v1"}
        await registry.add_model({**hosted, "served_name": "chat"})
        await registry.add_model({**hosted, "name": "embedder", "served_name": "embedder", "task": "embed"})
        host = await registry.add_host(Host(name="gpu1"))
        await registry.add_server(server(one.id, ServerStatus.RUNNING, host=host, name="chat"))
        await press(pilot, "5", "v", "v")
        await until(pilot, lambda: "SERVED NAME" in screen_text(pilot), "the routes")
        await until(pilot, lambda: "Showing 2 of 2 routes" in screen_text(pilot))
        text = screen_text(pilot)
        for words in (
            "chat !",
            "● up",
            "http://127.0.0.1:8000",
            "https://gate.example/v1",
            "Different models share it",
        ):
            assert words in text, words
        assert "server on gpu1" in text
        await press(pilot, "a")
        assert any("Routes follow" in toast for toast in toasts(pilot))
        await press(pilot, "slash")
        await type_text(pilot, "embed")
        await until(pilot, lambda: "Showing 1 of 2 routes" in screen_text(pilot))
        assert "· untested" in screen_text(pilot)
