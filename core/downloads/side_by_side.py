"""A large file: parts of it over connections of their own, hashed while they come, with notes of what is there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from core.downloads.hashing import Buffers, Hashing
from core.downloads.http import Reply, TryAgain, Version
from core.downloads.partial import Note, Partial, Span
from core.downloads.parts import Part, Parts
from core.downloads.requests import Requests
from core.downloads.sink import Sink
from core.downloads.values import Cancelled
from core.downloads.writing import Piece, Writing
from core.files.uncached import BLOCK

PIECE = 4 << 20  # bytes read, written and hashed at once, on a fast line
_LEAST_PIECE = 1 << 16
_AHEAD = 1 << 20  # bytes that wait at a line that is faster than we are
_QUICK_S, _SLOW_S = 0.05, 0.5  # a piece that came quicker may be larger, one that came slower has to be smaller
_GROW_S = 0.25  # how often one more connection is tried
_NOTE_STEP, _NOTE_SHARE = 4 << 20, 0.0025  # how much a program that is killed may lose
_NOTE_EVERY_S = 1.0
_SAFE_EVERY, _SAFE_EVERY_S = 64 << 20, 10.0  # how much a machine that loses its power may lose


class SideBySide:
    """One file under way, with up to `connections` at once.

    It begins with one, and has more as long as the line is slower than we are: where it is not, further ones only
    take bytes out of their turn, which have to be read again for the hash.
    """

    def __init__(
        self,
        requests: Requests,
        sink: Sink,
        parts: Parts,
        *,
        partial: Partial,
        version: Version,
        safe: tuple[Span, ...],
        connections: int,
    ) -> None:
        self._requests = requests
        self._sink = sink
        self._parts = parts
        self._partial = partial
        self._version = version
        self._safe = safe
        self._connections = connections
        self._hashing = Hashing(sink.descriptor, front=parts.front)
        self._writing = Writing(sink, parts, self._hashing)
        self._failure: BaseException | None = None
        self._asked = self._ready = 0  # pieces since the last look, and those that were there already

    def cancel(self) -> None:
        """Stop soon; `run` raises `Cancelled`."""
        self._requests.stop()
        self._parts.stop()
        self._writing.end()
        self._hashing.end(drop=True)

    def run(self, reply: Reply | None) -> str:
        """The SHA-256 of the whole file; `reply` is the first answer, None when nothing is missing.

        Raises:
            DownloadFailed: it does not come; what has come is noted. Cancelled: somebody asked.
        """
        helpers = [self._helper(work) for work in (self._hashing.run, self._writing.run, self._keep_safe)]
        readers = []
        if reply is not None and (part := self._parts.take(reply.start)) is not None:
            readers.append(self._helper(self._read_all, part, reply))
        try:
            self._watch(lambda: readers.append(self._helper(self._read_all, None, None)))
        except BaseException:
            self.cancel()
            raise
        finally:
            for reader in readers:
                reader.join()
            self._writing.end()
            self._hashing.end()
            for helper in helpers:
                helper.join()
            self._note()
        if self._requests.stopped.is_set():
            raise self._failure or Cancelled
        return self._hashing.hexdigest()

    def _helper(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """A thread that works; its error ends the others."""

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - handed to the one who waits
                self._failure = self._failure or (None if isinstance(error, Cancelled) else error)
                self.cancel()

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    # what is noted, and how many connections there are

    def _watch(self, add_reader: Callable[[], None]) -> None:
        """Until all is there or somebody stops."""
        parts, connections = self._parts, 1
        step = max(_NOTE_STEP, int(parts.size * _NOTE_SHARE))
        noted, noted_at = parts.have, time.monotonic()
        grown_at = noted_at
        while not parts.wait(noted + step, longest_s=_GROW_S):
            present = time.monotonic()
            if parts.have >= noted + step or (parts.have > noted and present - noted_at >= _NOTE_EVERY_S):
                noted, noted_at = parts.have, present
                self._note()
            if present - grown_at >= _GROW_S and connections < self._connections:
                grown_at = present
                if not self._line_is_ahead() and parts.can_share:
                    connections += 1
                    add_reader()

    def _line_is_ahead(self) -> bool:
        """Whether most pieces of late were there before they were asked for."""
        asked, ready, self._asked, self._ready = self._asked, self._ready, 0, 0
        return ready * 2 > asked

    def _note(self) -> None:
        if spans := self._parts.spans():
            self._partial.write_note(Note(version=self._version, done=tuple(spans), safe=self._safe))

    def _keep_safe(self) -> None:
        """Bring what has come to the disk now and then, so that there is also little to do at the end."""
        while not self._parts.wait(self._parts.have + _SAFE_EVERY, longest_s=_SAFE_EVERY_S):
            spans = self._parts.spans()
            os.fdatasync(self._sink.descriptor)
            self._safe = tuple(spans)

    # reading

    def _read_all(self, part: Part | None, reply: Reply | None) -> None:
        """One connection's work: one part after the other, read ahead of its writing by its buffers at most."""
        buffers = Buffers(PIECE)
        while (part := part or self._parts.take()) is not None:
            try:
                self._fetch(part, reply, buffers)
            finally:
                self._parts.put_back(part)
                self._hashing.look()
            part = reply = None

    def _fetch(self, part: Part, reply: Reply | None, buffers: Buffers) -> None:
        while part.at < part.end and not self._requests.stopped.is_set():
            reply = reply or self._requests.ask(part.at, part.end, self._version)
            try:
                self._answer(part, reply, buffers)
            except TryAgain as error:
                self._requests.failed(error)
            reply = None

    def _answer(self, part: Part, reply: Reply, buffers: Buffers) -> None:
        try:
            self._requests.refuse_other(reply, part.at, self._version)
            at, length = part.at, min(_LEAST_PIECE, PIECE)
            while (room := part.end - at) > 0 and not self._requests.stopped.is_set():
                began = time.monotonic()
                most = min(length, self._sink.most) - at % BLOCK
                at += self._piece(part, at, reply, min(most, room), buffers)
                length = _next_length(length, time.monotonic() - began)
        finally:
            self._requests.let_go(reply)
            self._writing.drain()

    def _piece(self, part: Part, at: int, reply: Reply, length: int, buffers: Buffers) -> int:
        """Read it, and hand it on to be written; `at` is ahead of what is written of the part."""
        self._asked += 1
        self._ready += buffers.are_out or reply.is_ahead(min(length, _AHEAD))
        buffer = buffers.get()
        try:
            count = reply.read_into(buffer[:length])
        except BaseException:
            buffers.give_back(buffer)
            raise
        self._requests.moved()
        self._writing.put(Piece(part=part, at=at, buffer=buffer, count=count, home=buffers))
        if count < length:
            raise TryAgain("the server closed the line early")
        return count


def _next_length(length: int, took_s: float) -> int:
    if took_s < _QUICK_S:
        return min(PIECE, length * 2)
    return max(min(_LEAST_PIECE, PIECE), length // 2) if took_s > _SLOW_S else length
