"""The screen of heads and regions, used by keys."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from core.registry.store import Registry
from tests.tui import demo
from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, select, session, settle, toasts, type_text, until
from tui.modals.head_form import HeadForm, RegionForm
from tui.widgets.fields import Field

HOSTILE = "a\x1b]0;owned\x07[b]\u202edne"


async def fill_with_heads(registry: Registry) -> None:
    """Two heads, one of them a model's; a region of one's own."""
    await demo.fill(registry)
    await registry.add_region({"id": "lab", "name": HOSTILE})
    await registry.add_head({"name": "frankfurt", "region": "de", "url": "https://fra.example/v1"})
    await registry.add_head({"name": HOSTILE, "region": "lab", "url": "https://lab.example/v1", "description": HOSTILE})
    await registry.edit_model("qwen3-32b", {"head": "frankfurt", "region": "de"})


def problem(pilot: Pilot[None], name: str) -> str:
    """What stands as wrong beside a field."""
    return pilot.app.screen.query_one(f"#field-{name}", Field).problem


async def test_heads_are_added_edited_and_removed(yard: Yard) -> None:
    """R2, R5: a head with its region and URL by keys; a removed one comes back by undo, and no model goes for it."""
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: "No heads yet" in screen_text(pilot))
        await press(pilot, "a")
        assert isinstance(pilot.app.screen, HeadForm)
        await type_text(pilot, "main")
        await press(pilot, "tab")
        await type_text(pilot, "eu")
        await press(pilot, "enter", "tab")
        await type_text(pilot, "nonsense")
        await press(pilot, "tab")
        assert "http://" in problem(pilot, "url")
        await press(pilot, "shift+tab", "end", "ctrl+u")
        await type_text(pilot, "https://h/v1")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: rows(pilot) == ["main"])
        await press(pilot, "e", "end")
        await type_text(pilot, "2")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: rows(pilot) == ["main2"])
        assert yard.registry is not None
        head = await yard.registry.get_head("main2")
        assert (head.region, head.url) == ("eu", "https://h/v1")
        await press(pilot, "x")
        assert "The gateway itself is not stopped" in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: rows(pilot) == [])
        await yard.registry.add_model({"name": "m", "provider": "vllm", "model_id": "o/m"})
        await press(pilot, "u")
        await until(pilot, lambda: rows(pilot) == ["main2"])
        assert (await yard.registry.get_head("main2")).id == head.id
        assert (await yard.registry.get_model("m")).name == "m"
        await press(pilot, "U")
        await until(pilot, lambda: rows(pilot) == [])
        await press(pilot, "H")
        await until(pilot, lambda: "deleted head: main2" in screen_text(pilot))


async def test_a_head_that_models_use_is_not_removed(yard: Yard) -> None:
    """R2: refused with the reason; names are shown harmlessly."""
    yard.fill = fill_with_heads
    async with session(yard) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: len(rows(pilot)) == 2)
        await select(pilot, "frankfurt")
        text = screen_text(pilot)
        for part in ("de  Germany", "https://fra.example/v1", "1 have it as their head", "a[b]dne"):
            assert part in text
        assert "\x1b" not in text
        await press(pilot, "x")
        assert any("1 model still has it as head" in toast for toast in toasts(pilot))
        assert len(rows(pilot)) == 2


async def test_regions_are_searched_added_and_protected(yard: Yard) -> None:
    """R1, R5: the standard codes are there, read-only; one's own come first."""
    yard.fill = fill_with_heads
    async with session(yard) as pilot:
        await press(pilot, "5", "v")
        await until(pilot, lambda: rows(pilot)[:2] == ["lab", "de"])
        await press(pilot, "slash")
        await type_text(pilot, "brazil")
        await until(pilot, lambda: rows(pilot) == ["br"])
        await press(pilot, "enter", "x")
        assert any("built-in region" in toast for toast in toasts(pilot))
        await press(pilot, "a")
        assert isinstance(pilot.app.screen, RegionForm)
        await type_text(pilot, "de")
        await press(pilot, "tab")
        await until(pilot, lambda: "already" in problem(pilot, "id"))
        await type_text(pilot, "Virginia")
        await press(pilot, "shift+tab", "end", "ctrl+u")
        await type_text(pilot, "us-east-1")
        await press(pilot, "ctrl+s")
        await settle(pilot)
        await press(pilot, "escape")
        await until(pilot, lambda: rows(pilot)[:3] == ["lab", "us-east-1", "de"])


async def test_a_region_keeps_its_code(yard: Yard) -> None:
    """R1: only the name of one's own region is edited; it goes when nothing is in it."""
    yard.fill = fill_with_heads
    async with session(yard) as pilot:
        await press(pilot, "5", "v")
        await until(pilot, lambda: rows(pilot)[:1] == ["lab"])
        await press(pilot, "x")
        assert any("1 head" in toast for toast in toasts(pilot))
        await press(pilot, "e")
        form: Any = pilot.app.screen
        assert form.query_one("#field-id", Field).control.disabled
        await press(pilot, "end", "ctrl+u")
        await type_text(pilot, "Laboratory")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "Laboratory" in screen_text(pilot))
        assert yard.registry is not None
        await yard.registry.remove_head(HOSTILE)
        await until(pilot, lambda: "1 head" not in screen_text(pilot))
        await press(pilot, "x", "y")
        await until(pilot, lambda: "lab" not in rows(pilot)[:3])
