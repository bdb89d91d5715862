"""Ollama's own format, /api/chat and /api/tags, rather than its OpenAI-compatible one: it alone tells what is thought,
counts tokens in every answer, and names all models that are pulled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json import dumps
from typing import Any

from core.providers.dig import Json, dig, list_at, number_at, text_at
from core.providers.errors import Fault
from core.providers.refusals import by_status, error_text, tells_too_long
from core.providers.values import ChatPiece, ChatRequest, Finish, Message, Part, ToolCall, Usage
from core.providers.wire import Call, PlainWire, Said, StreamedError, as_function, without_suffix


class OllamaWire(PlainWire):
    """Streams are lines of JSON; without `"stream": false` every answer is one."""

    name = "ollama"
    ndjson = True
    default_base = "http://127.0.0.1:11434"
    models_path = "/api/tags"

    def base(self, endpoint: str) -> str:
        return without_suffix(endpoint, "/v1/chat/completions", "/api/chat", "/api/tags", "/api", "/v1")

    def names(self, data: Json) -> tuple[str, ...]:
        found = (text_at(one, "model") or text_at(one, "name") for one in list_at(data, "models"))
        return tuple(name for name in found if name)

    def chat(self, request: ChatRequest) -> Call:
        settings = {"num_predict": request.max_tokens, "temperature": request.temperature, "top_p": request.top_p}
        system = [{"role": "system", "content": request.system}] if request.system else []
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [*system, *(_message(one) for one in request.messages)],
            "options": {name: value for name, value in settings.items() if value is not None},
            "stream": request.stream,
        }
        if request.tools:
            body["tools"] = [as_function(tool) for tool in request.tools]
        return Call(path="/api/chat", body=body)

    def unanswerable(self, name: str) -> Call:
        """Without a model: one without messages would be loaded into memory."""
        return Call(path="/api/chat", body={"model": ""})

    def reader(self) -> OllamaReader:
        return OllamaReader()

    def said(self, status: int, data: Json) -> Said:
        text = error_text(data)
        fault = by_status(status)
        if status in {400, 404} and "model" in text and ("not found" in text or "try pulling" in text):
            fault = Fault.MODEL_NOT_FOUND
        elif tells_too_long(text):
            fault = Fault.CONTEXT_TOO_LONG
        return Said(fault=fault, text=text)


def _message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    return {**plain, "images": [image.data for image in message.images]} if message.images else plain


class OllamaReader:
    """Each line is a whole small answer; the last one has the figures."""

    def __init__(self) -> None:
        self.ended = False

    def event(self, data: Json) -> Iterator[Part]:
        if dig(data, "error") is not None:
            raise StreamedError(data)
        message = dig(data, "message", default={})
        if thought := text_at(message, "thinking"):
            yield ChatPiece(text=thought, reasoning=True)
        if text := text_at(message, "content"):
            yield ChatPiece(text=text)
        for call in list_at(message, "tool_calls"):
            arguments = dig(call, "function", "arguments", default={})
            yield ToolCall(name=text_at(call, "function", "name"), arguments=dumps(arguments))
        if dig(data, "done") is True:
            self.ended = True
            yield Finish(reason=text_at(data, "done_reason") or "stop")
            yield Usage(
                prompt_tokens=number_at(data, "prompt_eval_count"), completion_tokens=number_at(data, "eval_count")
            )

    def whole(self, data: Json) -> Iterator[Part]:
        yield from self.event(data)

    def finish(self) -> Iterable[Part]:
        return ()
