"""Reading headers from a growing prefix of a file: a few round trips, and never more than a fixed amount."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from core.errors import FileProblem
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.values import ByteSource

T = TypeVar("T")

FIRST_READ = 1 << 20
LARGEST_READ = 8 << 20
LARGEST_HEADER = 24 << 20  # the largest vocabularies in use need about 16 MiB
_HASTY = 256 << 10  # bytes that are parsed at once, without a thread


class NeedMore(Exception):
    """The prefix ends before the header does; at least `at_least` bytes of the file are needed."""

    def __init__(self, at_least: int) -> None:
        super().__init__(at_least)
        self.at_least = at_least


def refuse(what: str, *, cause: str = "The file is truncated, damaged, or made to exhaust its reader.") -> FileProblem:
    """A header that is not read any further."""
    return FileProblem(f"The header can't be right: {what}.", cause=cause, remedy="Copy or download the file again.")


def require(prefix: bytes | bytearray, end: int, size: int) -> None:
    """Check that bytes up to `end` are in the prefix, or can come.

    Raises:
        FileProblem: the file ends before. NeedMore: the prefix does.
    """
    if end <= len(prefix):
        return
    if end > size:
        raise FileProblem(
            f"The file ends inside its header: {size:,} bytes, {end:,} are needed.",
            cause="It is truncated: a copy or download stopped before the end.",
            remedy="Copy or download the file again.",
        )
    raise NeedMore(end)


async def read_header(
    source: ByteSource, path: str, size: int, parse: Callable[[bytearray, int], T], *, first: int = FIRST_READ
) -> T:
    """Parse the header of a file of `size` bytes; `parse` gets a prefix and the size.

    Raises:
        FileProblem: not such a file, or a header that is damaged or too large. NotFound: no such file.
    """
    prefix = bytearray()
    wanted = min(first, size)
    try:
        while True:
            await _grow(source, path, prefix, wanted)
            try:
                return await _parsed(parse, prefix, size)
            except NeedMore as more:
                wanted = _next(more.at_least, len(prefix), size)
    except FileProblem as problem:
        name = clean_line(PurePosixPath(path).name)
        raise FileProblem(f"{name}: {problem.message}", cause=problem.cause, remedy=problem.remedy) from problem


async def _parsed(parse: Callable[[bytearray, int], T], prefix: bytearray, size: int) -> T:
    if len(prefix) <= _HASTY:
        return parse(prefix, size)
    return await asyncio.to_thread(parse, prefix, size)


async def _grow(source: ByteSource, path: str, prefix: bytearray, wanted: int) -> None:
    while len(prefix) < wanted:
        piece = await source.read(path, offset=len(prefix), length=min(LARGEST_READ, wanted - len(prefix)))
        if not piece:
            raise FileProblem(
                "The file became shorter while it was read.",
                cause="Something writes to it.",
                remedy="Wait until the copy or download is done.",
            )
        prefix += piece


def _next(at_least: int, have: int, size: int) -> int:
    if at_least > LARGEST_HEADER:
        raise refuse(f"it claims {at_least:,} bytes, more than the {LARGEST_HEADER:,} that are read")
    step = min(max(have, at_least - have), max(LARGEST_READ, at_least - have))
    return min(have + step, size, LARGEST_HEADER)
