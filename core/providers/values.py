"""What goes to a model and what comes back, whatever wire format carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Image:
    """A picture that goes along with a question; `data` in base64."""

    media_type: str  # "image/png" …
    data: str


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool that the model may ask for; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of the talk; `role` is "user" or "assistant"."""

    role: str
    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A question with all that was said before; None leaves a setting to the endpoint."""

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    max_tokens: int = 1024
    temperature: float | None = None
    top_p: float | None = None
    tools: tuple[ToolSpec, ...] = ()
    stream: bool = True


@dataclass(frozen=True, kw_only=True)
class ChatPiece:
    """Some more of the answer, as the model wrote it: not yet harmless for a terminal."""

    text: str
    reasoning: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """The model asks for a tool; `arguments` is JSON as the model wrote it. Nothing is executed."""

    name: str
    arguments: str

    @property
    def text(self) -> str:
        """As it is shown: `get_weather({"city": "Paris"})`."""
        return f"{self.name}({self.arguments})"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens as the endpoint counts them; None where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Why the answer ended: "stop", "length", "tool_calls", "filtered", or the endpoint's own word."""

    reason: str


Part: TypeAlias = ChatPiece | ToolCall | Usage | Finish
