"""A talk with a model (P17): the answer streams in, Escape stops it; settings, ratings, talks that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker

from core.chat import ChatDone, ChatPart, ChatPiece, Talk, ToolCall
from core.errors import ModelyardError
from core.text import clean_line
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.operations import closing
from tui.show import moment, plural
from tui.widgets.chrome import KeyBar
from tui.widgets.line_view import Transcript
from tui.widgets.plain import Plain, TextField
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType

    from core.app import Modelyard
    from core.providers.values import Image
    from core.registry.records import Model

_ENDS = {"length": ", cut at the limit", "filtered": ", withheld by the provider's rules"}
_SYSTEM_CELLS = 40


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
        self._model: Model | None = None
        self._talk: Talk | None = None
        self._images: tuple[Image, ...] = ()
        self._answering: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="chat-top"):
            yield Plain(self._model_name, classes="lead", id="chat-name")
            yield Plain(id="chat-speed")
        yield Plain(id="chat-settings")
        yield Transcript(id="talk")
        with Horizontal(id="chat-line"):
            yield Spinner(idle=">")
            yield TextField(placeholder="Write to the model, Enter sends", id="question")

    def on_mount(self) -> None:
        self.modelyard.guard(self._know_model())

    async def _know_model(self) -> None:
        self._model = await self._yard.registry.get_model(self._ref)
        self._say_settings()

    @property
    def _yard(self) -> Modelyard:
        yard = self.modelyard.yard
        if yard is None:
            raise ModelyardError("The registry is not open", remedy="Close the chat and press ctrl+r.")
        return yard

    @property
    def conversation(self) -> Talk:
        """What was said, and how answers are asked for."""
        if self._talk is None:
            self._talk = Talk(self._yard.chat, self._yard.registry, self._ref)
        return self._talk

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The turns so far."""
        return self._talk.turns if self._talk is not None else []

    @property
    def talk(self) -> Transcript:
        """What was said, as it is shown."""
        return self.query_one(Transcript)

    @property
    def answering(self) -> bool:
        """Whether an answer is coming in."""
        return self._answering is not None and self._answering.is_running

    # Asking

    @on(Input.Submitted, "#question")
    def action_send(self) -> None:
        """Send, unless an answer is still coming or nothing was written."""
        field = self.query_one("#question", TextField)
        text = field.value.strip()
        if not text or self.answering:
            return
        field.value = ""
        images, self._images = self._images, ()
        self._say_settings()
        self._show_question(text, len(images))
        self._answering = self.run_worker(self._ask(text, images), group="answer", exit_on_error=True)

    def _show_question(self, text: str, pictures: int) -> None:
        if self.talk.blocks:
            self.talk.gap()
        self.talk.add("You", "strong")
        if pictures:
            self.talk.add(f"[{plural(pictures, 'image')}]", "dim")
        self.talk.add(text)
        self.talk.gap()

    async def _ask(self, text: str, images: Sequence[Image]) -> None:
        self.talk.following = True
        self.talk.add(self._model_name, "good")
        self.query_one(Spinner).start()
        try:
            await self._stream(text, images)
        except ModelyardError as error:
            self._say_error(error)
        finally:
            if self.query(Spinner):  # none once the dialog is closed
                self.talk.finish()
                self.query_one(Spinner).stop()
                self._say_settings()

    async def _stream(self, text: str, images: Sequence[Image]) -> None:
        shown: str | None = None
        began, pieces = monotonic(), 0
        async with closing(self.conversation.ask(text, images)) as parts:
            async for part in parts:
                if isinstance(part, ChatDone):
                    self._say_done(part)
                    continue
                tone = _tone(part)
                if tone != shown or isinstance(part, ToolCall):
                    shown = tone
                    self.talk.finish()
                    self.talk.start(tone)
                pieces += 1
                self.talk.grow(part.text if isinstance(part, ChatPiece) else f"→ {part.text}")
                self._say_speed(f"{pieces / max(monotonic() - began, 0.001):.0f} tokens/s")

    def _say_done(self, done: ChatDone) -> None:
        speed = f"{done.tokens_per_second:.1f} tokens/s, " if done.tokens_per_second else ""
        first = f"first after {done.first_token_s:.2f} s"
        self._say_speed(f"{done.completion_tokens} tokens, {speed}{first}{_ENDS.get(done.finish_reason, '')}")

    def _say_speed(self, text: str) -> None:
        self.query_one("#chat-speed", Plain).show(Content.styled(text, "$quiet"))

    def _say_error(self, error: ModelyardError) -> None:
        parts = [f"✗ {error.message}", error.cause, f"→ {error.remedy}" if error.remedy else ""]
        self.talk.finish()
        self.talk.add("\n".join(part for part in parts if part), "bad")

    def _say_settings(self) -> None:
        """One line: how answers are asked for, the rating of the last one, whether the talk is kept."""
        if self._model is not None:
            parts = settings_parts(self._model, self.conversation, len(self._images))
            self.query_one("#chat-settings", Plain).show(Content.styled(" · ".join(parts), "$quiet"))
            self.query_one(KeyBar).renew()

    def action_stop(self) -> None:
        """Stop the answer; when none is coming, close."""
        if self._answering is None or not self.answering:
            self.dismiss(None)
            return
        self._answering.cancel()
        self.talk.finish()
        self.talk.add("(stopped)", "dim")

    def action_clear(self) -> None:
        """Begin a new talk; one that was kept stays kept."""
        if not self.answering:
            self.conversation.clear()
            self.talk.clear()
            self._say_speed("")
            self._say_settings()

    def action_page(self, step: int) -> None:
        """Scroll; at the end, follow again."""
        talk = self.talk
        talk.scroll_to(y=talk.scroll_offset.y + step * max(1, talk.size.height - 1), animate=False, immediate=True)
        talk.following = talk.scroll_offset.y >= talk.max_scroll_y

    # Settings, ratings, talks that are kept

    def why_not(self, key_id: str) -> str:
        if key_id in {"chat.rate", "chat.keep"} and not self.messages:
            return "Nothing was said yet."
        return "An answer is coming." if key_id in {"chat.open", "chat.settings"} and self.answering else ""

    def action_settings(self) -> None:
        """Change how answers are asked for."""
        self._unless_answering(self._change_settings)

    async def _change_settings(self) -> None:
        from tui.modals.chat_settings import ChatSettings, ChatSettingsDialog

        if self._model is None:
            return
        now = ChatSettings(options=self.conversation.options, images=self._images)
        changed = await self.app.push_screen_wait(ChatSettingsDialog(self._model, now))
        if changed is not None:
            self.conversation.options, self._images = changed.options, changed.images
            self._say_settings()

    def action_rate(self) -> None:
        """Rate the last answer."""
        self._unless_answering(self._rate)

    async def _rate(self) -> None:
        from tui.modals.rate import RateDialog

        call = self.conversation.call
        if call is None:
            self.modelyard.toast("Rate: there is no answer yet.", tone="warning")
            return
        rating = await self.app.push_screen_wait(RateDialog(call.rating))
        if rating is not None:
            await self.conversation.rate(rating or None)
            self._say_settings()

    def action_keep(self) -> None:
        """Keep the talk."""
        self._unless_answering(self._keep)

    async def _keep(self) -> None:
        kept = await self.conversation.keep()
        self.modelyard.toast(f"Kept: {kept.title}")
        self._say_settings()

    def action_open(self) -> None:
        """Go on with a talk that was kept."""
        self._unless_answering(self._open)

    async def _open(self) -> None:
        from tui.modals.choose import ChooseDialog
        from tui.widgets.picker import Option

        found = await self._yard.registry.conversations(model_id=self._ref)
        if not found:
            self.modelyard.toast("No talk with this model was kept; ctrl+s keeps one.", tone="warning")
            return
        options = [Option(one.id, one.title, moment(one.updated_at)) for one in found]
        picked = await self.app.push_screen_wait(ChooseDialog("Go on with", options))
        if picked:
            self.conversation.resume(await self._yard.registry.get_conversation(picked))
            self._show_talk()

    def _show_talk(self) -> None:
        self.talk.clear()
        for turn in self.messages:
            if turn["role"] == "user":
                self._show_question(str(turn["content"]), len(turn.get("images", ())))
                continue
            self.talk.add(self._model_name, "good")
            for text, tone in _shown_answer(turn):
                self.talk.add(text, tone)
        self._say_speed("")
        self._say_settings()

    def _unless_answering(self, work: Any) -> None:  # noqa: ANN401 - a method that returns a coroutine
        if self.answering:
            self.modelyard.toast("An answer is coming: Esc stops it.", tone="warning")
        else:
            self.modelyard.guard(work(), hold=True)


def _tone(part: ChatPart) -> str:
    if isinstance(part, ToolCall):
        return "busy"
    return "dim" if isinstance(part, ChatPiece) and part.reasoning else ""


def _shown_answer(turn: dict[str, Any]) -> Iterable[tuple[str, str]]:
    if turn.get("reasoning"):
        yield str(turn["reasoning"]), "dim"
    if turn.get("content"):
        yield str(turn["content"]), ""
    for call in turn.get("tool_calls", ()):
        yield f"→ {call['name']}({call['arguments']})", "busy"


def settings_parts(model: Model, talk: Talk, pictures: int) -> list[str]:
    """What the line of settings says."""
    from core.chat.service import system_prompt

    asked = talk.options
    temperature = model.default_temperature if asked.temperature is None else asked.temperature
    top_p = model.default_top_p if asked.top_p is None else asked.top_p
    system = clean_line(system_prompt(model) if asked.system is None else asked.system).strip()
    short = system if len(system) <= _SYSTEM_CELLS else f"{system[: _SYSTEM_CELLS - 1]}…"
    rated = talk.call.rating if talk.call is not None else None
    return [
        part
        for part in (
            "kept" if talk.kept is not None else "",
            f"rated {rated} of 5" if rated else "",
            plural(pictures, "image") + " goes along" if pictures else "",
            f"temperature {temperature:g}",
            f"top-p {top_p:g}",
            f"at most {asked.max_tokens} tokens" if asked.max_tokens else "",
            plural(len(asked.tools), "tool") if asked.tools else "",
            f"system: {short or 'none'}",
        )
        if part
    ]
