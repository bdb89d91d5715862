"""The format of Anthropic's /v1/messages: named server-sent events, blocks of content, the key in x-api-key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from core.providers.dig import Json, dig, list_at, number_at, text_at
from core.providers.errors import Fault
from core.providers.refusals import by_status, error_text, tells_too_long
from core.providers.values import ChatPiece, ChatRequest, Finish, Message, Part, ToolCall, ToolSpec, Usage
from core.providers.wire import Call, Said, StreamedError, without_suffix

VERSION = "2026-10-21"  # refuses temperature and top-p, even at their defaults
SAMPLING_VERSION = "2023-06-01"  # the last one that takes them
_TYPES = {
    "authentication_error": Fault.UNAUTHORISED,
    "permission_error": Fault.FORBIDDEN,
    "billing_error": Fault.NO_CREDIT,
    "not_found_error": Fault.NOT_FOUND,
    "rate_limit_error": Fault.RATE_LIMITED,
    "overloaded_error": Fault.OVERLOADED,
    "request_too_large": Fault.CONTEXT_TOO_LONG,
    "timeout_error": Fault.SILENT,
    "api_error": Fault.SERVER_ERROR,
    "invalid_request_error": Fault.BAD_REQUEST,
}
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "filtered",
}


class AnthropicWire:
    """Temperature and top-p are left out where they are the default; others are asked for in the older version."""

    name = "anthropic"
    ndjson = False
    default_base = "https://api.anthropic.com"
    models_path = "/v1/models?limit=1000"

    def base(self, endpoint: str) -> str:
        return without_suffix(endpoint, "/v1/messages", "/v1/models", "/v1")

    def headers(self, key: str) -> dict[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def names(self, data: Json) -> tuple[str, ...]:
        return tuple(name for one in list_at(data, "data") if (name := text_at(one, "id")))

    def next_page(self, data: Json) -> str:
        if dig(data, "has_more") is not True or not (last := text_at(data, "last_id")):
            return ""
        return urlencode({"limit": 1000, "after_id": last})

    def one_model_path(self, name: str) -> str:
        return f"/v1/models/{quote(name, safe='')}"

    def chat(self, request: ChatRequest) -> Call:
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": [_message(one) for one in request.messages],
        }
        if request.system:
            body["system"] = request.system
        settings = {"temperature": request.temperature, "top_p": request.top_p}
        sampling = {name: value for name, value in settings.items() if value is not None and value != 1.0}
        body |= sampling
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if request.stream:
            body["stream"] = True
        headers = {"anthropic-version": SAMPLING_VERSION} if sampling else {}
        return Call(path="/v1/messages", body=body, headers=headers)

    def unanswerable(self, name: str) -> Call:
        return Call(path="/v1/messages", body={"model": name})

    def reader(self) -> AnthropicReader:
        return AnthropicReader()

    def said(self, status: int, data: Json) -> Said:
        text = error_text(data)
        fault = _TYPES.get(text_at(data, "error", "type"), by_status(status))
        if fault is Fault.BAD_REQUEST and tells_too_long(text):
            fault = Fault.CONTEXT_TOO_LONG
        elif fault is Fault.BAD_REQUEST and "credit balance" in text:
            fault = Fault.NO_CREDIT
        elif fault is Fault.NOT_FOUND and text.startswith("model:"):
            fault = Fault.MODEL_NOT_FOUND
        return Said(fault=fault, text=text)


def _message(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
        for image in message.images
    ]
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}


class AnthropicReader:
    """Blocks are opened, grow and are closed; a tool's arguments are whole when its block is closed."""

    def __init__(self) -> None:
        self.ended = False
        self._calls: dict[int, tuple[str, str]] = {}

    def event(self, data: Json) -> Iterable[Part]:
        match text_at(data, "type"):
            case "error":
                raise StreamedError(data, 529 if text_at(data, "error", "type") == "overloaded_error" else 500)
            case "message_start":
                return _usage(dig(data, "message"))
            case "content_block_start":
                return self._opened(data)
            case "content_block_delta":
                return self._grown(data)
            case "content_block_stop":
                return self._closed(number_at(data, "index") or 0)
            case "message_delta":
                return [*_finish(dig(data, "delta")), *_usage(data)]
            case "message_stop":
                self.ended = True
        return ()

    def _opened(self, data: Json) -> Iterator[Part]:
        block = dig(data, "content_block", default={})
        if text_at(block, "type") == "tool_use":
            self._calls[number_at(data, "index") or 0] = (text_at(block, "name"), "")
        yield from _texts(block)

    def _grown(self, data: Json) -> Iterator[Part]:
        delta, index = dig(data, "delta", default={}), number_at(data, "index") or 0
        if index in self._calls:
            name, arguments = self._calls[index]
            self._calls[index] = (name, arguments + text_at(delta, "partial_json"))
        yield from _texts(delta)

    def _closed(self, index: int) -> Iterator[Part]:
        if index in self._calls:
            name, arguments = self._calls.pop(index)
            yield ToolCall(name=name, arguments=arguments or "{}")

    def whole(self, data: Json) -> Iterator[Part]:
        from json import dumps

        for block in list_at(data, "content"):
            if text_at(block, "type") == "tool_use":
                yield ToolCall(name=text_at(block, "name"), arguments=dumps(dig(block, "input", default={})))
            yield from _texts(block)
        yield from _finish(data)
        yield from _usage(data)

    def finish(self) -> Iterable[Part]:
        return [part for index in sorted(self._calls) for part in self._closed(index)]


def _texts(block: Json) -> Iterator[Part]:
    if thought := text_at(block, "thinking"):
        yield ChatPiece(text=thought, reasoning=True)
    if text := text_at(block, "text"):
        yield ChatPiece(text=text)


def _finish(data: Json) -> Iterator[Part]:
    if reason := text_at(data, "stop_reason"):
        yield Finish(reason=_REASONS.get(reason, reason))


def _usage(data: Json) -> Iterator[Part]:
    """Tokens read from or written to the cache are part of the question."""
    if not isinstance(dig(data, "usage"), dict):
        return
    asked = number_at(data, "usage", "input_tokens")
    cached = (number_at(data, "usage", f"cache_{what}_input_tokens") for what in ("creation", "read"))
    yield Usage(
        prompt_tokens=None if asked is None else asked + sum(count or 0 for count in cached),
        completion_tokens=number_at(data, "usage", "output_tokens"),
    )
