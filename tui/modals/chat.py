"""A talk with a deployed model (P17): the answer streams in, Escape stops it, its speed is shown."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker

from core.chat import ChatDone, ChatPiece
from core.errors import ModelyardError
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.operations import closing
from tui.widgets.line_view import Transcript
from tui.widgets.plain import Plain, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType


class ChatDialog(Dialog[None]):
    """The whole talk is sent with each question; a stopped answer stays in it as far as it came."""

    HEADING = "Chat"
    KEYS = ("chat",)
    AUTO_FOCUS = "#question"
    CSS_PATH: ClassVar = ["dialog.tcss", "chat.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chat")]

    def __init__(self, ref: str, name: str) -> None:
        super().__init__()
        self._ref = ref
        self._model_name = name
        self.messages: list[dict[str, str]] = []
        self._answering: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="chat-top"):
            yield Plain(self._model_name, classes="lead", id="chat-name")
            yield Plain(id="chat-speed")
        yield Transcript(id="talk")
        with Horizontal(id="chat-line"):
            yield Spinner(idle=">")
            yield TextField(placeholder="Write to the model, Enter sends", id="question")

    @property
    def talk(self) -> Transcript:
        """What was said."""
        return self.query_one(Transcript)

    @property
    def answering(self) -> bool:
        """Whether an answer is coming in."""
        return self._answering is not None and self._answering.is_running

    @on(Input.Submitted, "#question")
    def action_send(self) -> None:
        """Send, unless an answer is still coming or nothing was written."""
        field = self.query_one("#question", TextField)
        text = field.value.strip()
        if not text or self.answering:
            return
        field.value = ""
        self.messages.append({"role": "user", "content": text})
        if self.talk.blocks:
            self.talk.gap()
        self.talk.add("You", "strong")
        self.talk.add(text)
        self.talk.gap()
        self._answering = self.run_worker(self._ask(), group="answer", exit_on_error=True)

    async def _ask(self) -> None:
        self.talk.following = True
        self.talk.add(self._model_name, "good")
        self.query_one(Spinner).start()
        answer: list[str] = []
        try:
            await self._stream(answer)
        except ModelyardError as error:
            self._say_error(error)
        finally:
            if answer:
                self.messages.append({"role": "assistant", "content": "".join(answer)})
            if self.is_mounted:
                self.talk.finish()
                self.query_one(Spinner).stop()

    async def _stream(self, answer: list[str]) -> None:
        yard = self.modelyard.yard
        if yard is None:
            raise ModelyardError("The registry is not open", remedy="Close the chat and press ctrl+r.")
        reasoning: bool | None = None
        began, pieces = monotonic(), 0
        async with closing(yard.chat.ask(self._ref, list(self.messages))) as parts:
            async for part in parts:
                if isinstance(part, ChatDone):
                    self._say_done(part)
                    continue
                if part.reasoning is not reasoning:
                    reasoning = part.reasoning
                    self.talk.finish()
                    self.talk.start("dim" if reasoning else "")
                pieces += 1
                self._take(part, answer)
                self._say_speed(f"{pieces / max(monotonic() - began, 0.001):.0f} tokens/s")

    def _take(self, piece: ChatPiece, answer: list[str]) -> None:
        self.talk.grow(piece.text)
        if not piece.reasoning:
            answer.append(piece.text)

    def _say_done(self, done: ChatDone) -> None:
        cut = ", cut at the limit" if done.finish_reason == "length" else ""
        self._say_speed(
            f"{done.completion_tokens} tokens, {done.tokens_per_second:.1f} tokens/s, "
            f"first after {done.first_token_s:.2f} s{cut}"
        )

    def _say_speed(self, text: str) -> None:
        self.query_one("#chat-speed", Plain).show(Content.styled(text, "$quiet"))

    def _say_error(self, error: ModelyardError) -> None:
        self.messages.pop()
        parts = [f"✗ {error.message}", error.cause, f"→ {error.remedy}" if error.remedy else ""]
        self.talk.add("\n".join(part for part in parts if part), "bad")

    def action_stop(self) -> None:
        """Stop the answer; when none is coming, close."""
        if self._answering is None or not self.answering:
            self.dismiss(None)
            return
        self._answering.cancel()
        self.talk.finish()
        self.talk.add("(stopped)", "dim")

    def action_clear(self) -> None:
        """Forget the talk."""
        if not self.answering:
            self.messages.clear()
            self.talk.clear()
            self._say_speed("")

    def action_page(self, step: int) -> None:
        """Scroll; at the end, follow again."""
        talk = self.talk
        talk.scroll_to(y=talk.scroll_offset.y + step * max(1, talk.size.height - 1), animate=False, immediate=True)
        talk.following = talk.scroll_offset.y >= talk.max_scroll_y
