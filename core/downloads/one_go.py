"""A small file, or one whose server does not tell its size: one answer, without threads."""

from __future__ import annotations

import hashlib

from core.downloads.http import Reply, TryAgain, Version
from core.downloads.parts import Part, Parts
from core.downloads.requests import Requests
from core.downloads.sink import Sink
from core.downloads.values import Cancelled
from core.errors import SourceLost, WrongBytes
from core.files.digest import git_digest

_PIECE = 1 << 20


class OneGo:
    """Begins again when the line breaks; without a size it can't be told whether it did, so that it gives up."""

    def __init__(self, requests: Requests, sink: Sink, parts: Parts, version: Version, *, git: bool) -> None:
        self._requests = requests
        self._sink = sink
        self._parts = parts
        self._version = version
        self._furthest = 0
        self._git = git and version.size >= 0

    def run(self, reply: Reply) -> tuple[str, str]:
        """The SHA-256 of what came, and git's hash of it if that is wanted and the size is known, else "".

        Raises:
            DownloadFailed: it does not come. Cancelled: somebody asked.
        """
        while True:
            try:
                return self._answer(reply)
            except TryAgain as error:
                self._refuse_unknown(error)
                self._requests.failed(error)
            self._parts.begin_again()
            reply = self._requests.ask(0, None, self._version)
            self._requests.refuse_other(reply, 0, self._version)

    def _answer(self, reply: Reply) -> tuple[str, str]:
        try:
            return self._whole(reply)
        finally:
            self._requests.let_go(reply)

    def _whole(self, reply: Reply) -> tuple[str, str]:
        size = self._version.size
        sha256, git_sha1 = hashlib.sha256(), git_digest(size)
        buffer = memoryview(bytearray(_PIECE if size < 0 else max(1, min(_PIECE, size))))
        part = Part(begin=0, at=0, end=size)
        while part.at < size or size < 0:
            if self._requests.stopped.is_set():
                raise Cancelled
            if not (count := reply.read_into(buffer[: min(_PIECE, size - part.at)] if size >= 0 else buffer)):
                break
            sha256.update(buffer[:count])
            if self._git:
                git_sha1.update(buffer[:count])
            self._sink.write(buffer[:count], part.at)
            self._parts.advance(part, count)
            if part.at > self._furthest:
                self._furthest = part.at
                self._requests.moved()
        if part.at < size:
            raise TryAgain("the server closed the line early")
        if reply.left is None and size >= 0 and reply.read_into(memoryview(bytearray(1))):
            raise WrongBytes(
                f"{self._requests.name}: {size:,} bytes are announced and the server gives more.",
                remedy="The source may have changed just now: start again.",
            )
        return sha256.hexdigest(), git_sha1.hexdigest() if self._git else ""

    def _refuse_unknown(self, error: TryAgain) -> None:
        if self._requests.stopped.is_set():
            raise Cancelled from error
        if self._version.size < 0:
            raise SourceLost(
                f"{self._requests.name} broke off.",
                cause=str(error),
                remedy="Its server gives no sizes, so it can only be fetched in one go: try again.",
            ) from error
