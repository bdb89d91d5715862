"""The seam between what is asked and how an endpoint wants it written: pure translation, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from core.providers.dig import Json
from core.providers.errors import Fault
from core.providers.values import ChatRequest, Part, ToolSpec


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


class PlainWire:
    """What formats have in common where they do nothing of their own: the key as a bearer, names on one page."""

    ndjson = False

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    def next_page(self, data: Json) -> str:
        return ""

    def one_model_path(self, name: str) -> str:
        return ""


class StreamedError(Exception):
    """An endpoint told of an error in the middle of a stream that began well."""

    def __init__(self, data: Json, status: int = 500) -> None:
        super().__init__("error in the stream")
        self.data = data
        self.status = status


def without_suffix(endpoint: str, *suffixes: str) -> str:
    """A URL without query, fragment, last slash and the first of these ends of its path."""
    scheme, place, path, _, _ = urlsplit(endpoint.strip())
    path = path.rstrip("/")
    for suffix in suffixes:
        if path.endswith(suffix):
            path = path.removesuffix(suffix).rstrip("/")
            break
    return urlunsplit((scheme, place, path, "", ""))


def as_function(tool: ToolSpec) -> dict[str, Any]:
    """A tool as OpenAI writes it, and others after it."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
