"""Asks an endpoint over HTTP in its wire format; whatever comes back is bounded in size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.providers import network
from core.providers.dig import Json
from core.providers.errors import Fault, ProviderError
from core.providers.lines import DONE, NotJson, TooLarge, json_lines, parse, server_sent
from core.providers.values import ChatPiece, ChatRequest, Finish, Part, ToolCall
from core.providers.wire import Said, StreamedError, Wire

if TYPE_CHECKING:
    import httpx

_BODY_LIMIT = 16 * 1024**2  # bytes; the longest lists of models are about two MB
_ERROR_LIMIT = 64 * 1024
_PAGES = 20  # of a list of models
_LIST_TIMEOUT_S = 30.0
_SECRETS = ("authorization", "x-api-key", "x-goog-api-key")
_TASK_PATHS = {"embed": "/embeddings", "rerank": "/rerank"}  # of models that don't talk
_ACCEPT = {"Accept-Encoding": "identity"}  # nothing that grows while it is unpacked


@dataclass
class Timings:
    """Seconds of the last request: until the connection stood, until the first byte of the answer."""

    connect_s: float | None = None
    first_byte_s: float | None = None


class Caller:
    """One endpoint. `base` is the wire's base address; the client carries the key in its headers."""

    def __init__(self, client: httpx.AsyncClient, wire: Wire, base: str, *, silence_s: float) -> None:
        self._client = client
        self._wire = wire
        self._silence_s = silence_s
        self.base = base
        self.host = network.place(base)
        self.timings = Timings()

    async def models(self) -> tuple[str, ...]:
        """What the endpoint says it serves.

        Raises:
            ProviderError: it does not say.
        """
        names: list[str] = []
        path = self._wire.models_path
        async with self._in_time(_LIST_TIMEOUT_S):
            for _ in range(_PAGES):
                data = await self._get(path)
                found = self._wire.names(data)
                names += found
                query = self._wire.next_page(data)
                if not query or not found:
                    break
                path = f"{path.partition('?')[0]}?{query}"
        return tuple(dict.fromkeys(names))

    async def knows(self, name: str) -> bool:
        """Whether the endpoint finds a model of this name, which its list need not hold; False where it can't tell."""
        path = self._wire.one_model_path(name)
        if not path:
            return False
        try:
            async with self._in_time(_LIST_TIMEOUT_S):
                await self._get(path)
        except ProviderError as error:
            if error.fault in {Fault.NOT_FOUND, Fault.MODEL_NOT_FOUND, Fault.BAD_REQUEST}:
                return False
            raise
        return True

    async def lets_ask(self, name: str, *, task: str = "generate") -> None:
        """The key may be used to ask, and there is something to be asked: sends a question that can't be answered.

        Costs nothing; a list of models is open at many endpoints that want a key for an answer. `task` is the model's.

        Raises:
            ProviderError: no.
        """
        call = self._wire.unanswerable(name)
        path = _TASK_PATHS.get(task, call.path)
        try:
            async with self._in_time(_LIST_TIMEOUT_S), self._answer("POST", path, call.body):
                return
        except ProviderError as error:
            if error.fault not in {Fault.BAD_REQUEST, Fault.SERVER_ERROR, Fault.CONTEXT_TOO_LONG}:
                raise

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Part, None]:
        """The parts of an answer as they come; closing the iterator ends it at the endpoint, too.

        Raises:
            ProviderError: refused, broken off, or not an answer.
        """
        call, reader = self._wire.chat(request), self._wire.reader()
        told = finished = False
        async with (
            self._answer("POST", call.path, call.body, call.headers) as response,
            aclosing(self._events(response)) as events,
        ):
            async for data in events:
                if data == DONE:
                    finished = True
                    break
                for part in self._parts(reader.whole if isinstance(data, _Whole) else reader.event, data):
                    told = told or isinstance(part, ChatPiece | ToolCall)
                    finished = finished or isinstance(part, Finish)
                    yield part
                if reader.ended:
                    break
            for part in reader.finish():
                told = True
                yield part
        if not finished:
            raise self._no_end(told)

    def _parts(self, read: Any, data: Json) -> Iterable[Part]:  # noqa: ANN401 - one of the reader's methods
        try:
            return list(read(data.value if isinstance(data, _Whole) else data))
        except StreamedError as error:
            raise self._refusal(error.status, error.data) from error

    def _no_end(self, told: bool) -> ProviderError:
        if told:
            return ProviderError(Fault.BROKEN_OFF, host=self.host, said="The answer has no end.")
        return ProviderError(Fault.NOT_AN_API, host=self.host, said="What it sent is no answer.")

    # HTTP

    async def _events(self, response: httpx.Response) -> AsyncGenerator[Json, None]:
        """The events of a stream, or what came in one piece; each has to come before the silence is too long."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json" and not (self._wire.ndjson and "content-length" not in response.headers):
            async with self._in_time(self._silence_s):
                whole = await self._json(response)
            yield _Whole(whole)
            return
        read = json_lines if self._wire.ndjson else server_sent
        async with aclosing(read(response.aiter_raw())) as events:
            while True:
                async with self._in_time(self._silence_s):
                    try:
                        data = await anext(events)
                    except StopAsyncIteration:
                        return
                    except NotJson as error:
                        raise self._no_json(str(error)) from error
                yield data

    async def _get(self, path: str) -> Json:
        async with self._answer("GET", path, None) as response:
            return await self._json(response)

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A response that is a success and no web page."""
        import httpx

        self.timings = Timings()
        more: dict[str, Any] = {} if body is None else {"json": body}
        try:
            async with self._client.stream(
                method,
                f"{self.base}{path}",
                headers={**_ACCEPT, **(headers or {})},
                extensions={"trace": self._clock()},
                **more,
            ) as response:
                await self._check(response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            proxy = network.proxy_of(self.base)
            raise self._scrubbed(network.translated(error, self.host, proxy=proxy)) from error
        except TooLarge as error:
            raise ProviderError(Fault.TOO_LARGE, host=self.host) from error

    async def _check(self, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "").lower()
        if response.has_redirect_location or 300 <= response.status_code < 400:
            to = response.headers.get("location", "")
            raise self._fault(Fault.REDIRECTED, to and f"to {to}", response.status_code)
        if not response.is_success:
            raise await self._error(response)
        if "html" in kind:
            raise self._fault(Fault.NOT_AN_API, "It answers with a web page.", response.status_code)
        if response.headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
            raise self._fault(Fault.NOT_AN_API, "It packs its answers though it was told not to.", response.status_code)

    async def _error(self, response: httpx.Response) -> ProviderError:
        body = await _read(response, _ERROR_LIMIT, cut=True)
        try:
            data = parse(body)
        except NotJson as error:
            data = None
            plain = "" if "html" in response.headers.get("content-type", "").lower() else str(error)
        after = _seconds(response.headers.get("retry-after", ""))
        if data is None:
            said = Said(fault=self._wire.said(response.status_code, None).fault, text=plain)
            return self._fault(said.fault, said.text, response.status_code, after)
        return self._refusal(response.status_code, data, after)

    def _refusal(self, status: int, data: Json, after: float | None = None) -> ProviderError:
        said = self._wire.said(status, data)
        return self._fault(said.fault, said.text, status, after)

    def _fault(self, fault: Fault, said: str, status: int, after: float | None = None) -> ProviderError:
        return ProviderError(fault, host=self.host, said=self._scrub(said), status=status, retry_after_s=after)

    async def _json(self, response: httpx.Response) -> Json:
        try:
            return parse(await _read(response, _BODY_LIMIT))
        except NotJson as error:
            raise self._no_json(str(error)) from error

    def _no_json(self, begin: str) -> ProviderError:
        return ProviderError(Fault.NOT_AN_API, host=self.host, said=f"No JSON, it begins: {self._scrub(begin)}")

    @asynccontextmanager
    async def _in_time(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as error:
            raise ProviderError(Fault.SILENT, host=self.host, said=f"for {limit_s:g} s") from error

    def _clock(self) -> Any:  # noqa: ANN401 - httpcore's trace hook
        """Notes when the connection stood and when the first byte came."""
        began = time.perf_counter()

        async def trace(name: str, _info: object) -> None:
            if name in _CONNECTED:
                self.timings.connect_s = time.perf_counter() - began
            elif name.endswith("receive_response_headers.complete"):
                self.timings.first_byte_s = time.perf_counter() - began

        return trace

    def _scrub(self, text: str) -> str:
        """An endpoint's words without the key, should it repeat it."""
        for name in _SECRETS:
            secret = self._client.headers.get(name, "").removeprefix("Bearer ")
            text = text.replace(secret, "[key]") if secret else text
        return text

    def _scrubbed(self, error: ProviderError) -> ProviderError:
        error.cause = self._scrub(error.cause)
        return error


_CONNECTED = frozenset(f"connection.{step}.complete" for step in ("connect_tcp", "connect_unix_socket", "start_tls"))


@dataclass(frozen=True)
class _Whole:
    """An answer in one piece, among events."""

    value: Json


async def _read(response: httpx.Response, limit: int, *, cut: bool = False) -> bytes:
    held = bytearray()
    async for chunk in response.aiter_raw():
        held += chunk
        if len(held) > limit:
            if cut:
                return bytes(held[:limit])
            raise TooLarge
    return bytes(held)


def _seconds(text: str) -> float | None:
    """A Retry-After in seconds; dates are left out."""
    return min(float(text), 86400.0) if text.strip().isdigit() else None
