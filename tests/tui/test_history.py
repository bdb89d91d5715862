"""Undo, redo and the history, by keys."""

from __future__ import annotations

from tests.tui.fake import Yard
from tests.tui.user import press, rows, screen_text, select, selected, session, toasts, until


async def test_deleting_is_taken_back_and_done_again_by_keys(yard: Yard) -> None:
    """P6: a deleted record leaves the list at once, and undo brings it back with its id."""
    async with session(yard) as pilot:
        assert yard.registry is not None
        await select(pilot, "mistral-small-24b")
        before = await yard.registry.get_model("mistral-small-24b")
        await press(pilot, "x")
        assert "Delete the model mistral-small-24b?" in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: "mistral-small-24b" not in rows(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: "mistral-small-24b" in rows(pilot) and selected(pilot) == "mistral-small-24b")
        assert "Took back: deleted model: mistral-small-24b" in toasts(pilot)
        assert (await yard.registry.get_model("mistral-small-24b")).id == before.id
        await press(pilot, "U")
        await until(pilot, lambda: "mistral-small-24b" not in rows(pilot))
        assert "Did again: deleted model: mistral-small-24b" in toasts(pilot)


async def test_archiving_is_taken_back_by_keys(yard: Yard) -> None:
    """L11: an archived model returns by undo, too."""
    async with session(yard) as pilot:
        await select(pilot, "bge-m3")
        await press(pilot, "z")
        await until(pilot, lambda: "bge-m3" not in rows(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: "bge-m3" in rows(pilot))
        assert any("archived model: bge-m3" in toast for toast in toasts(pilot))


async def test_history_shows_who_changed_what_and_takes_any_of_it_back(yard: Yard) -> None:
    async with session(yard) as pilot:
        assert yard.registry is not None
        await yard.registry.edit_model("bge-m3", {"context_length": 4321, "extra": {"hf_token_env": "X"}})
        await yard.registry.archive_model("gemma-3-12b-it")
        await press(pilot, "H")
        await until(pilot, lambda: "archived model: gemma-3-12b-it" in screen_text(pilot))
        assert "ada@" in screen_text(pilot)
        await press(pilot, "down")
        await until(pilot, lambda: "→ 4321" in screen_text(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: "(taken back)" in screen_text(pilot))
        assert (await yard.registry.get_model("bge-m3")).context_length != 4321
        await press(pilot, "u")
        assert any("taken back already" in toast for toast in toasts(pilot))
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_what_changed_since_is_not_overwritten_and_the_reason_is_shown(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        assert yard.registry is not None
        await yard.registry.edit_model("bge-m3", {"context_length": 4321})
        await yard.registry.edit_model("bge-m3", {"context_length": 4322})
        await press(pilot, "H", "down", "u")
        await until(pilot, lambda: "changed since: context_length" in screen_text(pilot))
        assert "What to do" in screen_text(pilot)
        await press(pilot, "escape", "escape")
        assert (await yard.registry.get_model("bge-m3")).context_length == 4322


async def test_where_nothing_was_done_undo_says_so(empty_yard: Yard) -> None:
    async with session(empty_yard) as pilot:
        await press(pilot, "u")
        assert "There is nothing to take back." in toasts(pilot)
        await press(pilot, "H")
        await until(pilot, lambda: "Nothing was changed yet." in screen_text(pilot))
