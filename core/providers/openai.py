"""The format of OpenAI's /v1/chat/completions: OpenAI itself, vLLM, llama.cpp, gateways, and most other endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from core.providers.dig import Json, dig, list_at, number_at, text_at
from core.providers.errors import Fault
from core.providers.refusals import by_status, error_text, tells_too_long
from core.providers.values import ChatPiece, ChatRequest, Finish, Message, Part, ToolCall, Usage
from core.providers.wire import Call, PlainWire, Said, StreamedError, as_function, without_suffix

_CHAT = "/chat/completions"
_UNKNOWN = re.compile(r"not (exist|found)|no such|unknown|invalid model")
_VERSION = re.compile(r"v\d+\w*")
_CODES = {
    "model_not_found": Fault.MODEL_NOT_FOUND,
    "insufficient_quota": Fault.NO_CREDIT,
    "billing_hard_limit_reached": Fault.NO_CREDIT,
    "context_length_exceeded": Fault.CONTEXT_TOO_LONG,
    "exceed_context_size_error": Fault.CONTEXT_TOO_LONG,
    "invalid_api_key": Fault.UNAUTHORISED,
    "rate_limit_exceeded": Fault.RATE_LIMITED,
    "content_filter": Fault.FILTERED,
}


class OpenAIWire(PlainWire):
    """`hosted` is OpenAI's own service, which renamed the limit and refuses settings that are the default anyway."""

    name = "openai"
    models_path = "/models"

    def __init__(self, *, hosted: bool = False) -> None:
        self._hosted = hosted
        self.default_base = "https://api.openai.com/v1" if hosted else ""

    def base(self, endpoint: str) -> str:
        if urlsplit(endpoint.strip()).path.rstrip("/").endswith(_CHAT):
            return without_suffix(endpoint, _CHAT)
        found = without_suffix(endpoint, "/models", "/completions")
        versioned = any(_VERSION.fullmatch(part) for part in urlsplit(found).path.split("/"))
        return found if versioned else f"{found}/v1"

    def names(self, data: Json) -> tuple[str, ...]:
        found = list_at(data, "data") or (data if isinstance(data, list) else [])
        return tuple(name for one in found if (name := text_at(one, "id")))

    def one_model_path(self, name: str) -> str:
        from urllib.parse import quote

        return f"/models/{quote(name, safe='')}" if self._hosted else ""

    def chat(self, request: ChatRequest) -> Call:
        limit = "max_completion_tokens" if self._hosted else "max_tokens"
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [*_system(request.system), *(_message(one) for one in request.messages)],
            limit: request.max_tokens,
        }
        for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
            if value is not None and not (self._hosted and value == 1.0):
                body[name] = value
        if request.tools:
            body["tools"] = [as_function(tool) for tool in request.tools]
        if request.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Call(path=_CHAT, body=body)

    def unanswerable(self, name: str) -> Call:
        return Call(path=_CHAT, body={"model": name})

    def reader(self) -> OpenAIReader:
        return OpenAIReader()

    def said(self, status: int, data: Json) -> Said:
        text = error_text(data)
        for field in ("code", "type"):
            if fault := _CODES.get(text_at(data, "error", field)):
                return Said(fault=fault, text=text)
        return Said(fault=_by_words(status, text), text=text)


def _by_words(status: int, text: str) -> Fault:
    lower = text.lower()
    if status in {400, 413, 422, 500} and tells_too_long(text):
        return Fault.CONTEXT_TOO_LONG
    if status in {400, 404, 422} and "model" in lower and _UNKNOWN.search(lower):
        return Fault.MODEL_NOT_FOUND
    if status == 503 and "loading" in lower:
        return Fault.LOADING
    return by_status(status)


def _system(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": text}] if text else []


def _message(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
        for image in message.images
    ]
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *pictures]}


class OpenAIReader:
    """Calls of tools come in fragments, by index; they are whole when the stream ends."""

    def __init__(self) -> None:
        self.ended = False
        self._calls: dict[int, tuple[str, str]] = {}

    def event(self, data: Json) -> Iterator[Part]:
        if dig(data, "error") is not None:
            code = dig(data, "error", "code")
            raise StreamedError(data, code if isinstance(code, int) else 500)
        for choice in list_at(data, "choices")[:1]:
            yield from self._delta(dig(choice, "delta", default={}))
            yield from _finish(choice)
        yield from _usage(data)

    def _delta(self, delta: Json) -> Iterator[Part]:
        yield from _texts(delta)
        for place, call in enumerate(list_at(delta, "tool_calls")):
            index = number_at(call, "index")
            key = place if index is None else index
            name, arguments = self._calls.get(key, ("", ""))
            self._calls[key] = (
                name + text_at(call, "function", "name"),
                arguments + text_at(call, "function", "arguments"),
            )

    def whole(self, data: Json) -> Iterator[Part]:
        if dig(data, "error") is not None:
            raise StreamedError(data)
        for choice in list_at(data, "choices")[:1]:
            yield from self._delta(dig(choice, "message", default={}))
            yield from _finish(choice)
        yield from _usage(data)

    def finish(self) -> Iterable[Part]:
        calls, self._calls = self._calls, {}
        return [ToolCall(name=name, arguments=arguments) for _, (name, arguments) in sorted(calls.items()) if name]


def _texts(delta: Json) -> Iterator[Part]:
    if thought := text_at(delta, "reasoning_content") or text_at(delta, "reasoning"):
        yield ChatPiece(text=thought, reasoning=True)
    if text := text_at(delta, "content") or text_at(delta, "refusal"):
        yield ChatPiece(text=text)


def _finish(choice: Json) -> Iterator[Part]:
    if reason := text_at(choice, "finish_reason"):
        yield Finish(reason={"content_filter": "filtered", "function_call": "tool_calls"}.get(reason, reason))


def _usage(data: Json) -> Iterator[Part]:
    if isinstance(dig(data, "usage"), dict):
        yield Usage(
            prompt_tokens=number_at(data, "usage", "prompt_tokens"),
            completion_tokens=number_at(data, "usage", "completion_tokens"),
        )
