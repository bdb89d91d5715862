"""One talk with one model: what was said, the last answer's call, and the record that keeps it once that is wished.

A talk is kept only when the user says so, and from then on by itself: what one writes to a model is often private,
and the registry holds figures, not texts, unless asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.chat.service import AskOptions, ChatDone, ChatPart, ChatService
from core.chat.turns import Turn, answer, question
from core.errors import InvalidInput
from core.providers.values import ChatPiece, Image, ToolCall

if TYPE_CHECKING:
    from core.registry.records import Call, Conversation
    from core.registry.store import Registry


@dataclass
class _Said:
    """An answer as far as it came."""

    words: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    def take(self, part: ChatPiece | ToolCall) -> None:
        """Some more."""
        if isinstance(part, ToolCall):
            self.calls.append(part)
        else:
            (self.thoughts if part.reasoning else self.words).append(part.text)


class Talk:
    """The whole talk is sent with each question; an answer that is cut short stays in it as far as it came."""

    def __init__(self, chat: ChatService, registry: Registry, ref: str, options: AskOptions | None = None) -> None:
        self._chat = chat
        self._registry = registry
        self._ref = ref
        self.options = options or AskOptions()
        self.turns: list[Turn] = []
        self.kept: Conversation | None = None
        self.call: Call | None = None

    def resume(self, conversation: Conversation) -> None:
        """Go on with a talk that was kept; its system prompt holds unless another one was given."""
        self.kept = conversation
        self.turns = [dict(turn) for turn in conversation.messages]
        self.call = None
        if self.options.system is None:
            self.options = replace(self.options, system=conversation.system or None)

    def clear(self) -> None:
        """Begin a new talk; one that was kept stays as it is."""
        self.turns, self.kept, self.call = [], None, None

    async def ask(self, text: str, images: Sequence[Image] = ()) -> AsyncGenerator[ChatPart, None]:
        """Ask, and stream the answer; a question without any answer leaves no trace in the talk.

        Raises:
            ModelyardError: see `ChatService.ask`.
        """
        asked = [*self.turns, question(text, images)]
        said = _Said()
        self.call = None
        conversation = self.kept.id if self.kept else ""
        stream = self._chat.ask(
            self._ref, asked, options=self.options, conversation_id=conversation, recorded=self._recorded
        )
        try:
            async with aclosing(stream) as parts:
                async for part in parts:
                    if isinstance(part, ChatDone):
                        await self._remember(asked, said)
                    else:
                        said.take(part)
                    yield part
        finally:
            await self._remember(asked, said)

    async def _remember(self, asked: list[Turn], said: _Said) -> None:
        """The question and the answer are part of the talk; once."""
        if said.words or said.calls:
            self.turns = [*asked, answer("".join(said.words), "".join(said.thoughts), said.calls)]
            said.words, said.calls = [], []
            if self.kept is not None:
                await self.keep()

    def _recorded(self, call: Call) -> None:
        self.call = call

    async def keep(self) -> Conversation:
        """Keep the talk as it is now; from here on it is kept by itself.

        Raises:
            InvalidInput: nothing was said yet.
        """
        if not self.turns:
            raise InvalidInput({"talk": "Nothing was said yet."}, remedy="Ask something first.")
        model = await self._registry.get_model(self._ref)
        self.kept = await self._registry.keep_conversation(
            self.kept.id if self.kept else None,
            model=model,
            system=self.options.system or "",
            messages=self.turns,
            call_id=self.call.id if self.call else None,
        )
        return self.kept

    async def rate(self, rating: int | None) -> None:
        """Rate the last answer from 1 to 5, or take the rating back.

        Raises:
            InvalidInput: there is no answer, or not from 1 to 5.
        """
        if self.call is None or self.call.id is None:
            raise InvalidInput({"rating": "There is no answer to rate yet."}, remedy="Ask something first.")
        self.call = await self._registry.rate_call(self.call.id, rating)
