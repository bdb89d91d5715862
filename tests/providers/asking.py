"""Asks the fake provider with our own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from core.providers import network
from core.providers.caller import Caller
from core.providers.places import wire_of
from core.providers.values import ChatPiece, ChatRequest, Finish, Message, ToolCall, Usage
from tests.providers.server import KEY, FakeProvider

PROVIDERS = ("openai", "vllm", "anthropic", "google", "ollama")


@dataclass
class Answer:
    """A whole answer."""

    text: str = ""
    reasoning: str = ""
    pieces: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def request(text: str = "Hi", **more: Any) -> ChatRequest:
    values = {"model": "tiny-1", "messages": (Message(role="user", text=text),), "max_tokens": 64, **more}
    return ChatRequest(**values)


@asynccontextmanager
async def caller(
    server: FakeProvider | str, provider: str, *, key: str = KEY, silence_s: float = 5.0
) -> AsyncIterator[Caller]:
    wire = wire_of(provider)
    base = wire.base(server if isinstance(server, str) else server.url)
    async with await network.client(base, wire.headers(key), silence_s=silence_s) as client:
        yield Caller(client, wire, base, silence_s=silence_s)


async def ask(server: FakeProvider | str, provider: str, asked: ChatRequest | None = None, **more: Any) -> Answer:
    answer = Answer()
    async with caller(server, provider, **more) as one:
        async for part in one.chat(asked or request()):
            take(answer, part)
    return answer


def take(answer: Answer, part: object) -> None:
    match part:
        case ChatPiece(text=text, reasoning=True):
            answer.reasoning += text
        case ChatPiece(text=text):
            answer.text += text
            answer.pieces += 1
        case ToolCall(name=name, arguments=arguments):
            answer.calls.append((name, arguments))
        case Finish(reason=reason):
            answer.finish = reason
        case Usage(prompt_tokens=asked, completion_tokens=written):
            answer.prompt_tokens = answer.prompt_tokens if asked is None else asked
            answer.completion_tokens = answer.completion_tokens if written is None else written
