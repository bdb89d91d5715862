"""Chat with a model that is deployed, or that has an endpoint: OpenAI's wire format, streamed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import ModelyardError, NotAllowed
from core.registry.values import ServerStatus
from core.text import clean_line

if TYPE_CHECKING:
    import httpx

    from core.deploy.access import ServerAccess
    from core.registry.records import Model, Server
    from core.registry.store import Registry

_SILENCE_S = 300.0  # an engine may compute a long prompt for minutes before its first word


@dataclass(frozen=True, kw_only=True)
class ChatPiece:
    """Some more of the answer, as the model wrote it: not yet harmless for a terminal."""

    text: str
    reasoning: bool = False


@dataclass(frozen=True, kw_only=True)
class ChatDone:
    """The figures of a finished answer; seconds since the question was sent."""

    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_s: float
    tokens_per_second: float
    finish_reason: str


class ChatService:
    """Finds where a model answers and streams from there."""

    def __init__(self, registry: Registry, access: ServerAccess) -> None:
        self._registry = registry
        self._access = access

    async def ask(
        self,
        ref: str,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
    ) -> AsyncIterator[ChatPiece | ChatDone]:
        """Stream an answer; closing the iterator cancels it at the server too.

        Raises:
            NotAllowed: nothing serves the model now. HostUnreachable: its host can't be reached.
            ModelyardError: the server refused, or broke off.
        """
        model = await self._registry.get_model(ref)
        body = {
            "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens or model.max_output_tokens,
            "temperature": model.default_temperature if temperature is None else temperature,
            "top_p": model.default_top_p if top_p is None else top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with self._client(model) as (client, served_name):
            async for part in _stream(client, {"model": served_name, **body}):
                yield part

    @asynccontextmanager
    async def _client(self, model: Model) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
        server = await self._running_server(model)
        if server is None and not model.endpoint:
            raise NotAllowed(f"{model.name} is not running anywhere.", remedy=f"modelyard deploy {model.name} --host …")
        client = await self._access.client(server, timeout_s=_SILENCE_S) if server else _endpoint_client(model)
        async with client:
            yield client, server.served_name if server else model.model_id

    async def _running_server(self, model: Model) -> Server | None:
        servers = await self._registry.servers(model_id=model.id)
        return next((server for server in servers if server.status == ServerStatus.RUNNING), None)


def _endpoint_client(model: Model) -> httpx.AsyncClient:
    import httpx

    base = model.endpoint.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    key = os.environ.get(model.api_key_ref, "") if model.api_key_ref else ""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=base, headers=headers, timeout=httpx.Timeout(_SILENCE_S, connect=10.0))


async def _stream(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[ChatPiece | ChatDone]:
    import httpx

    answer = _Answer()
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.is_error:
                raise _refusal(response.status_code, await response.aread())
            async for line in response.aiter_lines():
                for piece in answer.take(line):
                    yield piece
    except httpx.HTTPError as error:
        raise ModelyardError(
            "The answer broke off." if answer.pieces else "The server did not answer.",
            cause=clean_line(f"{type(error).__name__}: {error}"),
            remedy="modelyard servers list shows whether it still runs; servers logs what it wrote.",
        ) from error
    yield answer.done()


class _Answer:
    """Reads server-sent events and keeps the figures."""

    def __init__(self) -> None:
        self.pieces = 0
        self._began = time.perf_counter()
        self._first = 0.0
        self._usage: Mapping[str, Any] = {}
        self._finish = ""

    def take(self, line: str) -> list[ChatPiece]:
        if not line.startswith("data:") or line.endswith("[DONE]"):
            return []
        event = json.loads(line[5:])
        if "error" in event:
            raise _refusal(event["error"].get("code", 500), json.dumps(event).encode())
        self._usage = event.get("usage") or self._usage
        return [piece for choice in event.get("choices", ()) for piece in self._choice(choice)]

    def _choice(self, choice: Mapping[str, Any]) -> list[ChatPiece]:
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        pieces = [ChatPiece(text=thought, reasoning=True)] if thought else []
        if text := delta.get("content"):
            pieces.append(ChatPiece(text=text))
        if pieces and not self.pieces:
            self._first = time.perf_counter() - self._began
        self.pieces += len(pieces)
        return pieces

    def done(self) -> ChatDone:
        seconds = time.perf_counter() - self._began
        tokens = int(self._usage.get("completion_tokens", self.pieces))
        writing = seconds - self._first
        return ChatDone(
            prompt_tokens=int(self._usage.get("prompt_tokens", 0)),
            completion_tokens=tokens,
            seconds=seconds,
            first_token_s=self._first,
            tokens_per_second=(tokens - 1) / writing if tokens > 1 and writing > 0 else 0.0,
            finish_reason=self._finish,
        )


def _refusal(status: object, content: bytes) -> ModelyardError:
    try:
        said = str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = content[:300].decode("utf-8", "replace")
    remedies = {
        401: "Its API key is another one: check the model's key.",
        404: "Check the served name and the endpoint.",
        400: "Check max tokens and the length of the conversation against the model's context.",
    }
    remedy = remedies.get(int(status), "") if isinstance(status, int) else ""
    return ModelyardError(f"The server refused the question ({status}).", cause=clean_line(said), remedy=remedy)
