"""A personal copy of a global model ("make it mine"): what is taken over, and what the user says anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.registry.records import Model

_COPIED = (
    *("provider", "model_id", "task", "context_length", "max_output_tokens", "default_temperature"),
    *("default_top_p", "supports_streaming", "supports_tools", "supports_vision", "endpoint", "api_key_ref", "region"),
)
_NOT_COPIED = frozenset({"model_path", "files", "size", "api_key_ref"})  # of the files; the key has a column


def personal_values(model: Model) -> dict[str, Any]:
    """The form's values for a copy; name, served name, path and host are the user's to say."""
    facts = {name: value for name, value in model.extra.items() if name not in _NOT_COPIED}
    values = {name: getattr(model, name) for name in _COPIED}
    return {**values, "tags": list(model.tags), "flags": dict(model.flags), "extra": facts}


def with_copy(copied: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What the user says wins; metadata is joined key by key."""
    values = {**copied, **said}
    if "extra" in copied:
        values["extra"] = {**copied["extra"], **(said.get("extra") or {})}
    return values
