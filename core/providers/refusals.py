"""What an endpoint's refusal means where its format has no word of its own for it: by status, and by what it wrote."""

from __future__ import annotations

from core.providers.dig import Json, text_at
from core.providers.errors import Fault


def by_status(status: int) -> Fault:
    """The kind that a status code means everywhere."""
    known = {
        401: Fault.UNAUTHORISED,
        402: Fault.NO_CREDIT,
        403: Fault.FORBIDDEN,
        404: Fault.NOT_FOUND,
        405: Fault.NOT_FOUND,
        408: Fault.SILENT,
        413: Fault.CONTEXT_TOO_LONG,
        407: Fault.PROXY,
        429: Fault.RATE_LIMITED,
        503: Fault.OVERLOADED,
        529: Fault.OVERLOADED,
    }
    if status in known:
        return known[status]
    if 300 <= status < 400:
        return Fault.REDIRECTED
    return Fault.SERVER_ERROR if status >= 500 else Fault.BAD_REQUEST


_TOO_LONG = (
    "context length",
    "context size",
    "context window",
    "prompt is too long",
    "input token count",
    "too many tokens",
    "maximum context",
    "max_model_len",
)


def tells_too_long(text: str) -> bool:
    """Whether an error's words mean that the talk does not fit."""
    lower = text.lower()
    return any(words in lower for words in _TOO_LONG)


def error_text(data: Json) -> str:
    """The words of an error in the shapes that are around: {"error": {"message"}}, {"error": "…"}, {"message"}, …"""
    for path in (("error", "message"), ("error",), ("message",), ("detail",), (0, "error", "message")):
        if found := text_at(data, *path):
            return found
    return ""
