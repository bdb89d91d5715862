"""What a download is told, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class Cancelled(Exception):
    """Somebody asked to stop; what has come is kept."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a file can be had now; `headers` (a token above all) go to this URL's host alone."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch.

    `address` is asked again when a signed URL has expired. `size` (bytes), `sha256` and `git_sha1` (of a small file)
    are what its source announces; without a hash the one of what came is only told. `sha256_begins` is for sources
    that tell only the first digits.
    """

    address: Callable[[], Address]
    size: int | None = None
    sha256: str = ""
    git_sha1: str = ""
    sha256_begins: str = ""
    name: str = ""  # for messages

    def difference(self, sha256: str, git_sha1: Callable[[], str]) -> str:
        """Between what is announced and what came, by its hashes; "" for none. git's is only asked for if it counts."""
        if (announced := self.sha256.lower()) and sha256 != announced:
            return f"sha256 {sha256}, announced {announced}"
        if not sha256.startswith(begins := self.sha256_begins.lower()):
            return f"sha256 {sha256}, announced {begins}…"
        if not (announced := self.git_sha1.lower()) or (came := git_sha1()) == announced:
            return ""
        return f"git's hash is {came}, announced {announced}"

    @classmethod
    def at(cls, url: str, *, size: int | None = None, sha256: str = "", **headers: str) -> RemoteFile:
        """A file at a URL that doesn't expire."""
        address = Address(url=url, headers=headers)
        return cls(address=lambda: address, size=size, sha256=sha256, name=url.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that is whole and in its place; `received` counts the bytes that came over the line this time."""

    path: Path
    size: int
    sha256: str
    etag: str
    received: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How one transfer goes about it: connections per file, seconds of silence, tries and the waits between them."""

    connections: int = 4
    silence_s: float = 30.0
    connect_s: float = 10.0
    tries: int = 8  # in a row without one new byte
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
