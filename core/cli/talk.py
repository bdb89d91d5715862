"""A talk on the command line: shows the answer as it comes, harmlessly; thoughts dim, on the standard error."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from core.text import StreamCleaner, clean_line

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.chat import AskOptions, ChatDone, Talk, ToolCall
    from core.cli.output import Output
    from core.providers.values import Image


class Teller:
    """Asks in a talk and tells the answer; `answer`, `reasoning` and `calls` are the last one's."""

    def __init__(self, yard: Modelyard, out: Output, model: str, options: AskOptions) -> None:
        from core.chat import Talk

        self._out = out
        self.talk: Talk = Talk(yard.chat, yard.registry, model, options)
        self.answer = ""
        self.reasoning = ""
        self.calls: list[ToolCall] = []

    async def ask(self, question: str, images: Sequence[Image] = ()) -> ChatDone:
        """Ask and show the answer.

        Raises:
            ModelyardError: the server refused, or broke off.
        """
        self.answer, self.reasoning, self.calls = "", "", []
        writer = _Writer(self._out)
        try:
            return await self._answer(question, images, writer)
        finally:
            writer.finish()

    async def _answer(self, question: str, images: Sequence[Image], writer: _Writer) -> ChatDone:
        from core.chat import ChatPiece, ToolCall
        from core.errors import ModelyardError

        async with aclosing(self.talk.ask(question, images)) as parts:
            async for part in parts:
                if isinstance(part, ToolCall):
                    self.calls.append(part)
                    writer.line(f"→ {part.text}")
                elif isinstance(part, ChatPiece):
                    self._take(part.text, writer, reasoning=part.reasoning)
                else:
                    return part
        raise ModelyardError("The answer had no end.", remedy="modelyard servers logs shows what the server wrote.")

    def _take(self, text: str, writer: _Writer, *, reasoning: bool) -> None:
        if reasoning:
            self.reasoning += text
            writer.thought(text)
        else:
            self.answer += text
            writer.feed(text)


class _Writer:
    """Writes an answer as it comes; nothing at all when the reader wants JSON."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._cleaner = StreamCleaner()
        self._thoughts = StreamCleaner()
        self._thinking = False
        self._ends_line = True

    def thought(self, text: str) -> None:
        """Dim, and beside the data: a script gets the answer alone."""
        if not self._out.json:
            self._thinking = True
            _aside(self._thoughts.feed(text))

    def feed(self, text: str) -> None:
        """More of the answer."""
        self._end_thoughts()
        self._write(self._cleaner.feed(text))

    def line(self, text: str) -> None:
        """A line of its own."""
        self._end_thoughts()
        self._write(self._cleaner.finish())
        self._write("" if self._ends_line else "\n")
        self._write(f"{clean_line(text)}\n")

    def finish(self) -> None:
        """Nothing more comes."""
        self._end_thoughts()
        self._write(self._cleaner.finish())
        self._write("" if self._ends_line else "\n")

    def _end_thoughts(self) -> None:
        if self._thinking:
            self._thinking = False
            _aside(f"{self._thoughts.finish()}\n")

    def _write(self, cleaned: str) -> None:
        if cleaned and not self._out.json:
            self._out.piece(cleaned)
            self._ends_line = cleaned.endswith("\n")


def _aside(cleaned: str) -> None:
    """Harmless text for people, dim where that can be seen."""
    import sys

    if cleaned:
        dim = sys.stderr.isatty()
        sys.stderr.write(f"\x1b[2m{cleaned}\x1b[22m" if dim else cleaned)
        sys.stderr.flush()


def figures(done: ChatDone) -> str:
    """What an answer cost, in a line, and by which number to rate it."""
    speed = f", {done.tokens_per_second:.1f} tokens per second" if done.tokens_per_second else ""
    ends = {"length": "; cut at the limit", "filtered": "; withheld by the provider's rules"}
    return (
        f"{done.completion_tokens} tokens in {done.seconds:.1f} s{speed}; first after {done.first_token_s:.2f} s"
        f"{ends.get(done.finish_reason, '')}; call {done.call_id}"
    )
