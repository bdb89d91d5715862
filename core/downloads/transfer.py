"""One file, fetched in parts side by side, hashed while it is written, kept when the line breaks.

The parts are threads: reading, writing and hashing all let go of the interpreter. A thread of its own follows the
beginning of the file that is whole so far and hashes it from the page cache.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.downloads.http import Expired, Http, Reply, TryAgain, Version
from core.downloads.partial import Note, Partial, git_sha1, no_room
from core.downloads.values import Address, Fetched, Limits, RemoteFile
from core.errors import FileProblem, SourceLost, WrongBytes
from core.text import clean_line

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth

PIECE = 1 << 20  # bytes read and written at once
_LEAST_PART = 16 << 20  # no second connection for less
_NOTE_EVERY_S, _NOTE_EVERY_SHARE = 2.0, 0.005
_HASH_PIECE = 4 << 20


class Cancelled(Exception):
    """Somebody asked to stop; what has come is kept."""


@dataclass(kw_only=True)
class _Part:
    """Bytes [at, end) are still to come over one connection; `begin` is where it began."""

    begin: int
    at: int
    end: int


class Transfer:
    """Fetches `remote` to `target`; `run` blocks, everything else may be called from other threads meanwhile."""

    def __init__(
        self, remote: RemoteFile, target: Path, *, limits: Limits | None = None, bandwidth: Bandwidth | None = None
    ) -> None:
        self._remote = remote
        self._limits = limits or Limits()
        self._bandwidth = bandwidth
        self._partial = Partial(target)
        self._http = Http(self._limits)
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._address: Address | None = None
        self._version: Version | None = None
        self._done: list[tuple[int, int]] = []
        self._todo: list[tuple[int, int]] = []
        self._parts: list[_Part] = []
        self._open: set[Reply] = set()
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._ranges = True
        self._failures = 0
        self._received = 0

    @property
    def size(self) -> int | None:
        """Bytes of the whole file, once they are known."""
        return self._version.size if self._version else self._remote.size

    @property
    def received(self) -> int:
        """Bytes that came over the line this time."""
        return self._received

    @property
    def done(self) -> int:
        """Bytes that are there, those of earlier attempts included."""
        with self._lock:
            return self._have()

    def cancel(self) -> None:
        """Stop soon; `run` raises `Cancelled`."""
        self._stopped.set()
        with self._lock:
            for reply in self._open:
                reply.response.shutdown()
            self._moved.notify_all()

    def run(self) -> Fetched:
        """Fetch until the file is whole, right and in its place.

        Raises:
            DownloadFailed: a subclass says why; what has come is kept unless it was wrong.
            FileProblem: there is a file of that name. Cancelled: somebody asked.
        """
        self._partial.target.parent.mkdir(parents=True, exist_ok=True)
        if self._partial.target.exists():
            raise FileProblem(f"There is a file {self._partial.target} already.", remedy="Verify or move it.")
        try:
            reply = self._first()
            return self._fetch(reply)
        finally:
            self._http.close()

    # the first answer tells what there is

    def _first(self) -> Reply | None:
        note = self._partial.read_note()
        known = note.version if note and (note.version.tag or self._remote.sha256) else None
        gaps = note.missing if note and known else [(0, 0)]
        if known and not gaps:
            self._adopt(known, gaps, note)
            return None
        reply = self._patiently(lambda: self._request(gaps[0][0], None, known))
        self._check_size(reply.version)
        if known and reply.start == gaps[0][0] and _same(known, reply.version):
            self._adopt(known, gaps, note)
        else:
            self._partial.discard()
            self._adopt(reply.version, [(0, reply.version.size)], None)
        self._ranges = reply.ranges
        return reply

    def _adopt(self, version: Version, gaps: list[tuple[int, int]], note: Note | None) -> None:
        self._version = version
        self._todo = list(gaps)
        self._done = list(note.done) if note else []

    def _check_size(self, version: Version) -> None:
        announced = self._remote.size
        if announced is not None and version.size >= 0 and version.size != announced:
            raise WrongBytes(
                f"{self._remote.name}: {announced:,} bytes are announced and the server has {version.size:,}.",
                remedy="The source may have changed just now: start again.",
            )

    # the parts

    def _fetch(self, reply: Reply | None) -> Fetched:
        assert self._version is not None
        version = self._version
        descriptor = self._partial.open(max(version.size, 0))
        digest = hashlib.sha256()
        helpers = [threading.Thread(target=self._guarded, args=(self._hash, descriptor, digest), daemon=True)]
        try:
            if version.size < 0:
                self._whole_without_size(reply, descriptor)
            else:
                count = self._connections(version.size)
                helpers += [
                    threading.Thread(
                        target=self._guarded, args=(self._work, descriptor, reply if index == 0 else None), daemon=True
                    )
                    for index in range(count)
                ]
            for helper in helpers:
                helper.start()
            self._keep_notes(descriptor)
            for helper in helpers:
                helper.join()
            if isinstance(self._failure, WrongBytes):
                self._partial.discard()
            if self._failure is not None:
                raise self._failure
            return self._finish(descriptor, digest.hexdigest())
        finally:
            os.close(descriptor)

    def _connections(self, size: int) -> int:
        if not self._ranges:
            return 1
        return max(1, min(self._limits.connections, size // _LEAST_PART))

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        """A thread's work; its error ends the others."""
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits
            with self._lock:
                self._failure = self._failure or error
            self.cancel()

    def _work(self, descriptor: int, reply: Reply | None) -> None:
        while (part := self._take(reply)) is not None:
            self._part(descriptor, part, reply)
            reply = None

    def _take(self, reply: Reply | None) -> _Part | None:
        """The next gap, or half of the longest part that another one fetches."""
        with self._lock:
            if self._stopped.is_set():
                return None
            if reply is not None:
                index = next(i for i, gap in enumerate(self._todo) if gap[0] == reply.start)
                begin, end = self._todo.pop(index)
            elif self._todo:
                begin, end = self._todo.pop(0)
            else:
                longest = max(self._parts, key=lambda part: part.end - part.at, default=None)
                if longest is None or not self._ranges or longest.end - longest.at < 2 * _LEAST_PART:
                    return None
                begin, end = longest.at + (longest.end - longest.at) // 2 // PIECE * PIECE, longest.end
                longest.end = begin
            part = _Part(begin=begin, at=begin, end=end)
            self._parts.append(part)
            return part

    def _part(self, descriptor: int, part: _Part, reply: Reply | None) -> None:
        try:
            while part.at < part.end and not self._stopped.is_set():
                reply = reply or self._patiently(lambda: self._request(part.at, part.end, self._version))
                self._same_file(reply, part)
                try:
                    self._read(descriptor, part, reply)
                except TryAgain as error:
                    self._wait_after(error)
                finally:
                    self._let_go(reply)
                reply = None
        finally:
            self._put_back(part)

    def _put_back(self, part: _Part) -> None:
        with self._lock:
            self._parts.remove(part)
            if part.begin < part.at:
                self._done = _joined([*self._done, (part.begin, part.at)])
            self._moved.notify_all()

    def _same_file(self, reply: Reply, part: _Part) -> None:
        assert self._version is not None
        if reply.start != part.at or not _same(self._version, reply.version):
            self._let_go(reply)
            raise WrongBytes(
                f"{self._remote.name} changed at its source while it was fetched.",
                remedy="Start again: it will be fetched from the beginning.",
            )

    def _read(self, descriptor: int, part: _Part, reply: Reply) -> None:
        from urllib3.exceptions import HTTPError

        response = reply.response
        while (room := part.end - part.at) > 0 and not self._stopped.is_set():
            try:
                piece = response.read(min(PIECE, room), decode_content=False)
            except (HTTPError, OSError, ValueError) as error:
                if self._stopped.is_set():
                    return
                raise TryAgain(str(error) or type(error).__name__) from error
            if not piece:
                raise TryAgain("the server closed the line early")
            self._write(descriptor, part, piece)

    def _write(self, descriptor: int, part: _Part, piece: bytes) -> None:
        if self._bandwidth is not None:
            self._bandwidth.take(len(piece), self._stopped)
        try:
            _write_all(descriptor, piece, part.at)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise no_room(self._partial.target, self._version.size if self._version else 0) from error
            raise
        with self._lock:
            part.at += len(piece)
            self._received += len(piece)
            self._failures = 0
            self._moved.notify_all()

    def _whole_without_size(self, reply: Reply | None, descriptor: int) -> None:
        """A server that does not tell the size: one stream to its end, which can't be resumed."""
        assert reply is not None
        at = 0
        while piece := self._next_piece(reply):
            _write_all(descriptor, piece, at)
            at += len(piece)
            self._received = at
        self._version = Version(size=at, tag="")
        self._done, self._todo = [(0, at)], []

    def _next_piece(self, reply: Reply) -> bytes:
        from urllib3.exceptions import HTTPError

        if self._stopped.is_set():
            raise Cancelled
        try:
            return reply.response.read(PIECE, decode_content=False)
        except (HTTPError, OSError) as error:
            raise SourceLost(
                f"{self._remote.name} broke off.",
                cause=clean_line(str(error)),
                remedy="Its server gives no sizes, so it can only be fetched in one go: try again.",
            ) from error

    # requests, again and again

    def _request(self, start: int, end: int | None, known: Version | None) -> Reply:
        with self._lock:
            self._address = address = self._address or self._remote.address()
        try:
            reply = self._http.open(address, start, end, known=known)
        except Expired as error:
            with self._lock:
                if self._address is address:
                    self._address = None
            raise TryAgain("the signed address has expired", wait_s=0.0) from error
        with self._lock:
            self._open.add(reply)
        return reply

    def _patiently(self, ask: Callable[[], Reply]) -> Reply:
        while True:
            if self._stopped.is_set():
                raise self._failure or Cancelled
            try:
                return ask()
            except TryAgain as error:
                self._wait_after(error)

    def _wait_after(self, error: TryAgain) -> None:
        """Longer each time without a new byte; give up after the last try."""
        with self._lock:
            self._failures += 1
            failures = self._failures
        if failures > self._limits.tries:
            raise SourceLost(
                f"{self._remote.name} could not be fetched: the line or the server failed {failures} times.",
                cause=str(error),
                remedy="Try again when the line is better: what has come is kept.",
            ) from error
        wait_s = min(self._limits.longest_wait_s, self._limits.first_wait_s * 2 ** (failures - 1))
        wait_s *= random.uniform(0.75, 1.25)  # noqa: S311 - so that parts don't come back together
        self._stopped.wait(wait_s if error.wait_s is None else min(error.wait_s, self._limits.longest_wait_s))

    def _let_go(self, reply: Reply) -> None:
        with self._lock:
            self._open.discard(reply)
        reply.response.close()

    # what is there: notes, hash, end

    def _have(self) -> int:
        return sum(end - begin for begin, end in self._done) + sum(part.at - part.begin for part in self._parts)

    def _spans(self) -> list[tuple[int, int]]:
        return _joined([*self._done, *((part.begin, part.at) for part in self._parts if part.begin < part.at)])

    def _is_whole(self) -> bool:
        return self._version is not None and self._have() >= self._version.size >= 0

    def _keep_notes(self, descriptor: int) -> None:
        """Until all is there or somebody stops: write down what has come, often enough to lose little."""
        assert self._version is not None
        noted, step = self._have(), max(8 << 20, int(self._version.size * _NOTE_EVERY_SHARE))
        while True:
            with self._lock:
                self._wait_for_bytes(noted + step)
                over, spans, have = self._is_over(), self._spans(), self._have()
            if have != noted or over:
                self._partial.write_note(Note(version=self._version, done=tuple(spans)), descriptor)
                noted = have
            if over:
                return

    def _hash(self, descriptor: int, digest: hashlib._Hash) -> None:
        """Follow the beginning that is whole."""
        at, buffer = 0, memoryview(bytearray(_HASH_PIECE))
        while True:
            with self._lock:
                self._wait_for_front(at)
                front, whole = self._front(), self._is_whole()
                if self._stopped.is_set() and not whole:
                    return
            while at < front:
                got = os.preadv(descriptor, [buffer[: min(_HASH_PIECE, front - at)]], at)
                digest.update(buffer[:got])
                at += got
            if whole and at >= front:
                return

    def _wait_for_bytes(self, count: int) -> None:
        self._moved.wait_for(lambda: self._is_over() or self._have() >= count, _NOTE_EVERY_S)

    def _wait_for_front(self, at: int) -> None:
        self._moved.wait_for(lambda: self._is_over() or self._front() > at)

    def _is_over(self) -> bool:
        return self._stopped.is_set() or self._is_whole()

    def _front(self) -> int:
        spans = self._spans()
        return spans[0][1] if spans and spans[0][0] == 0 else 0

    def _finish(self, descriptor: int, sha256: str) -> Fetched:
        assert self._version is not None
        if self._stopped.is_set() and not self._is_whole():
            raise Cancelled
        if self._remote.sha256 and sha256 != self._remote.sha256.lower():
            self._partial.discard()
            raise WrongBytes(
                f"{self._remote.name} came with other bytes than its source announces.",
                cause=f"sha256 {sha256}, announced {self._remote.sha256}",
                remedy="It was not kept. Start again; if it happens again, the source or a proxy changes files.",
            )
        self._refuse_other_git_file()
        self._partial.finish(descriptor)
        return Fetched(
            path=self._partial.target,
            size=self._version.size,
            sha256=sha256,
            etag=self._version.tag,
            received=self.received,
        )

    def _refuse_other_git_file(self) -> None:
        announced = self._remote.git_sha1
        if announced and (came := git_sha1(self._partial.path)) != announced.lower():
            self._partial.discard()
            raise WrongBytes(
                f"{self._remote.name} came with other bytes than its source announces.",
                cause=f"git's hash is {came}, announced {announced}",
                remedy="It was not kept. Start again; if it happens again, the source or a proxy changes files.",
            )


def fetch(remote: RemoteFile, target: Path, *, limits: Limits | None = None) -> Fetched:
    """Fetch one file; see `Transfer.run`."""
    return Transfer(remote, target, limits=limits).run()


def _same(known: Version, now: Version) -> bool:
    return known.size == now.size and (known.tag == now.tag or not known.tag or not now.tag)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and joined[-1][1] >= begin:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def _write_all(descriptor: int, piece: bytes, at: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
