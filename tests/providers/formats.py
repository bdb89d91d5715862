"""How each provider writes lists, answers, events and errors, after their documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.providers.server import Script

Reply = tuple[int, Any, dict[str, str]]
COUNTS = (11, 7)  # tokens asked and written


class Format(Protocol):
    stream_type: str

    def key(self, headers: Any) -> str: ...
    def wrong_key(self) -> Reply: ...
    def bad_request(self) -> Reply: ...
    def unknown(self, model: str) -> Reply: ...
    def listed(self, models: list[str]) -> Any: ...
    def entry(self, model: str) -> Any: ...
    def one(self, path: str) -> str: ...
    def model(self, path: str, body: Any) -> str: ...
    def is_question(self, body: Any, headers: Any) -> bool: ...
    def streams(self, path: str, body: Any) -> bool: ...
    def whole(self, model: str, script: Script) -> Any: ...
    def events(self, model: str, script: Script) -> Iterator[bytes]: ...
    def streamed_error(self) -> bytes: ...


def of(path: str, headers: Mapping[str, str]) -> Format | None:
    """By the path; OpenAI and Anthropic share one for their lists."""
    if path.startswith("/v1beta/"):
        return Google()
    if path.startswith("/api/"):
        return Ollama()
    if path.startswith("/v1/messages") or (path.startswith("/v1/models") and "anthropic-version" in headers):
        return Anthropic()
    return OpenAI() if path.startswith(("/v1/models", "/v1/chat/completions")) else None


def _sse(data: Any, event: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


class OpenAI:
    stream_type = "text/event-stream"

    def key(self, headers: Any) -> str:
        return str(headers.get("authorization", "")).removeprefix("Bearer ")

    def _error(self, status: int, message: str, kind: str, code: str | None) -> Reply:
        return (status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, {})

    def wrong_key(self) -> Reply:
        return self._error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")

    def bad_request(self) -> Reply:
        return self._error(400, "Missing required parameter: 'messages'.", "invalid_request_error", "missing")

    def unknown(self, model: str) -> Reply:
        said = f"The model `{model}` does not exist or you do not have access to it."
        return self._error(404, said, "invalid_request_error", "model_not_found")

    def entry(self, model: str) -> Any:
        return {"id": model, "object": "model", "created": 1, "owned_by": "them"}

    def listed(self, models: list[str]) -> Any:
        return {"object": "list", "data": [self.entry(model) for model in models]}

    def one(self, path: str) -> str:
        return path.removeprefix("/v1/models").removeprefix("/")

    def model(self, path: str, body: Any) -> str:
        return str(body["model"])

    def is_question(self, body: Any, headers: Any) -> bool:
        return bool(body.get("messages"))

    def streams(self, path: str, body: Any) -> bool:
        return bool(body.get("stream"))

    def _usage(self) -> Any:
        return {"prompt_tokens": COUNTS[0], "completion_tokens": COUNTS[1], "total_tokens": sum(COUNTS)}

    def _call(self, script: Script) -> list[Any]:
        assert script.tool is not None
        name, arguments = script.tool
        function = {"name": name, "arguments": json.dumps(arguments)}
        return [{"id": "call_1", "type": "function", "function": function}]

    def whole(self, model: str, script: Script) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(script.answer) or None}
        if script.reasoning:
            message["reasoning_content"] = "".join(script.reasoning)
        if script.tool:
            message["tool_calls"] = self._call(script)
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if script.tool else script.finish}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": self._usage(),
        }

    def events(self, model: str, script: Script) -> Iterator[bytes]:
        def event(delta: Any, finish: str | None = None) -> bytes:
            choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
            return _sse({**base, "choices": choices})

        base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model}
        yield event({"role": "assistant", "content": ""})
        for piece in script.reasoning:
            yield event({"reasoning_content": piece})
        for piece in script.answer:
            yield event({"content": piece})
        if script.tool:
            (call,) = self._call(script)
            arguments = call["function"]["arguments"]
            yield event({"tool_calls": [{**call, "index": 0, "function": {**call["function"], "arguments": ""}}]})
            for part in (arguments[:3], arguments[3:]):
                yield event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        yield event({}, "tool_calls" if script.tool else script.finish)
        yield _sse({**base, "choices": [], "usage": self._usage()})
        yield _sse("[DONE]")

    def streamed_error(self) -> bytes:
        return _sse({"error": {"message": "The engine died.", "type": "server_error", "code": 500}})


class Anthropic:
    stream_type = "text/event-stream; charset=utf-8"

    def key(self, headers: Any) -> str:
        """Both ways are taken: the documentation's examples use the first, the client libraries the second."""
        return str(headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer "))

    def _error(self, status: int, kind: str, message: str) -> Reply:
        return (status, {"type": "error", "error": {"type": kind, "message": message}}, {})

    def wrong_key(self) -> Reply:
        return self._error(401, "authentication_error", "invalid x-api-key")

    def bad_request(self) -> Reply:
        return self._error(400, "invalid_request_error", "messages: Field required")

    def unknown(self, model: str) -> Reply:
        return self._error(404, "not_found_error", f"model: {model}")

    def entry(self, model: str) -> Any:
        return {
            "type": "model",
            "id": model,
            "display_name": model,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }

    def listed(self, models: list[str]) -> Any:
        data = [self.entry(model) for model in models]
        return {"data": data, "has_more": False, "first_id": models[0], "last_id": models[-1]}

    def one(self, path: str) -> str:
        return path.removeprefix("/v1/models").removeprefix("/")

    def model(self, path: str, body: Any) -> str:
        return str(body["model"])

    def is_question(self, body: Any, headers: Any) -> bool:
        """Sampling settings are refused from this version on, even at their defaults."""
        sampled = {"temperature", "top_p", "top_k"} & set(body)
        fine = not sampled or headers.get("anthropic-version") == "2023-06-01"
        return bool(body.get("messages") and body.get("max_tokens") and fine)

    def streams(self, path: str, body: Any) -> bool:
        return bool(body.get("stream"))

    def _reason(self, script: Script) -> str:
        return "tool_use" if script.tool else {"stop": "end_turn", "length": "max_tokens"}[script.finish]

    def _blocks(self, script: Script) -> Iterator[tuple[Any, list[Any], Any]]:
        """A block's beginning, its deltas, and the whole of it."""
        if script.reasoning:
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in script.reasoning]
            whole = {"type": "thinking", "thinking": "".join(script.reasoning), "signature": "s"}
            yield {"type": "thinking", "thinking": "", "signature": ""}, deltas, whole
        if script.answer:
            deltas = [{"type": "text_delta", "text": piece} for piece in script.answer]
            yield {"type": "text", "text": ""}, deltas, {"type": "text", "text": "".join(script.answer)}
        if script.tool:
            name, arguments = script.tool
            text = json.dumps(arguments)
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", text[:4], text[4:])]
            block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
            yield block, deltas, {**block, "input": arguments}

    def whole(self, model: str, script: Script) -> Any:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [whole for _, _, whole in self._blocks(script)],
            "stop_reason": self._reason(script),
            "stop_sequence": None,
            "usage": {"input_tokens": COUNTS[0], "output_tokens": COUNTS[1]},
        }

    def events(self, model: str, script: Script) -> Iterator[bytes]:
        def event(kind: str, **more: Any) -> bytes:
            return _sse({"type": kind, **more}, kind)

        message = {**self.whole(model, script), "content": [], "stop_reason": None}
        message["usage"] = {"input_tokens": COUNTS[0], "output_tokens": 1}
        yield event("message_start", message=message)
        yield event("ping")
        for index, (begin, deltas, _) in enumerate(self._blocks(script)):
            yield event("content_block_start", index=index, content_block=begin)
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        delta = {"stop_reason": self._reason(script), "stop_sequence": None}
        yield event("message_delta", delta=delta, usage={"output_tokens": COUNTS[1]})
        yield event("message_stop")

    def streamed_error(self) -> bytes:
        return _sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")


class Google:
    stream_type = "text/event-stream"

    def key(self, headers: Any) -> str:
        return str(headers.get("x-goog-api-key", ""))

    def _error(self, code: int, status: str, message: str, details: list[Any] | None = None) -> Reply:
        error = {"code": code, "message": message, "status": status, "details": details or []}
        return (code, {"error": error}, {})

    def wrong_key(self) -> Reply:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        details = [{"@type": kind, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        return self._error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", details)

    def bad_request(self) -> Reply:
        return self._error(400, "INVALID_ARGUMENT", "contents is not specified")

    def unknown(self, model: str) -> Reply:
        return self._error(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta")

    def entry(self, model: str) -> Any:
        return {"name": f"models/{model}", "version": "1", "displayName": model, "inputTokenLimit": 1000}

    def listed(self, models: list[str]) -> Any:
        return {"models": [self.entry(model) for model in models]}

    def one(self, path: str) -> str:
        return path.removeprefix("/v1beta/models").removeprefix("/")

    def model(self, path: str, body: Any) -> str:
        return self.one(path).partition(":")[0]

    def is_question(self, body: Any, headers: Any) -> bool:
        return bool(body.get("contents"))

    def streams(self, path: str, body: Any) -> bool:
        return path.endswith(":streamGenerateContent")

    def _event(self, parts: list[Any], finish: str | None = None) -> Any:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        counts = {"promptTokenCount": COUNTS[0], "totalTokenCount": COUNTS[0]}
        if finish:
            candidate["finishReason"] = finish
            counts |= {"candidatesTokenCount": COUNTS[1], "totalTokenCount": sum(COUNTS)}
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "tiny", "responseId": "1"}

    def _parts(self, script: Script) -> list[Any]:
        parts: list[Any] = [{"text": piece, "thought": True} for piece in script.reasoning]
        parts += [{"text": piece} for piece in script.answer]
        if script.tool:
            parts.append({"functionCall": {"name": script.tool[0], "args": script.tool[1]}})
        return parts

    def _reason(self, script: Script) -> str:
        return {"stop": "STOP", "length": "MAX_TOKENS"}[script.finish]

    def whole(self, model: str, script: Script) -> Any:
        return self._event(self._parts(script), self._reason(script))

    def events(self, model: str, script: Script) -> Iterator[bytes]:
        *first, last = self._parts(script)
        for part in first:
            yield _sse(self._event([part]))
        yield _sse(self._event([last], self._reason(script)))

    def streamed_error(self) -> bytes:
        return _sse(self._error(503, "UNAVAILABLE", "The model is overloaded.")[1])


class Ollama:
    stream_type = "application/x-ndjson"

    def key(self, headers: Any) -> str:
        return str(headers.get("authorization", "")).removeprefix("Bearer ")

    def wrong_key(self) -> Reply:
        return (401, {"error": "unauthorized"}, {})

    def bad_request(self) -> Reply:
        return (400, {"error": "missing request body"}, {})

    def unknown(self, model: str) -> Reply:
        return (404, {"error": f'model "{model}" not found, try pulling it first'}, {})

    def entry(self, model: str) -> Any:
        return {"name": model, "model": model, "size": 1, "digest": "d", "details": {"family": "llama"}}

    def listed(self, models: list[str]) -> Any:
        return {"models": [self.entry(model) for model in models]}

    def one(self, path: str) -> str:
        return ""

    def model(self, path: str, body: Any) -> str:
        return str(body["model"])

    def is_question(self, body: Any, headers: Any) -> bool:
        return bool(body.get("messages"))

    def streams(self, path: str, body: Any) -> bool:
        return bool(body.get("stream", True))

    def _line(self, model: str, message: Any, *, done: str = "") -> Any:
        line = {"model": model, "created_at": "2026-01-01T00:00:00Z", "done": bool(done)}
        line["message"] = {"role": "assistant", "content": "", **message}
        figures = {"done_reason": done, "prompt_eval_count": COUNTS[0], "eval_count": COUNTS[1]}
        return {**line, **figures} if done else line

    def _messages(self, script: Script) -> list[Any]:
        found: list[Any] = [{"thinking": piece} for piece in script.reasoning]
        found += [{"content": piece} for piece in script.answer]
        if script.tool:
            name, arguments = script.tool
            found.append({"tool_calls": [{"function": {"name": name, "arguments": arguments}}]})
        return found

    def whole(self, model: str, script: Script) -> Any:
        message: dict[str, Any] = {}
        for part in self._messages(script):
            for name, value in part.items():
                message[name] = message.get(name, type(value)()) + value
        return self._line(model, message, done=script.finish)

    def events(self, model: str, script: Script) -> Iterator[bytes]:
        for message in self._messages(script):
            yield json.dumps(self._line(model, message)).encode() + b"\n"
        yield json.dumps(self._line(model, {}, done=script.finish)).encode() + b"\n"

    def streamed_error(self) -> bytes:
        return b'{"error":"an error was encountered while running the model"}\n'
