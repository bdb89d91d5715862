"""The seam between what is asked and how an endpoint wants it written: pure translation, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from core.providers.errors import Fault
from core.providers.values import ChatRequest, Part

Json: TypeAlias = Any  # what json.loads gives


@dataclass(frozen=True, kw_only=True)
class Call:
    """One POST: the path below the base address, the body, and headers of this request alone."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Said:
    """An endpoint's error in our words: of which kind, and what it wrote."""

    fault: Fault
    text: str = ""


class Reader(Protocol):
    """Reads one answer, event by event or in one piece; remembers what spreads over several events."""

    ended: bool  # the format's own end was seen: nothing more is to come

    def event(self, data: Json) -> Iterable[Part]:
        """The parts in one event of the stream.

        Raises:
            StreamedError: the event tells of an error.
        """

    def whole(self, data: Json) -> Iterable[Part]:
        """The parts of an answer that came in one piece."""

    def finish(self) -> Iterable[Part]:
        """What was held back until the end."""


class Wire(Protocol):
    """One wire format; stateless."""

    name: str
    ndjson: bool  # streams are lines of JSON, not server-sent events
    default_base: str  # of the hosted provider; "" where every endpoint is someone's own
    models_path: str

    def base(self, endpoint: str) -> str:
        """The base address of an endpoint as people write it, without a slash at its end."""

    def headers(self, key: str) -> dict[str, str]:
        """What carries the key; never a URL."""

    def names(self, data: Json) -> tuple[str, ...]:
        """What a list of models says is served."""

    def next_page(self, data: Json) -> str:
        """The query of the list's next page; "" at the end."""

    def one_model_path(self, name: str) -> str:
        """Where one model can be looked up, aliases included; "" where that is not offered."""

    def chat(self, request: ChatRequest) -> Call:
        """The request."""

    def unanswerable(self, name: str) -> Call:
        """A question that lacks what it takes: refused after the key was looked at, and before anything is done."""

    def reader(self) -> Reader:
        """A reader for one answer."""

    def said(self, status: int, data: Json) -> Said:
        """What an error's body means; `data` is None when it is no JSON."""


class StreamedError(Exception):
    """An endpoint told of an error in the middle of a stream that began well."""

    def __init__(self, data: Json, status: int = 500) -> None:
        super().__init__("error in the stream")
        self.data = data
        self.status = status


def dig(data: Json, *path: str | int, default: Json = None) -> Json:
    """What lies at a path of keys and indexes; the default where anything on the way is missing or of another kind."""
    for step in path:
        if isinstance(data, Mapping) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and -len(data) <= step < len(data):
            data = data[step]
        else:
            return default
    return default if data is None else data


def text_at(data: Json, *path: str | int) -> str:
    """The text at a path, "" for anything else."""
    found = dig(data, *path)
    return found if isinstance(found, str) else ""


def number_at(data: Json, *path: str | int) -> int | None:
    """The whole number at a path."""
    found = dig(data, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**53 else None


def list_at(data: Json, *path: str | int) -> list[Json]:
    """The list at a path, [] for anything else."""
    found = dig(data, *path)
    return found if isinstance(found, list) else []


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


def without_suffix(endpoint: str, *suffixes: str) -> str:
    """A URL without query, fragment, last slash and the first of these ends of its path."""
    scheme, place, path, _, _ = urlsplit(endpoint.strip())
    path = path.rstrip("/")
    for suffix in suffixes:
        if path.endswith(suffix):
            path = path.removesuffix(suffix).rstrip("/")
            break
    return urlunsplit((scheme, place, path, "", ""))
