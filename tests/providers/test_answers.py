"""Our client against the fake provider: answers, in every format."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from core.providers.errors import Fault, ProviderError
from core.providers.values import ChatPiece
from tests.providers.asking import PROVIDERS, ask, caller, request
from tests.providers.formats import COUNTS
from tests.providers.server import KEY, FakeProvider, wait_until

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_with_thoughts_and_figures(server: FakeProvider, provider: str, stream: bool) -> None:
    server.script.reasoning = ["Let me ", "think"]
    answer = await ask(server, provider, request(stream=stream))
    assert (answer.text, answer.reasoning, answer.finish) == ("Hello, wörld", "Let me think", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == COUNTS
    assert answer.pieces == (3 if stream else answer.pieces)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_tool_call_is_told_and_nothing_else(server: FakeProvider, provider: str, stream: bool) -> None:
    server.script.answer, server.script.tool = ["I look."], ("get_weather", {"city": "Paris"})
    answer = await ask(server, provider, request(stream=stream))
    ((name, arguments),) = answer.calls
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})
    assert answer.text == "I look."


async def test_an_answer_cut_at_the_limit_says_so(server: FakeProvider, provider: str) -> None:
    server.script.finish = "length"
    assert (await ask(server, provider)).finish == "length"


async def test_pieces_come_as_they_are_written(server: FakeProvider, provider: str) -> None:
    server.script.answer, server.script.hold = ["first", "second"], "first"
    async with caller(server, provider) as one, aclosing(one.chat(request())) as stream:
        pieces = (part async for part in stream if isinstance(part, ChatPiece))
        async with asyncio.timeout(5):
            assert await anext(pieces) == ChatPiece(text="first")
        server.go_on.set()
        assert await anext(pieces) == ChatPiece(text="second")


async def test_closing_the_answer_ends_it_at_the_endpoint(server: FakeProvider, provider: str) -> None:
    server.script.answer = ["word "] * 100_000
    async with caller(server, provider) as one:
        stream = one.chat(request())
        await anext(stream)
        await stream.aclose()
    await asyncio.to_thread(wait_until, server.hung_up.is_set)


async def test_the_models_are_listed(server: FakeProvider, provider: str) -> None:
    async with caller(server, provider) as one:
        assert await one.models() == ("tiny-1", "tiny-2")
    assert KEY not in server.last.path


async def test_wrong_key_and_unknown_model_are_different(server: FakeProvider, provider: str) -> None:
    with pytest.raises(ProviderError) as wrong:
        await ask(server, provider, key="sk-wrong")
    with pytest.raises(ProviderError) as unknown:
        await ask(server, provider, request(model="nobody"))
    assert (wrong.value.fault, unknown.value.fault) == (Fault.UNAUTHORISED, Fault.MODEL_NOT_FOUND)
    assert wrong.value.remedy
    assert unknown.value.remedy


async def test_an_error_in_the_stream_ends_it(server: FakeProvider, provider: str) -> None:
    server.script.error_after = 0
    with pytest.raises(ProviderError) as error:
        await ask(server, provider)
    assert error.value.fault in {Fault.SERVER_ERROR, Fault.OVERLOADED}


async def test_a_stream_that_breaks_off_is_no_answer(server: FakeProvider, provider: str) -> None:
    server.script.stop_after = 1 if provider in {"google", "ollama"} else 2
    with pytest.raises(ProviderError) as error:
        await ask(server, provider)
    assert error.value.fault is Fault.BROKEN_OFF
