"""Asks a model wherever it answers, and keeps the figures of every answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from core.chat.turns import messages_of
from core.errors import HostUnreachable, ModelyardError, NotAllowed
from core.providers.errors import ProviderError
from core.providers.places import Place, Places
from core.providers.values import ChatPiece, ChatRequest, Finish, Part, ToolCall, ToolSpec, Usage

if TYPE_CHECKING:
    from core.registry.records import Call, Model
    from core.registry.store import Registry

_SILENCE_S = 300.0  # an engine may compute a long question for minutes before its first word
_CLOSE_S = 3.0
SYSTEM_PROMPT = "system_prompt"  # in a record's metadata


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """How answers are asked for; None is the record's own. `tools` are told to the model, and never executed."""

    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChatDone:
    """The figures of a finished answer; seconds since the question was sent; `call_id` to rate it by."""

    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_s: float
    tokens_per_second: float
    finish_reason: str
    call_id: int | None = None


ChatPart: TypeAlias = ChatPiece | ToolCall | ChatDone


class ChatService:
    """Streams answers from servers, endpoints and providers alike."""

    def __init__(self, registry: Registry, places: Places) -> None:
        self._registry = registry
        self._places = places
        self._asking: set[asyncio.Future[None]] = set()
        self._recording: set[asyncio.Task[Call]] = set()

    async def close(self) -> None:
        """Let answers that are being broken off be counted while there is a registry to count them in."""
        for under_way in (self._asking, self._recording):
            if under_way:
                await asyncio.wait(under_way, timeout=_CLOSE_S)

    async def ask(
        self,
        ref: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        options: AskOptions | None = None,
        conversation_id: str = "",
        recorded: Callable[[Call], None] | None = None,
    ) -> AsyncGenerator[ChatPart, None]:
        """Stream an answer; closing the iterator cancels it at the endpoint too.

        Every question that was sent is a call in the analytics; one that the user stopped is a good one, with what was
        written till then, since the model did nothing wrong. `recorded` gets it, also when nobody reads on.

        Raises:
            NotAllowed: nothing serves the model now, or it can't do what is asked. HostUnreachable: its host can't be
                reached. ProviderError: refused, or broken off.
        """
        model = await self._registry.get_model(ref)
        asked = options or AskOptions()
        turns = messages_of(messages)
        _check_abilities(model, asked, pictures=any(turn.images for turn in turns))
        figures = _Figures()
        over = asyncio.get_running_loop().create_future()
        self._asking.add(over)
        try:
            async with self._places.open(model, silence_s=_SILENCE_S) as place:
                figures.sent_to(place)
                request = _request(model, place.served_name, turns, asked)
                async with aclosing(place.caller.chat(request)) as parts:
                    async for part in parts:
                        if figures.take(part) and isinstance(part, ChatPiece | ToolCall):
                            yield part
        except ModelyardError as error:
            figures.error = error.fault.value if isinstance(error, ProviderError) else error.code
            figures.unreachable = isinstance(error, HostUnreachable)
            raise
        finally:
            figures.stop()
            self._asking.discard(over)
            recording = self._keep(self._record(model, figures, conversation_id)) if figures.counts else None
            over.set_result(None)
            call = await asyncio.shield(recording) if recording else None
            if call is not None and recorded is not None:
                recorded(call)
        yield figures.done(call.id if call else None)

    def _keep(self, recording: Coroutine[Any, Any, Call]) -> asyncio.Task[Call]:
        """Whoever waits for it may be cancelled, and cancelled again: it is written all the same."""
        task = asyncio.create_task(recording)
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        return task

    async def _record(self, model: Model, figures: _Figures, conversation_id: str) -> Call:
        from core.registry.records import Call

        return await self._registry.record_call(
            Call(
                user_id=self._registry.user_id,
                model_id=model.id,
                model_name=model.name,
                server_id=figures.server_id,
                kind="chat",
                ok=not figures.error,
                error=figures.error,
                prompt_tokens=figures.prompt_tokens,
                completion_tokens=figures.completion_tokens,
                first_token_s=figures.first_s,
                seconds=figures.seconds,
                conversation_id=conversation_id,
            )
        )


def system_prompt(model: Model) -> str:
    """What the record says the model is told before everything else."""
    text = model.extra.get(SYSTEM_PROMPT, "")
    return text if isinstance(text, str) else ""


def _check_abilities(model: Model, asked: AskOptions, *, pictures: bool) -> None:
    """The record's marks are heeded: what a model can't do is not sent.

    Raises:
        NotAllowed: it is marked as unable.
    """
    for wanted, able, what, option in (
        (pictures, model.supports_vision, "look at images", "--vision"),
        (bool(asked.tools), model.supports_tools, "call tools", "--tools"),
    ):
        if wanted and not able:
            raise NotAllowed(
                f"{model.name} is not marked as able to {what}.",
                remedy=f"If it can: modelyard models edit {model.name} {option}",
            )


def _request(model: Model, served_name: str, turns: Sequence[Any], asked: AskOptions) -> ChatRequest:
    return ChatRequest(
        model=served_name,
        messages=tuple(turns),
        system=system_prompt(model) if asked.system is None else asked.system,
        max_tokens=asked.max_tokens or model.max_output_tokens,
        temperature=model.default_temperature if asked.temperature is None else asked.temperature,
        top_p=model.default_top_p if asked.top_p is None else asked.top_p,
        tools=asked.tools,
        stream=model.supports_streaming,
    )


@dataclass
class _Figures:
    """Measures one answer, from the moment at which the question can be sent: finding the key may ask the user."""

    began: float = field(default_factory=time.perf_counter)
    place: Place | None = None
    pieces: int = 0
    first_s: float | None = None
    seconds: float = 0.0
    finish: str = ""
    error: str = ""
    unreachable: bool = False
    usage: Usage = field(default_factory=Usage)

    @property
    def counts(self) -> bool:
        """Whether it was the model's turn; without a key, say, nobody was asked."""
        return self.place is not None or self.unreachable

    def sent_to(self, place: Place) -> None:
        """Now the clock runs."""
        self.place, self.began = place, time.perf_counter()

    def take(self, part: Part) -> bool:
        """Whether it is a part that a reader sees."""
        if isinstance(part, Usage):
            known = self.usage
            self.usage = Usage(
                prompt_tokens=known.prompt_tokens if part.prompt_tokens is None else part.prompt_tokens,
                completion_tokens=known.completion_tokens if part.completion_tokens is None else part.completion_tokens,
            )
            return False
        if isinstance(part, Finish):
            self.finish = part.reason
            return False
        if self.first_s is None:
            self.first_s = time.perf_counter() - self.began
        self.pieces += 1
        return True

    def stop(self) -> None:
        """Nothing more comes."""
        self.seconds = time.perf_counter() - self.began

    @property
    def server_id(self) -> str:
        """The server that answered, "" for an endpoint."""
        return self.place.server.id if self.place and self.place.server else ""

    @property
    def prompt_tokens(self) -> int:
        """As the endpoint counts, 0 where it does not."""
        return self.usage.prompt_tokens or 0

    @property
    def completion_tokens(self) -> int:
        """As the endpoint counts; without that, the pieces: most endpoints send one a token."""
        counted = self.usage.completion_tokens
        return self.pieces if counted is None or (not self.finish and counted < self.pieces) else counted

    def done(self, call_id: int | None) -> ChatDone:
        """The figures of the finished answer."""
        first = self.seconds if self.first_s is None else self.first_s
        tokens, writing = self.completion_tokens, self.seconds - first
        streamed = self.pieces > 1 and tokens > 1 and writing > 0
        return ChatDone(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=tokens,
            seconds=self.seconds,
            first_token_s=first,
            tokens_per_second=(tokens - 1) / writing if streamed else 0.0,
            finish_reason=self.finish,
            call_id=call_id,
        )
