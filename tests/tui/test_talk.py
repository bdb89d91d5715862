"""Talking to hosted models and testing their connections, used by keys."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.findings import Finding, Severity
from core.registry.store import Registry
from tests.providers.server import FakeProvider
from tests.tui.connections import FakeConnections
from tests.tui.fake import Yard, settings_in
from tests.tui.talking import TalkingYard, filled_with
from tests.tui.user import press, screen_text, select, session, toasts, type_text, until
from tui.modals.chat import ChatDialog
from tui.modals.chat_settings import ChatSettingsDialog
from tui.modals.connection import ConnectionDialog


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as started:
        yield started


@asynccontextmanager
async def _chatting(
    tmp_path: Path, server: FakeProvider, *, size: tuple[int, int] = (80, 24), **more: Any
) -> AsyncIterator[tuple[Pilot[None], Registry]]:
    yard = TalkingYard(settings=settings_in(tmp_path), fill=filled_with(server, **more))
    async with session(yard, size=size) as pilot:
        await select(pilot, "claude")
        await press(pilot, "c")
        assert yard.registry is not None
        yield pilot, yard.registry


async def _ask(pilot: Pilot[None], text: str) -> None:
    await type_text(pilot, text)
    await press(pilot, "enter")
    dialog: Any = pilot.app.screen
    await until(pilot, lambda: not dialog.answering, "answered")


async def test_a_hosted_model_answers_is_rated_and_kept(tmp_path: Path, server: FakeProvider) -> None:
    """P17 and N3 by keys: the answer streams in, ctrl+r rates it, ctrl+s keeps the talk, ctrl+o opens it again."""
    server.script.reasoning = ["Let me think"]
    async with _chatting(tmp_path, server) as (pilot, registry):
        await _ask(pilot, "Good day")
        text = screen_text(pilot)
        assert "Hello, wörld" in text
        assert "Let me think" in text
        assert "7 tokens" in text
        await press(pilot, "ctrl+r", "4")
        await until(pilot, lambda: "rated 4 of 5" in screen_text(pilot))
        (call,) = await registry.calls()
        assert (call.rating, call.ok, call.model_name) == (4, True, "claude")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "kept" in screen_text(pilot))
        await press(pilot, "ctrl+l")
        assert "Hello, wörld" not in screen_text(pilot)
        await press(pilot, "ctrl+o")
        await until(pilot, lambda: "Go on with" in screen_text(pilot))
        await press(pilot, "enter")
        await until(pilot, lambda: "Hello, wörld" in screen_text(pilot))
        await _ask(pilot, "And now")
        assert [one["content"] for one in server.last.body["messages"]] == ["Good day", "Hello, wörld", "And now"]
        (kept,) = await registry.conversations()
        assert len((await registry.get_conversation(kept.id)).messages) == 4
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_a_rating_can_be_taken_back(tmp_path: Path, server: FakeProvider) -> None:
    async with _chatting(tmp_path, server) as (pilot, registry):
        await press(pilot, "ctrl+r")
        assert any("no answer yet" in toast for toast in toasts(pilot))
        await _ask(pilot, "Hi")
        await press(pilot, "ctrl+r", "1", "ctrl+r", "0")
        await until(pilot, lambda: "rated" not in screen_text(pilot).split("\n", 3)[2])
        assert (await registry.calls())[0].rating is None


async def test_settings_of_the_talk_are_sent_and_the_record_stays(
    tmp_path: Path, server: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(tmp_path)
    async with _chatting(tmp_path, server, supports_vision=True, extra={"system_prompt": "Rhyme"}) as (pilot, registry):
        await until(pilot, lambda: "system: Rhyme" in screen_text(pilot))
        await press(pilot, "ctrl+t")
        assert isinstance(pilot.app.screen, ChatSettingsDialog)
        await type_text(pilot, " please")
        await press(pilot, "tab")
        await type_text(pilot, "3")
        await press(pilot, "ctrl+s")
        assert "between 0 and 2" in " ".join(screen_text(pilot).split())
        await press(pilot, "backspace")
        await type_text(pilot, "0.5")
        await press(pilot, "tab", "tab", "tab")
        await type_text(pilot, "x")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "be read" in screen_text(pilot))
        await press(pilot, "backspace")
        await type_text(pilot, "p")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "temperature 0.5" in screen_text(pilot))
        assert "1 image goes along" in screen_text(pilot)
        await _ask(pilot, "What is this")
        sent = server.last.body
        assert (sent["temperature"], sent["system"]) == (0.5, "Rhyme please")
        assert sent["messages"][0]["content"][0]["type"] == "image"
        assert "goes along" not in screen_text(pilot)
        assert (await registry.get_model("claude")).default_temperature == 1.0


async def test_a_tool_call_is_shown_as_such(tmp_path: Path, server: FakeProvider) -> None:
    server.script.answer, server.script.tool = ["I look."], ("get_weather", {"city": "Paris"})
    async with _chatting(tmp_path, server) as (pilot, _):
        await _ask(pilot, "Weather")
        assert '→ get_weather({"city": "Paris"})' in screen_text(pilot)


async def test_a_refused_answer_says_what_to_do_and_the_talk_goes_on(tmp_path: Path, server: FakeProvider) -> None:
    async with _chatting(tmp_path, server) as (pilot, _):
        server.script.key = "another"
        await _ask(pilot, "Hi")
        text = " ".join(screen_text(pilot).split())
        assert "does not accept the key" in text
        assert "modelyard keys set" in text
        server.script.key = ""
        await _ask(pilot, "Hi again")
        assert [one["content"] for one in server.last.body["messages"]] == ["Hi again"]
        assert isinstance(pilot.app.screen, ChatDialog)


async def test_hostile_answers_are_shown_harmlessly(tmp_path: Path, server: FakeProvider) -> None:
    server.script.answer = ["\x1b]0;owned\x07[bold]plain[/", "b] \x1b[2Jend"]
    async with _chatting(tmp_path, server) as (pilot, _):
        await _ask(pilot, "Hi")
        text = screen_text(pilot)
        assert "[bold]plain[/b] end" in text
        assert "\x1b" not in text


# Tests of connections


async def test_the_connection_of_a_model_is_tested_by_one_key(tmp_path: Path, server: FakeProvider) -> None:
    """P9 by keys: t tests; result, latency and what is served are shown, and stay on the card."""
    yard = TalkingYard(settings=settings_in(tmp_path), fill=filled_with(server))
    async with session(yard, size=(80, 24)) as pilot:
        await select(pilot, "claude")
        await press(pilot, "t")
        await until(pilot, lambda: "It can be used." in screen_text(pilot))
        text = " ".join(screen_text(pilot).split())
        for part in ("answers in", "The key is accepted.", "tiny-1 is served there.", "tiny-1, tiny-2", "First byte"):
            assert part in text
        server.script.key = "another"
        await press(pilot, "r")
        await until(pilot, lambda: "It can't be used now." in screen_text(pilot))
        assert "does not accept the key" in " ".join(screen_text(pilot).split())
        await press(pilot, "escape")
        assert yard.registry is not None
        kept = await yard.registry.get_model("claude")
        assert kept.last_test is not None
        assert kept.last_test["fault"] == "unauthorised"


async def test_a_test_under_way_can_be_left(tmp_path: Path, server: FakeProvider) -> None:
    yard = Yard(settings=settings_in(tmp_path), fill=filled_with(server))
    async with session(yard) as pilot:
        connections: FakeConnections = pilot.app.yard.connections  # type: ignore[attr-defined]
        reason = "No secure \x1b[2J[b]connection."
        connections.faults["claude"] = Finding(severity=Severity.ERROR, check="tls", reason=reason, remedy="Mend it.")
        await select(pilot, "claude")
        await pilot.press("t")
        await until(pilot, lambda: "Testing…" in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ConnectionDialog))
        connections.go_on.set()
        await press(pilot, "t")
        await until(pilot, lambda: "No secure [b]connection." in screen_text(pilot))
        assert "→ Mend it." in screen_text(pilot)


async def test_leaving_in_the_middle_of_an_answer_counts_it(
    tmp_path: Path, server: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    server.script.answer, server.script.hold = ["first", "second"], "first"
    async with _chatting(tmp_path, server) as (pilot, _):
        await type_text(pilot, "Hi")
        await pilot.press("enter")
        await until(pilot, lambda: "first" in screen_text(pilot))
        pilot.app.exit()
    assert pilot.app.return_code == 0
    await asyncio.to_thread(server.go_on.set)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    rows = sqlite3.connect(tmp_path / "data" / "registry.db").execute("SELECT ok, completion_tokens FROM calls")
    assert rows.fetchall() == [(1, 1)]
