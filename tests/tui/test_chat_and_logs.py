"""Talking to a model and reading its logs, used by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import HostSilent
from tests.tui.fake import FakeChat, Yard
from tests.tui.user import press, screen_text, select, session, settle, toasts, type_text, until
from tui.modals.chat import ChatDialog
from tui.modals.logs import LogDialog


async def test_answer_streams_in_and_its_speed_is_shown(yard: Yard) -> None:
    yard.script.answer = ["The first", " and the rest"]
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "c")
        await type_text(pilot, "hello there")
        await press(pilot, "enter")
        await until(pilot, lambda: "The first" in screen_text(pilot))
        assert "and the rest" not in screen_text(pilot)
        yard.script.more_answer.set()
        await until(pilot, lambda: "The first and the rest" in screen_text(pilot))
        await until(pilot, lambda: "41.5 tokens/s" in screen_text(pilot))


async def test_escape_stops_the_answer_and_then_closes(yard: Yard) -> None:
    yard.script.answer = ["The first", " and the rest"]
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "c")
        await type_text(pilot, "hello")
        await press(pilot, "enter")
        await until(pilot, lambda: "The first" in screen_text(pilot))
        await press(pilot, "escape")
        await until(pilot, lambda: "(stopped)" in screen_text(pilot))
        dialog = pilot.app.screen
        assert isinstance(dialog, ChatDialog)
        assert dialog.messages[-1] == {"role": "assistant", "content": "The first"}
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_the_whole_talk_goes_with_each_question_until_cleared(yard: Yard) -> None:
    yard.script.answer = ["yes"]
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "c")
        for question in ("one", "two"):
            await type_text(pilot, question)
            await press(pilot, "enter")
            dialog: Any = pilot.app.screen
            await until(pilot, lambda: not dialog.answering)  # noqa: B023
        sent = yard.script.asked[-1][1]
        assert [message["content"] for message in sent] == ["one", "yes", "two"]
        await press(pilot, "ctrl+l")
        assert "yes" not in screen_text(pilot).split("\n", 2)[2].split("Write to")[0]


async def test_an_answer_that_fails_is_explained_in_the_talk(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> AsyncIterator[Any]:
        for error in (HostSilent("atlas does not answer", cause="No route.", remedy="Check the network."),):
            raise error
        yield

    monkeypatch.setattr(FakeChat, "ask", fails)
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "c")
        await type_text(pilot, "hello")
        await press(pilot, "enter")
        await until(pilot, lambda: "→ Check the network." in screen_text(pilot))


async def test_chat_with_opens_a_talk_at_once(yard: Yard) -> None:
    async with session(yard, chat_with="qwen3-32b") as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatDialog))
        await until(pilot, lambda: "qwen3-32b" in screen_text(pilot))


async def test_logs_follow_search_and_go_from_hit_to_hit(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "l")
        await until(pilot, lambda: "11 lines, following" in screen_text(pilot))
        await press(pilot, "slash")
        await type_text(pilot, "kv cache")
        await press(pilot, "enter")
        assert "1 of 1 hit" in screen_text(pilot)
        assert "paused" in screen_text(pilot)
        await press(pilot, "f")
        assert "following" in screen_text(pilot)
        await press(pilot, "escape", "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_logs_are_saved_beside_each_other(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "l")
        await until(pilot, lambda: "11 lines" in screen_text(pilot))
        await press(pilot, "w", "w")
        await until(pilot, lambda: len(list(tmp_path.glob("modelyard-*.log"))) == 2)
        saved = next(tmp_path.glob("modelyard-*.log")).read_text(encoding="utf-8")
        assert saved.splitlines()[0] == yard.script.log_lines[0]
        assert any("Saved 11 lines" in toast for toast in toasts(pilot))


async def test_a_folder_that_cannot_be_written_is_said(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    async with session(yard) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "l")
        await settle(pilot)
        assert isinstance(pilot.app.screen, LogDialog)
        monkeypatch.setattr(Path, "write_text", refuse)
        await press(pilot, "w")
        await until(pilot, lambda: "Permission" in screen_text(pilot))
        assert "a folder you may write to" in screen_text(pilot)
