"""A conversation on the command line: asks, shows the answer as it comes, harmlessly, and remembers both."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.text import StreamCleaner

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.chat import ChatDone
    from core.cli.output import Output


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How answers are sampled; None is the model's own default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None


class Talk:
    """What was said so far to one model, and the last answer."""

    def __init__(self, yard: Modelyard, out: Output, model: str, *, system: str, limits: Limits) -> None:
        self._yard = yard
        self._out = out
        self._model = model
        self._messages = [{"role": "system", "content": system}] if system else []
        self._limits = limits
        self.answer = ""
        self.reasoning = ""

    async def ask(self, question: str) -> ChatDone:
        """Ask and show the answer; one that is cut short is remembered as far as it came.

        Raises:
            ModelyardError: the server refused, or broke off.
        """
        messages = [*self._messages, {"role": "user", "content": question}]
        self.answer = self.reasoning = ""
        writer = _Writer(self._out)
        try:
            return await self._answer(messages, writer)
        finally:
            writer.finish()
            if self.answer:
                self._messages = [*messages, {"role": "assistant", "content": self.answer}]

    async def _answer(self, messages: list[dict[str, str]], writer: _Writer) -> ChatDone:
        from core.chat import ChatPiece
        from core.errors import ModelyardError

        limits = self._limits
        asked = self._yard.chat.ask(
            self._model,
            messages,
            max_tokens=limits.max_tokens,
            temperature=limits.temperature,
            top_p=limits.top_p,
        )
        async with aclosing(asked) as parts:  # type: ignore[type-var]
            async for part in parts:
                if not isinstance(part, ChatPiece):
                    return part
                self._take(part.text, writer, reasoning=part.reasoning)
        raise ModelyardError("The answer had no end.", remedy="modelyard servers logs shows what the server wrote.")

    def _take(self, text: str, writer: _Writer, *, reasoning: bool) -> None:
        if reasoning:
            self.reasoning += text
        else:
            self.answer += text
            writer.feed(text)


class _Writer:
    """Writes an answer as it comes; nothing at all when the reader wants JSON."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._cleaner = StreamCleaner()
        self._ends_line = True

    def feed(self, text: str) -> None:
        self._write(self._cleaner.feed(text))

    def finish(self) -> None:
        self._write(self._cleaner.finish())
        self._write("" if self._ends_line else "\n")

    def _write(self, cleaned: str) -> None:
        if cleaned and not self._out.json:
            self._out.piece(cleaned)
            self._ends_line = cleaned.endswith("\n")


def figures(done: ChatDone) -> str:
    """What an answer cost, in a line."""
    speed = f", {done.tokens_per_second:.1f} tokens per second" if done.tokens_per_second else ""
    return f"{done.completion_tokens} tokens in {done.seconds:.1f} s{speed}; first after {done.first_token_s:.2f} s"
