"""Talking (P17) with any provider: settings, abilities, figures, ratings, talks that are kept."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from core.chat import AskOptions, ChatDone, ChatPiece, Talk, ToolCall
from core.chat.attachments import IMAGE_LIMIT, load_image, load_tools
from core.chat.export import as_document, as_markdown
from core.errors import FileProblem, InvalidInput, KeyMissing, NotAllowed, NotFound
from core.providers.errors import ProviderError
from core.registry.records import Model
from tests.providers.formats import COUNTS
from tests.providers.server import KEY, FakeProvider, wait_until
from tests.providers.yard import SmallYard

PNG = b"\x89PNG\r\n\x1a\n and so on"


async def _say(talk: Talk, text: str, **more: Any) -> tuple[str, ChatDone]:
    words = ""
    async for part in talk.ask(text, **more):
        if isinstance(part, ChatPiece) and not part.reasoning:
            words += part.text
        elif isinstance(part, ChatDone):
            return words, part
    raise AssertionError("no end")


@pytest.mark.parametrize("provider", ["openai", "vllm", "anthropic", "google", "ollama"])
async def test_each_provider_answers_and_is_counted(server: FakeProvider, yard: SmallYard, provider: str) -> None:
    await yard.add(server, provider)
    words, done = await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")
    assert words == "Hello, wörld"
    assert (done.prompt_tokens, done.completion_tokens, done.finish_reason) == (*COUNTS, "stop")
    (call,) = await yard.registry.calls()
    assert (call.id, call.ok, call.kind, call.prompt_tokens, call.completion_tokens) == (
        done.call_id,
        True,
        "chat",
        *COUNTS,
    )
    assert call.first_token_s is not None
    assert 0 < call.first_token_s <= call.seconds


async def test_typing_a_passphrase_is_not_the_models_latency(
    server: FakeProvider, yard: SmallYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3, P9: the clock starts when the question can be sent, not while the vault's passphrase is asked for."""
    typed, clock = 0.0, time.perf_counter

    async def slow(model: Model) -> str:
        nonlocal typed
        typed += 1000
        return KEY

    monkeypatch.setattr(yard.keys, "for_model", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + typed)
    await yard.add(server)
    _, done = await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")
    report = await yard.connections.test("mine")
    assert typed == 2000
    assert report.latency_s is not None
    seconds = [
        done.first_token_s,
        done.seconds,
        report.latency_s,
        *(call.seconds for call in await yard.registry.calls()),
    ]
    assert max(seconds) < 1000


async def test_a_question_that_was_never_sent_is_no_failure_of_the_model(
    server: FakeProvider, yard: SmallYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3: without a key nobody is asked; nor where the user gives up while the vault is being unlocked."""
    await yard.add(server, api_key_ref="none-of-this-name")
    with pytest.raises(KeyMissing):
        await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")

    async def given_up(model: Model) -> str:
        raise asyncio.CancelledError

    monkeypatch.setattr(yard.keys, "for_model", given_up)
    with pytest.raises(asyncio.CancelledError):
        await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")
    assert (await yard.registry.calls(), server.asked) == ([], [])


async def test_the_record_sets_what_is_asked_and_can_be_overridden(server: FakeProvider, yard: SmallYard) -> None:
    more: dict[str, Any] = {"default_temperature": 0.3, "default_top_p": 0.9, "max_output_tokens": 99}
    await yard.add(server, **more, extra={"system_prompt": "Rhyme."})
    await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")
    sent = server.last.body
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["stream"]) == (0.3, 0.9, 99, True)
    assert sent["messages"][0] == {"role": "system", "content": "Rhyme."}
    other = AskOptions(system="", temperature=1.5, top_p=0.1, max_tokens=5)
    await _say(Talk(yard.chat, yard.registry, "mine", other), "Hi")
    sent = server.last.body
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (1.5, 0.1, 5)
    assert [message["role"] for message in sent["messages"]] == ["user"]


async def test_without_streaming_the_answer_comes_in_one_piece(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server, supports_streaming=False)
    words, done = await _say(Talk(yard.chat, yard.registry, "mine"), "Hi")
    assert (words, done.completion_tokens, done.tokens_per_second) == ("Hello, wörld", COUNTS[1], 0.0)
    assert "stream" not in server.last.body


async def test_what_a_model_cannot_do_is_not_sent(server: FakeProvider, yard: SmallYard, tmp_path: Path) -> None:
    await yard.add(server)
    (tmp_path / "p.png").write_bytes(PNG)
    (tmp_path / "t.json").write_text('{"name": "get_weather"}')
    image, tools = await load_image(tmp_path / "p.png"), await load_tools(tmp_path / "t.json")
    talk = Talk(yard.chat, yard.registry, "mine")
    with pytest.raises(NotAllowed, match="look at images"):
        await _say(talk, "What is this?", images=[image])
    with pytest.raises(NotAllowed, match="call tools"):
        await _say(Talk(yard.chat, yard.registry, "mine", AskOptions(tools=tools)), "Weather?")
    assert server.asked == []
    assert talk.turns == []
    await yard.registry.edit_model("mine", {"supports_vision": True, "supports_tools": True})
    await _say(talk, "What is this?", images=[image])
    content = server.last.body["messages"][0]["content"]
    assert content[1]["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    await _say(talk, "And?")
    assert server.last.body["messages"][0]["content"] == content, "the picture stays in the talk"


async def test_a_tool_call_is_shown_and_goes_back_as_words(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server, supports_tools=True)
    server.script.answer, server.script.tool = [], ("get_weather", {"city": "Paris"})
    talk = Talk(yard.chat, yard.registry, "mine")
    parts = [part async for part in talk.ask("Weather?")]
    assert isinstance(parts[0], ToolCall)
    assert parts[0].text == 'get_weather({"city": "Paris"})'
    server.script.answer, server.script.tool = ["Fine."], None
    await _say(talk, "Well?")
    assert "get_weather" in server.last.body["messages"][1]["content"]


async def test_a_failed_answer_is_counted_with_its_kind_and_leaves_no_trace(
    server: FakeProvider, yard: SmallYard
) -> None:
    await yard.add(server)
    server.script.fail = (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, {})
    talk = Talk(yard.chat, yard.registry, "mine")
    with pytest.raises(ProviderError):
        await _say(talk, "Hi")
    (call,) = await yard.registry.calls()
    assert (call.ok, call.error, call.first_token_s) == (False, "rate_limited", None)
    assert talk.turns == []


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_a_stopped_answer_counts_with_what_was_written_and_stays(
    server: FakeProvider, yard: SmallYard, how: str
) -> None:
    await yard.add(server)
    server.script.answer, server.script.hold = ["first", "second"], "first"
    talk = Talk(yard.chat, yard.registry, "mine")
    if how == "closed":
        async with aclosing(talk.ask("Hi")) as parts:
            assert await anext(parts) == ChatPiece(text="first")
    else:
        task = asyncio.create_task(_say(talk, "Hi"))
        while not server.asked:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            while talk.call is None and not task.done():
                await asyncio.sleep(0.05)
                task.cancel()
        assert task.cancelled() or task.cancelling()
        await asyncio.wait({task})
    server.go_on.set()
    (call,) = await yard.registry.calls()
    assert (call.ok, call.error, call.completion_tokens) == (True, "", 1)
    assert [turn["content"] for turn in talk.turns] == ["Hi", "first"]
    await talk.rate(2)
    assert (await yard.registry.calls())[0].rating == 2


async def test_the_key_and_the_words_stay_out_of_the_registry(
    server: FakeProvider, yard: SmallYard, tmp_path: Path
) -> None:
    await yard.add(server)
    await _say(Talk(yard.chat, yard.registry, "mine"), "A secret question")
    content = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert b"A secret question" not in content
    assert b"sk-planted" not in content


async def test_a_talk_is_kept_on_wish_grows_by_itself_and_is_resumed(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server)
    talk = Talk(yard.chat, yard.registry, "mine", AskOptions(system="Be kind."))
    with pytest.raises(InvalidInput):
        await talk.keep()
    await _say(talk, "One \x1b]0;evil\x07 question")
    assert await yard.registry.conversations() == []
    kept = await talk.keep()
    assert kept.title == "One question"
    await _say(talk, "Two")
    (listed,) = await yard.registry.conversations()
    found = await yard.registry.get_conversation(kept.id[:5])
    assert (listed.id, found.id) == (kept.id, kept.id)
    assert [turn["content"] for turn in found.messages] == [
        "One \x1b]0;evil\x07 question",
        "Hello, wörld",
        "Two",
        "Hello, wörld",
    ]
    assert [call.conversation_id for call in await yard.registry.calls()] == [kept.id, kept.id]
    again = Talk(yard.chat, yard.registry, "mine")
    again.resume(found)
    await _say(again, "Three")
    sent = server.last.body["messages"]
    assert sent[0] == {"role": "system", "content": "Be kind."}
    assert [message["content"] for message in sent[1::2]] == [found.messages[0]["content"], "Two", "Three"]
    assert len((await yard.registry.get_conversation(kept.id)).messages) == 6
    await yard.registry.delete_conversation(kept.id)
    with pytest.raises(NotFound):
        await yard.registry.get_conversation(kept.id)
    assert len(await yard.registry.calls()) == 3, "the figures stay"


async def test_a_kept_talk_is_exported_harmlessly(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server)
    server.script.reasoning, server.script.answer = ["Hm\x1b[2J"], ["# Not a heading\x1b]0;x\x07\n", "text"]
    talk = Talk(yard.chat, yard.registry, "mine", AskOptions(system="Sys"))
    await _say(talk, "Hi")
    kept = await talk.keep()
    text = as_markdown(kept)
    assert "\x1b" not in text
    for part in ("# Hi", "## System\n\nSys", "## You\n\nHi", "## mine\n\n> Hm", "text"):
        assert part in text
    document = json.loads(json.dumps(as_document(kept)))
    assert document["messages"] == kept.messages


async def test_another_user_sees_no_talk_of_mine(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server)
    talk = Talk(yard.chat, yard.registry, "mine")
    await _say(talk, "Hi")
    kept = await talk.keep()
    yard.registry.user_id = "eve"
    assert await yard.registry.conversations() == []
    with pytest.raises(NotFound):
        await yard.registry.get_conversation(kept.id)


async def test_closing_the_program_does_not_wait_for_the_endpoint(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server)
    server.script.answer = ["word "] * 100_000
    async with aclosing(Talk(yard.chat, yard.registry, "mine").ask("Hi")) as parts:
        await anext(parts)
    await asyncio.to_thread(wait_until, server.hung_up.is_set)


# Files


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
    ],
)
async def test_an_image_is_known_by_its_first_bytes(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "picture.txt").write_bytes(content)
    assert (await load_image(tmp_path / "picture.txt")).media_type == kind


@pytest.mark.parametrize("content", [b"", b"BM", b"%PDF-1.7", b"<svg/>", PNG + b"\0" * IMAGE_LIMIT])
async def test_what_no_model_takes_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(FileProblem) as error:
        await load_image(tmp_path / "x.png")
    assert error.value.remedy
    with pytest.raises(FileProblem):
        await load_image(tmp_path)
    with pytest.raises(FileProblem):
        await load_image(tmp_path / "nowhere.png")


async def test_tools_are_read_as_the_three_worlds_write_them(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    file = tmp_path / "tools.json"
    file.write_text(
        json.dumps(
            {
                "tools": [
                    {"type": "function", "function": {"name": "a", "parameters": schema}},
                    {"name": "b", "description": "B", "input_schema": schema},
                    {"name": "c", "inputSchema": schema},
                    {"name": "d"},
                ]
            }
        )
    )
    tools = await load_tools(file)
    assert [(tool.name, dict(tool.parameters) == schema) for tool in tools] == [
        ("a", True),
        ("b", True),
        ("c", True),
        ("d", False),
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": 3}]', '{"name": "a", "parameters": []}', "[" * 100_000])
async def test_what_is_no_tool_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tools.json").write_text(text)
    with pytest.raises(FileProblem):
        await load_tools(tmp_path / "tools.json")
