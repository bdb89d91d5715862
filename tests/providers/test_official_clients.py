"""The providers' own Python clients talk to the same fake server: they get what ours gets, and send what ours sends.

So neither the fake nor our client can drift from the formats unnoticed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from core.providers import network
from core.providers.caller import Caller
from core.providers.errors import Fault, ProviderError
from core.providers.openai import OpenAIWire
from core.providers.values import ChatRequest, Image, Message, ToolSpec
from tests.providers.asking import Answer, ask, caller, request
from tests.providers.server import KEY, FakeProvider

HOSTED = ("openai", "anthropic", "google")
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n not really").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = ToolSpec(name="get_weather", description="The weather in a city.", parameters=SCHEMA)
TALK = (
    Message(role="user", text="Who are you?"),
    Message(role="assistant", text="A model."),
    Message(role="user", text="And what is this?", images=(Image(media_type="image/png", data=PIXEL),)),
)
FULL = request(messages=TALK, system="Be brief.", temperature=0.25, top_p=0.5, tools=(TOOL,))


def _openai(server: FakeProvider, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def _anthropic(server: FakeProvider, key: str = KEY) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=server.url, api_key=key, max_retries=0)


def _google(server: FakeProvider, key: str = KEY) -> genai.Client:
    return genai.Client(
        api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=server.url, api_version="v1beta")
    )


# Streaming, as each client does it


async def _openai_answer(server: FakeProvider) -> Answer:
    answer = Answer()
    stream = await _openai(server).chat.completions.create(
        model="tiny-1",
        max_completion_tokens=64,
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    calls: dict[int, list[str]] = {}
    async for chunk in stream:
        if chunk.usage:
            answer.prompt_tokens, answer.completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        for choice in chunk.choices:
            answer.text += choice.delta.content or ""
            answer.reasoning += getattr(choice.delta, "reasoning_content", "") or ""
            answer.finish = choice.finish_reason or answer.finish
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                known = calls.setdefault(call.index, ["", ""])
                known[0] += call.function.name or ""
                known[1] += call.function.arguments or ""
    answer.calls = [(name, arguments) for name, arguments in calls.values()]
    return answer


async def _anthropic_answer(server: FakeProvider) -> Answer:
    answer = Answer()
    async with _anthropic(server).messages.stream(
        model="tiny-1", max_tokens=64, messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        message: Any = await stream.get_final_message()
    for block in message.content:
        match block.type:
            case "text":
                answer.text += block.text
            case "thinking":
                answer.reasoning += block.thinking
            case "tool_use":
                answer.calls.append((block.name, json.dumps(block.input)))
    answer.finish = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}[message.stop_reason]
    answer.prompt_tokens, answer.completion_tokens = message.usage.input_tokens, message.usage.output_tokens
    return answer


async def _google_answer(server: FakeProvider) -> Answer:
    answer = Answer()
    client = _google(server)
    chunks: AsyncIterator[Any] = await client.aio.models.generate_content_stream(model="tiny-1", contents="Hi")
    async for chunk in chunks:
        for part in chunk.candidates[0].content.parts:
            if part.function_call:
                answer.calls.append((part.function_call.name, json.dumps(part.function_call.args)))
            elif part.thought:
                answer.reasoning += part.text
            else:
                answer.text += part.text
        if chunk.candidates[0].finish_reason:
            answer.finish = chunk.candidates[0].finish_reason.name.lower()
        answer.prompt_tokens = chunk.usage_metadata.prompt_token_count
        answer.completion_tokens = chunk.usage_metadata.candidates_token_count
    return answer


ANSWERS: dict[str, Callable[[FakeProvider], Any]] = {
    "openai": _openai_answer,
    "anthropic": _anthropic_answer,
    "google": _google_answer,
}


@pytest.mark.parametrize("provider", HOSTED)
@pytest.mark.parametrize("tool", [None, ("get_weather", {"city": "Paris"})], ids=["words", "tool"])
async def test_their_client_gets_the_same_answer_as_ours(
    server: FakeProvider, provider: str, tool: tuple[str, dict[str, str]] | None
) -> None:
    server.script.reasoning, server.script.tool = ["Hm. "], tool
    theirs = await ANSWERS[provider](server)
    ours = await ask(server, provider)
    ours.pieces = theirs.pieces = 0
    ours.calls = [(name, json.dumps(json.loads(arguments))) for name, arguments in ours.calls]
    if provider == "google":
        theirs.finish = {"stop": "stop", "max_tokens": "length"}[theirs.finish]
    assert ours == theirs
    assert ours.text == "Hello, wörld"
    assert bool(ours.calls) == bool(tool)


# Lists and errors


async def _their_list(server: FakeProvider, provider: str, key: str = KEY) -> list[str]:
    match provider:
        case "openai":
            return [one.id async for one in _openai(server, key).models.list()]
        case "anthropic":
            return [one.id async for one in _anthropic(server, key).models.list()]
    found = await _google(server, key).aio.models.list()
    return [str(one.name).removeprefix("models/") async for one in found]


@pytest.mark.parametrize("provider", HOSTED)
async def test_both_see_the_same_models(server: FakeProvider, provider: str) -> None:
    theirs = await _their_list(server, provider)
    async with caller(server, provider) as one:
        assert list(await one.models()) == theirs == ["tiny-1", "tiny-2"]


_REFUSED: dict[str, tuple[type[Exception], ...]] = {
    "openai": (openai.AuthenticationError,),
    "anthropic": (anthropic.AuthenticationError,),
    "google": (genai.errors.ClientError,),
}


@pytest.mark.parametrize("provider", HOSTED)
async def test_both_are_refused_with_a_wrong_key(server: FakeProvider, provider: str) -> None:
    with pytest.raises(_REFUSED[provider]) as theirs:
        await _their_list(server, provider, key="sk-wrong")
    assert "key" in str(theirs.value).lower()
    async with caller(server, provider, key="sk-wrong") as one:
        with pytest.raises(ProviderError) as ours:
            await one.models()
    assert ours.value.fault is Fault.UNAUTHORISED


@pytest.mark.parametrize("provider", HOSTED)
async def test_an_alias_that_no_list_holds_is_found_by_both(server: FakeProvider, provider: str) -> None:
    server.script.aliases = ["tiny-latest"]
    match provider:
        case "openai":
            assert (await _openai(server).models.retrieve("tiny-latest")).id == "tiny-latest"
        case "anthropic":
            assert (await _anthropic(server).models.retrieve("tiny-latest")).id == "tiny-latest"
        case "google":
            found = await _google(server).aio.models.get(model="tiny-latest")
            assert found.name == "models/tiny-latest"
    theirs = server.last
    async with caller(server, provider) as one:
        assert await one.knows("tiny-latest")
        assert (server.last.path, server.last.method) == (theirs.path.partition("?")[0], theirs.method)
        assert not await one.knows("nobody")


# What is sent


async def _their_question(server: FakeProvider, provider: str) -> None:
    picture_url = f"data:image/png;base64,{PIXEL}"
    first: list[Any] = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A model."}]
    match provider:
        case "openai":
            last = [
                {"type": "text", "text": "And what is this?"},
                {"type": "image_url", "image_url": {"url": picture_url}},
            ]
            messages: list[Any] = [
                {"role": "system", "content": "Be brief."},
                *first,
                {"role": "user", "content": last},
            ]
            function: Any = {"name": TOOL.name, "description": TOOL.description, "parameters": SCHEMA}
            await _openai(server).chat.completions.create(
                model="tiny-1",
                max_completion_tokens=64,
                messages=messages,
                temperature=0.25,
                top_p=0.5,
                stream=True,
                stream_options={"include_usage": True},
                tools=[{"type": "function", "function": function}],
            )
        case "anthropic":
            source: Any = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content: list[Any] = [{"type": "image", "source": source}, {"type": "text", "text": "And what is this?"}]
            tool: Any = {"name": TOOL.name, "description": TOOL.description, "input_schema": SCHEMA}
            await _anthropic(server).messages.create(
                model="tiny-1",
                max_tokens=64,
                system="Be brief.",
                messages=[*first, {"role": "user", "content": content}],
                stream=True,
                tools=[tool],
            )
        case "google":
            await _their_google_question(server)


async def _their_google_question(server: FakeProvider) -> None:
    contents = [
        types.Content(role="user", parts=[types.Part(text="Who are you?")]),
        types.Content(role="model", parts=[types.Part(text="A model.")]),
        types.Content(
            role="user",
            parts=[
                types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png"),
                types.Part(text="And what is this?"),
            ],
        ),
    ]
    function = types.FunctionDeclaration(name=TOOL.name, description=TOOL.description, parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.25,
        top_p=0.5,
        max_output_tokens=64,
        tools=[types.Tool(function_declarations=[function])],
    )
    client = _google(server)
    async for _ in await client.aio.models.generate_content_stream(model="tiny-1", contents=contents, config=config):
        pass


@pytest.mark.parametrize("provider", HOSTED)
async def test_ours_sends_what_theirs_sends(server: FakeProvider, provider: str) -> None:
    await _their_question(server, provider)
    theirs = server.last
    match provider:
        case "openai":
            await _ask_as_hosted(server, FULL)
        case "anthropic":  # its newest version, which their client speaks, takes no sampling settings
            await ask(server, provider, replace(FULL, temperature=1.0, top_p=1.0))
            assert server.last.headers["anthropic-version"] == theirs.headers["anthropic-version"]
        case _:
            await ask(server, provider, FULL)
            assert server.last.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"]
    assert _plain(server.last.body) == _plain(theirs.body)
    assert server.last.path == theirs.path
    assert KEY not in server.last.path


def _plain(data: Any) -> Any:
    """Google takes each name in two spellings; their client mixes them."""
    if isinstance(data, dict):
        return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): _plain(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_plain(one) for one in data]
    return data


async def _ask_as_hosted(server: FakeProvider, asked: ChatRequest) -> None:
    """OpenAI's own service renamed the limit; elsewhere the old name is the one that is understood."""
    wire = OpenAIWire(hosted=True)
    async with await network.client(server.url, wire.headers(KEY), silence_s=5) as client:
        one = Caller(client, wire, f"{server.url}/v1", silence_s=5)
        assert [part async for part in one.chat(asked)]


async def test_sampling_settings_that_a_record_asks_for_reach_anthropic(server: FakeProvider) -> None:
    answer = await ask(server, "anthropic", replace(FULL, top_p=1.0))
    assert answer.text == "Hello, wörld"
    assert server.last.headers["anthropic-version"] == "2023-06-01"
    assert (server.last.body["temperature"], "top_p" in server.last.body) == (0.25, False)


async def test_default_settings_are_not_sent_to_openai_whose_newer_models_refuse_them(server: FakeProvider) -> None:
    await _ask_as_hosted(server, request(temperature=1.0, top_p=1.0))
    assert not {"temperature", "top_p", "max_tokens"} & set(server.last.body)
    await ask(server, "vllm", request(temperature=1.0, top_p=1.0))
    sent = server.last.body
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (1.0, 1.0, 64)
