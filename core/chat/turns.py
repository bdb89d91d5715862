"""The turns of a talk: as they are kept, {"role", "content", "images"?, "tool_calls"?, …}, and as they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from core.providers.values import Image, Message, ToolCall

Turn: TypeAlias = dict[str, Any]


def question(text: str, images: Sequence[Image] = ()) -> Turn:
    """What the user says."""
    pictures = [{"media_type": image.media_type, "data": image.data} for image in images]
    return {"role": "user", "content": text, **({"images": pictures} if pictures else {})}


def answer(text: str, reasoning: str, calls: Sequence[ToolCall]) -> Turn:
    """What the model said; its thoughts are kept to be read, and not sent again."""
    turn: Turn = {"role": "assistant", "content": text}
    if reasoning:
        turn["reasoning"] = reasoning
    if calls:
        turn["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return turn


def messages_of(turns: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The turns as a request holds them."""
    return tuple(
        Message(
            role=str(turn["role"]),
            text=_text(turn),
            images=tuple(Image(media_type=str(one["media_type"]), data=str(one["data"])) for one in _images(turn)),
        )
        for turn in turns
    )


def _text(turn: Mapping[str, Any]) -> str:
    """Calls of tools go back as words: nothing was executed, so there is no result to send."""
    calls = [f"[asked for {one['name']}({one['arguments']})]" for one in turn.get("tool_calls", ())]
    return "\n".join(part for part in (str(turn.get("content", "")), *calls) if part)


def _images(turn: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = turn.get("images", ())
    return found if isinstance(found, list) else ()
