"""A kept talk as a file: Markdown for people, JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.text import clean_block, clean_line

if TYPE_CHECKING:
    from core.registry.records import Conversation

_ROLES = {"user": "You", "system": "System"}


def as_document(conversation: Conversation) -> dict[str, Any]:
    """Everything that is kept, ready for JSON."""
    return {
        **summary(conversation),
        "system": conversation.system,
        "messages": conversation.messages,
    }


def summary(conversation: Conversation) -> dict[str, Any]:
    """What a list of talks shows."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "model": conversation.model_name,
        "model_id": conversation.model_id,
        "created_at": conversation.created_at.isoformat(),
        "updated_at": conversation.updated_at.isoformat(),
    }


def as_markdown(conversation: Conversation) -> str:
    """The talk with a heading for each turn; pictures are named, not included."""
    began = conversation.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    parts = [f"# {clean_line(conversation.title)}", f"{clean_line(conversation.model_name)}, {began}"]
    if conversation.system:
        parts += ["## System", clean_block(conversation.system)]
    for turn in conversation.messages:
        parts += _turn(turn, conversation.model_name)
    return "\n\n".join(parts) + "\n"


def _turn(turn: dict[str, Any], model: str) -> list[str]:
    role = str(turn.get("role", ""))
    parts = [f"## {_ROLES.get(role, clean_line(model))}"]
    if thoughts := turn.get("reasoning"):
        parts.append("\n".join(f"> {line}" for line in clean_block(str(thoughts)).splitlines()))
    parts += [f"*[{clean_line(str(one.get('media_type')))}]*" for one in turn.get("images", ())]
    if text := clean_block(str(turn.get("content", ""))):
        parts.append(text)
    for call in turn.get("tool_calls", ()):
        parts.append(f"    → {clean_line(str(call.get('name')))}({clean_line(str(call.get('arguments')))})")
    return parts
