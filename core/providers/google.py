"""The format of Google's Gemini API (v1beta, generateContent): parts of content, the key in x-goog-api-key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import dumps
from typing import Any
from urllib.parse import quote, urlencode

from core.providers.dig import Json, dig, list_at, number_at, text_at
from core.providers.errors import Fault
from core.providers.refusals import by_status, error_text, tells_too_long
from core.providers.values import ChatPiece, ChatRequest, Finish, Message, Part, ToolCall, ToolSpec, Usage
from core.providers.wire import Call, Said, StreamedError, without_suffix

_STATES = {
    "UNAUTHENTICATED": Fault.UNAUTHORISED,
    "PERMISSION_DENIED": Fault.FORBIDDEN,
    "FAILED_PRECONDITION": Fault.FORBIDDEN,
    "NOT_FOUND": Fault.MODEL_NOT_FOUND,
    "RESOURCE_EXHAUSTED": Fault.RATE_LIMITED,
    "UNAVAILABLE": Fault.OVERLOADED,
    "DEADLINE_EXCEEDED": Fault.SILENT,
    "INVALID_ARGUMENT": Fault.BAD_REQUEST,
    "INTERNAL": Fault.SERVER_ERROR,
}
_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"}
_WITHHELD = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE"})
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


class GoogleWire:
    """A wrong key is a "bad request" there, the details say what it is; v1beta, since v1 lacks the `…-latest` names."""

    name = "google"
    ndjson = False
    default_base = "https://generativelanguage.googleapis.com"
    models_path = "/v1beta/models?pageSize=1000"

    def base(self, endpoint: str) -> str:
        return without_suffix(endpoint, "/v1beta/models", "/v1beta", "/v1")

    def headers(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key} if key else {}

    def names(self, data: Json) -> tuple[str, ...]:
        found = (text_at(one, "name").removeprefix("models/") for one in list_at(data, "models"))
        return tuple(name for name in found if name)

    def next_page(self, data: Json) -> str:
        token = text_at(data, "nextPageToken")
        return urlencode({"pageSize": 1000, "pageToken": token}) if token else ""

    def one_model_path(self, name: str) -> str:
        return f"/v1beta/{_resource(name)}"

    def chat(self, request: ChatRequest) -> Call:
        body: dict[str, Any] = {"contents": [_content(one) for one in request.messages]}
        if request.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}], "role": "user"}
        settings = {"temperature": request.temperature, "topP": request.top_p, "maxOutputTokens": request.max_tokens}
        body["generationConfig"] = {name: value for name, value in settings.items() if value is not None}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        action = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return Call(path=f"/v1beta/{_resource(request.model)}:{action}", body=body)

    def unanswerable(self, name: str) -> Call:
        return Call(path=f"/v1beta/{_resource(name)}:generateContent", body={})

    def reader(self) -> GoogleReader:
        return GoogleReader()

    def said(self, status: int, data: Json) -> Said:
        text = error_text(data)
        error = dig(data, "error", default=dig(data, 0, "error", default={}))
        reasons = {text_at(detail, "reason") for detail in list_at(error, "details")}
        if reasons & _KEY_REASONS:
            return Said(fault=Fault.UNAUTHORISED, text=text)
        fault = _STATES.get(text_at(error, "status"), by_status(status))
        if fault is Fault.BAD_REQUEST and tells_too_long(text):
            fault = Fault.CONTEXT_TOO_LONG
        return Said(fault=fault, text=text)


def _resource(name: str) -> str:
    """`gemini-2.5-pro` → models/gemini-2.5-pro; tuned models bring their own collection."""
    kind, _, rest = name.rpartition("/")
    return f"{quote(kind or 'models', safe='/')}/{quote(rest, safe='')}"


def _content(message: Message) -> dict[str, Any]:
    pictures = [{"inlineData": {"mimeType": image.media_type, "data": image.data}} for image in message.images]
    role = "model" if message.role == "assistant" else message.role
    return {"parts": [*pictures, {"text": message.text}], "role": role}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": dict(tool.parameters)}


class GoogleReader:
    """Each event is a whole small answer; a question can be refused without any candidate."""

    def __init__(self) -> None:
        self.ended = False

    def event(self, data: Json) -> Iterator[Part]:
        if dig(data, "error") is not None:
            raise StreamedError(data, number_at(data, "error", "code") or 500)
        for part in list_at(data, "candidates", 0, "content", "parts"):
            yield from _part(part)
        if reason := text_at(data, "candidates", 0, "finishReason"):
            yield Finish(reason="filtered" if reason in _WITHHELD else _REASONS.get(reason, reason.lower()))
        elif text_at(data, "promptFeedback", "blockReason"):
            yield Finish(reason="filtered")
        yield from _usage(data)

    def whole(self, data: Json) -> Iterator[Part]:
        yield from self.event(data)

    def finish(self) -> Iterable[Part]:
        return ()


def _part(part: Json) -> Iterator[Part]:
    if isinstance(call := dig(part, "functionCall"), dict):
        yield ToolCall(name=text_at(call, "name"), arguments=dumps(dig(call, "args", default={})))
    if text := text_at(part, "text"):
        yield ChatPiece(text=text, reasoning=dig(part, "thought") is True)


def _usage(data: Json) -> Iterator[Part]:
    """What was thought is part of what was written."""
    if not isinstance(dig(data, "usageMetadata"), dict):
        return
    written = number_at(data, "usageMetadata", "candidatesTokenCount")
    thought = number_at(data, "usageMetadata", "thoughtsTokenCount")
    total = None if written is None and thought is None else (written or 0) + (thought or 0)
    yield Usage(prompt_tokens=number_at(data, "usageMetadata", "promptTokenCount"), completion_tokens=total)
