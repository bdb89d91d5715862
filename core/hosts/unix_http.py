"""The one HTTP request that is needed before any client library is loaded: GET over a Unix socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

_LIMIT = 8 * 1024 * 1024


class NoAnswer(Exception):
    """The socket did not answer with HTTP; the text says how it failed."""


async def get(socket: Path, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Status and body.

    Raises:
        NoAnswer: nobody answers there in time, or not in HTTP.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return _parse(await _ask(socket, path))
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise NoAnswer(error.strerror or str(error)) from error


async def get_json(socket: Path, path: str, *, timeout_s: float = 5.0) -> Any:  # noqa: ANN401 - JSON
    """The JSON document at `path`.

    Raises:
        NoAnswer: there is none.
    """
    status, body = await get(socket, path, timeout_s=timeout_s)
    try:
        document = json.loads(body)
    except ValueError as error:
        raise NoAnswer(f"status {status}, and no JSON") from error
    if status != 200:
        raise NoAnswer(f"status {status}")
    return document


async def _ask(socket: Path, path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        # HTTP/1.0: the answer comes in one piece and ends with the connection.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: modelyard\r\n\r\n".encode("ascii"))
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < _LIMIT and (chunk := await reader.read(65536)):
            pieces.append(chunk)
        return b"".join(pieces)
    finally:
        writer.close()


def _parse(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise NoAnswer("the connection was closed without an answer")
    return int(words[1]), body
