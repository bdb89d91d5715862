"""Chats, conversations, ratings and tests of connections by command, against a fake provider and a real engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.db import Database
from core.events import EventBus
from core.registry.store import Registry
from core.settings import Settings
from tests.cli.program import Terminal, done, modelyard, start
from tests.providers.certificates import server_context
from tests.providers.server import KEY, FakeProvider, wait_until

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("TEST_KEY", KEY)
    with FakeProvider() as started:
        yield started


def _add(server: FakeProvider, name: str = "claude", **more: Any) -> None:
    """Put a model that the fake provider serves into the registry; the command that does it has tests of its own."""
    asyncio.run(_add_model({**_MODEL, "name": name, "endpoint": server.url, **more}))


_MODEL = {"provider": "anthropic", "model_id": "tiny-1", "api_key_ref": "TEST_KEY"}


async def _add_model(values: dict[str, Any]) -> None:
    settings = Settings.load()
    settings.ensure_folders()
    database = Database(settings.db_path)
    await database.open()
    try:
        await Registry(database, EventBus(), user_id=settings.user_id).add_model(values)
    finally:
        await database.close()


def test_test_says_what_is_found_and_ends_with_a_code(server: FakeProvider) -> None:
    """P9 by command: all well, a wrong model, nothing there; for one model, several and all."""
    _add(server)
    _add(server, "other", model_id="tiny-9", provider="vllm")
    found = done("models", "test", "claude", "--json").json()
    assert (found["ok"], found["fault"], found["serves"]) == (True, "", ["tiny-1", "tiny-2"])
    assert found["latency_seconds"] > 0
    assert [finding["check"] for finding in found["findings"]] == ["reachable", "authorised", "model"]
    shown = done("models", "test", "claude")
    assert "claude: ok" in shown.out
    assert KEY not in shown.out + shown.err
    assert "tiny-1, tiny-2" in shown.out
    assert "The key is accepted." in shown.err
    wrong = modelyard("models", "test", "other", "--json")
    assert (wrong.code, wrong.json()["fault"]) == (1, "model_not_found")
    assert wrong.json()["findings"][-1]["remedy"]
    both = modelyard("models", "test", "claude", "other", "--json")
    assert (both.code, [one["ok"] for one in both.json()["tests"]]) == (1, [True, False])
    assert done("models", "show", "claude", "--json").json()["last_test"]["ok"] is True
    assert modelyard("models", "test").code == 2


def test_all_that_are_served_are_tested(server: FakeProvider) -> None:
    _add(server)
    _add(server, "idle", provider="vllm", endpoint="", api_key_ref="")
    _add(server, "wrong", provider="vllm", model_id="tiny-9")
    every = modelyard("models", "test", "--all", "--json")
    assert every.code == 1
    assert {one["model"]: one["fault"] for one in every.json()["tests"]} == {"claude": "", "wrong": "model_not_found"}


def test_tls_trouble_is_told_and_mended_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    context, certificate = server_context(tmp_path)
    with FakeProvider(tls=context) as server:
        _add(server)
        refused = modelyard("models", "test", "claude", "--json")
        assert (refused.code, refused.json()["fault"]) == (1, "tls")
        assert "SSL_CERT_FILE" in refused.out
        assert done("models", "test", "claude", "--json", env={"SSL_CERT_FILE": str(certificate)}).json()["ok"]


def test_the_key_is_nowhere_but_in_the_request(server: FakeProvider, short_folder: Path) -> None:
    _add(server)
    runs = [modelyard(*words) for words in (("models", "test", "claude", "--json"), ("chat", "claude", "Hi", "--json"))]
    server.script.fail = (401, {"error": {"message": f"Wrong key {KEY}"}}, {})
    runs += [modelyard(*words) for words in (("models", "test", "claude"), ("chat", "claude", "Hi"))]
    assert all(KEY not in run.out + run.err for run in runs)
    files = [path for path in short_folder.rglob("*") if path.is_file()]
    assert files
    assert all(KEY.encode() not in path.read_bytes() for path in files)


@pytest.mark.parametrize("provider", ["openai", "vllm", "anthropic", "google", "ollama"])
def test_a_hosted_model_answers(server: FakeProvider, provider: str) -> None:
    """P17 by command, in every wire format."""
    server.script.reasoning = ["Let me think"]
    _add(server, provider=provider)
    figures = done("chat", "claude", "-", "--json", stdin="Hi").json()
    assert (figures["answer"], figures["reasoning"]) == ("Hello, wörld", "Let me think")
    assert (figures["prompt_tokens"], figures["completion_tokens"], figures["finish_reason"]) == (11, 7, "stop")
    assert figures["conversation_id"] is None


def test_a_script_gets_the_answer_alone(server: FakeProvider) -> None:
    server.script.reasoning = ["Let me \x1b[2Jthink"]
    _add(server)
    plain = done("chat", "claude", "Hi")
    assert plain.out == "Hello, wörld\n"
    assert "Let me think" in plain.err
    assert "7 tokens" in plain.err


def test_options_of_a_question_reach_the_model(server: FakeProvider, tmp_path: Path) -> None:
    _add(server, "eyes", supports_vision=True, supports_tools=True, provider="vllm")
    (tmp_path / "p.png").write_bytes(PNG)
    (tmp_path / "tools.json").write_text(json.dumps({"name": "get_weather", "description": "Weather"}))
    server.script.tool = ("get_weather", {"city": "Pa\x1b[2Jris"})
    ended = done(
        *("chat", "eyes", "What is this?", "--system", "Be brief.", "--temperature", "0.5", "--top-p", "0.25"),
        *("--max-tokens", "9", "--image", str(tmp_path / "p.png"), "--tools", str(tmp_path / "tools.json")),
    )
    assert "→ get_weather(" in ended.out
    assert "\x1b" not in ended.out
    sent = server.last.body
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.5, 0.25, 9)
    assert sent["messages"][0]["content"] == "Be brief."
    assert sent["messages"][1]["content"][1]["type"] == "image_url"
    assert sent["tools"][0]["function"]["name"] == "get_weather"


def test_what_a_model_cannot_do_is_refused_with_the_way_to_say_it_can(server: FakeProvider, tmp_path: Path) -> None:
    _add(server)
    (tmp_path / "p.png").write_bytes(PNG)
    refused = modelyard("chat", "claude", "What is this?", "--image", str(tmp_path / "p.png"), "--json")
    assert refused.code == 3
    remedy = refused.error()["remedy"]
    assert remedy.endswith("modelyard models edit claude --vision")
    done(*remedy.partition("modelyard ")[2].split())
    assert done("chat", "claude", "What is this?", "--image", str(tmp_path / "p.png")).out == "Hello, wörld\n"
    wrong = modelyard("chat", "claude", "Hi", "--image", str(tmp_path / "nowhere.png"), "--json")
    assert (wrong.code, wrong.error()["error"]) == (1, "FileProblem")


def test_a_conversation_is_kept_continued_rated_shown_and_deleted(server: FakeProvider) -> None:
    """N3's ratings and kept talks by command."""
    _add(server)
    _add(server, "other")
    first = done("chat", "claude", "Good day", "--keep", "--json").json()
    ident = first["conversation_id"]
    second = done("chat", "claude", "And now", "--continue", ident[:6], "--json").json()
    assert second["conversation_id"] == ident
    assert [one["content"] for one in server.last.body["messages"]] == ["Good day", "Hello, wörld", "And now"]
    stranger = modelyard("chat", "other", "And now", "--continue", ident, "--json")
    assert (stranger.code, stranger.error()["error"]) == (3, "NotAllowed")
    rated = done("conversations", "rate", str(second["call_id"]), "5", "--json").json()
    assert (rated["call_id"], rated["rating"]) == (second["call_id"], 5)
    assert done("conversations", "rate", str(second["call_id"]), "0", "--json").json()["rating"] is None
    (listed,) = done("conversations", "list", "--json").json()["conversations"]
    assert (listed["id"], listed["title"], listed["model"]) == (ident, "Good day", "claude")
    assert ident in done("conversations", "list", "--model", "claude").out
    shown = done("conversations", "show", ident)
    assert "## You\n\nAnd now" in shown.out
    assert "## claude\n\nHello, wörld" in shown.out
    assert len(done("conversations", "show", ident, "--json").json()["messages"]) == 4
    assert modelyard("conversations", "delete", ident, "--json").code == 3
    assert done("conversations", "delete", ident, "--yes", "--json").json()["deleted"] is True
    assert modelyard("conversations", "show", ident).code == 1


def test_without_keep_nothing_that_was_said_is_left(server: FakeProvider, short_folder: Path) -> None:
    _add(server)
    done("chat", "claude", "A private question")
    files = [path for path in short_folder.rglob("*") if path.is_file()]
    assert all(b"A private question" not in path.read_bytes() for path in files)


def test_a_refusal_is_an_error_with_its_kind(server: FakeProvider) -> None:
    _add(server)
    server.script.key = "another"
    refused = modelyard("chat", "claude", "Hi", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert (refused.error()["error"], refused.error()["fault"]) == ("ProviderError", "unauthorised")


def test_an_interrupted_answer_is_counted_and_ends_at_the_endpoint(server: FakeProvider, short_folder: Path) -> None:
    _add(server)
    server.script.answer = ["first ", *["word "] * 100_000]
    program = start("chat", "claude", "Hi")
    assert program.stdout is not None
    assert program.stdout.read(6) == b"first "
    os.kill(program.pid, signal.SIGINT)
    program.communicate(timeout=30)
    assert program.returncode == 130
    wait_until(server.hung_up.is_set)
    registry = next(short_folder.rglob("registry.db"))
    rows = sqlite3.connect(registry).execute("SELECT kind, ok, error, completion_tokens > 0 FROM calls").fetchall()
    assert rows == [("chat", 1, "", 1)]


def test_a_conversation_on_a_terminal_is_rated_and_kept_by_words(server: FakeProvider) -> None:
    _add(server)
    terminal = Terminal("chat", "claude")
    terminal.wait_for("> ")
    terminal.write("Good day\n")
    terminal.wait_for("7 tokens")
    terminal.write("/rate 4\n")
    terminal.wait_for("rated")
    terminal.write("/keep\n")
    terminal.wait_for("kept as")
    terminal.write("\x04")
    assert terminal.close() == 0
    (kept,) = done("conversations", "list", "--json").json()["conversations"]
    assert kept["title"] == "Good day"


def test_a_real_engine_is_tested_and_asked(smollm2: Path) -> None:
    """P9 and P17 with llama-server as a process: its list is open to all, its answers are not."""
    words = ("--provider", "llamacpp", "--model-id", "HuggingFaceTB/SmolLM2", "--path", str(smollm2))
    done("models", "add", "smol", *words, "--max-output-tokens", "8")
    idle = modelyard("models", "test", "smol", "--json")
    assert (idle.code, idle.json()["fault"]) == (1, "not_running")
    done("deploy", "smol", "--host", "local", "--yes", "--wait")
    try:
        found = done("models", "test", "smol", "--json").json()
        assert (found["ok"], found["serves"]) == (True, ["smol"])
        assert found["server_id"]
        assert [finding["check"] for finding in found["findings"]] == ["reachable", "authorised", "model"]
        answer = done("chat", "smol", "Say hello.", "--json").json()
        assert answer["answer"].strip()
        assert answer["completion_tokens"] <= 8
        url = found["url"]
        done("models", "add", "strangers", "--provider", "vllm", "--model-id", "smol", "--endpoint", url)
        assert modelyard("models", "test", "strangers", "--json").json()["fault"] == "unauthorised"
    finally:
        done("stop", "smol", "--json")
