"""Reads streams of JSON with bounded memory: lines of JSON, and server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from core.providers.dig import Json

_LINE_LIMIT = 4 * 1024**2  # bytes; one event may hold a long tool call
_TOTAL_LIMIT = 32 * 1024**2  # bytes of one answer
_PARTS_LIMIT = 1000  # lines of one event
DONE = "[DONE]"


class TooLarge(Exception):
    """More than an answer can be."""


class NotJson(Exception):
    """What should be JSON is none; the argument is how it begins."""


def parse(text: str | bytes) -> Json:
    """Like `json.loads`, for text of which nothing is known.

    Raises:
        NotJson: it is none, or nested beyond reason.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        begin = text[:200]
        raise NotJson(begin.decode("utf-8", "replace") if isinstance(begin, bytes) else begin) from None


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Lines without their ends; the last one needs none.

    Raises:
        TooLarge: a line, or all of them, are longer than an answer can be.
    """
    held, total = bytearray(), 0
    async for chunk in chunks:
        total += len(chunk)
        at = len(held)
        held += chunk
        while (end := held.find(b"\n", at)) >= 0:
            yield held[:end].decode("utf-8", "replace").rstrip("\r")
            del held[: end + 1]
            at = 0
        if len(held) > _LINE_LIMIT or total > _TOTAL_LIMIT:
            raise TooLarge
    if held:
        yield held.decode("utf-8", "replace").rstrip("\r")


async def json_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Json, None]:
    """The values of a stream of JSON lines."""
    async with aclosing(lines(chunks)) as found:
        async for line in found:
            if line.strip():
                yield parse(line)


async def server_sent(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Json, None]:
    """The data of server-sent events as JSON; OpenAI's word for the end as `DONE`. Comments keep a line awake."""
    data: list[str] = []
    async with aclosing(lines(chunks)) as found:
        async for line in found:
            name, _, value = line.partition(":")
            if name == "data":
                data.append(value.removeprefix(" "))
                _check_length(data)
            elif not line and data:
                yield _event("\n".join(data))
                data = []
    if data:
        yield _event("\n".join(data))


def _check_length(data: list[str]) -> None:
    if len(data) > _PARTS_LIMIT or sum(map(len, data)) > _LINE_LIMIT:
        raise TooLarge


def _event(text: str) -> Json:
    return DONE if text.strip() == DONE else parse(text)
