"""One file: what its server has of it and what is there already, then the fetching, the checks and its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.downloads.http import Http, Reply, Version
from core.downloads.one_go import OneGo
from core.downloads.partial import SMALL, Note, Partial, Span
from core.downloads.parts import Parts
from core.downloads.requests import Requests
from core.downloads.side_by_side import PIECE, SideBySide
from core.downloads.sink import Sink
from core.downloads.values import Cancelled as Cancelled  # noqa: PLC0414 - whoever runs a transfer has to catch it
from core.downloads.values import Fetched, Limits, RemoteFile
from core.errors import FileProblem, WrongBytes
from core.files import digest

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth

_LEAST_PART = 4 * PIECE  # no second connection for less; a reader is ahead of its writing by no more


class Transfer:
    """Fetches `remote` to `target`; `run` blocks, everything else may be called from other threads meanwhile.

    `http` may be shared, so that connections are used again. `finish` gives a whole file its name, now or later.
    """

    def __init__(
        self,
        remote: RemoteFile,
        target: Path,
        *,
        limits: Limits | None = None,
        bandwidth: Bandwidth | None = None,
        http: Http | None = None,
        finish: Callable[[Partial, int], None] = Partial.finish,
    ) -> None:
        self._remote = remote
        self._limits = limits or Limits()
        self._bandwidth = bandwidth
        self._partial = Partial(target)
        self._http = http or Http(self._limits)
        self._owns_http = http is None
        self._requests = Requests(remote, self._http, self._limits)
        self._finish = finish
        self._parts = Parts(0)
        self._large: SideBySide | None = None

    @property
    def received(self) -> int:
        """Bytes that came over the line this time."""
        return self._parts.received

    @property
    def done(self) -> int:
        """Bytes that are there, those of earlier attempts included."""
        return self._parts.have

    def cancel(self) -> None:
        """Stop soon; `run` raises `Cancelled`."""
        self._requests.stop()
        if self._large is not None:
            self._large.cancel()

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
            if not self._partial.is_begun:
                return self._fetched(None)
            return self._left_whole() or self._fetched(self._partial.read_note())
        finally:
            if self._owns_http:
                self._http.close()

    def _left_whole(self) -> Fetched | None:
        """A small file that came whole and did not get its name, because the program was killed."""
        size, path = self._remote.size, self._partial.path
        if size is None or size > SMALL or not (self._remote.sha256 or self._remote.git_sha1):
            return None
        if path.is_symlink() or path.stat().st_size != size:
            return None
        sha256 = digest.sha256(path)
        if self._difference(sha256):
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return self._placed(descriptor, sha256, tag="")
        finally:
            os.close(descriptor)

    # the first answer tells what there is

    def _fetched(self, note: Note | None) -> Fetched:
        known = note.version if note and (note.version.tag or self._remote.sha256) else None
        gaps = note.missing if note and known else [(0, 0)]
        if note and known and not gaps:
            return self._fetch(None, known, gaps, note)
        reply = self._requests.ask(gaps[0][0], gaps[0][1] or None, known)
        try:
            self._check_size(reply.version)
            if note and known and reply.start == gaps[0][0] and known.matches(reply.version):
                return self._fetch(reply, known, gaps, note)
            if self._partial.is_begun:
                self._partial.begin_anew()
            version = self._sized(reply.version)
            return self._fetch(reply, version, [(0, version.size)], Note(version=version, done=()))
        finally:
            self._requests.let_go(reply)

    def _check_size(self, version: Version) -> None:
        announced = self._remote.size
        if announced is not None and version.size >= 0 and version.size != announced:
            raise WrongBytes(
                f"{self._remote.name}: {announced:,} bytes are announced and the server has {version.size:,}.",
                remedy="The source may have changed just now: start again.",
            )

    def _sized(self, version: Version) -> Version:
        """With the announced size where the server does not tell one."""
        announced = self._remote.size
        return replace(version, size=announced) if version.size < 0 and announced is not None else version

    def _fetch(self, reply: Reply | None, version: Version, gaps: list[Span], note: Note) -> Fetched:
        parts = self._parts = Parts(max(version.size, 0), done=note.done, todo=gaps, least=_LEAST_PART, edge=PIECE)
        stopped = self._requests.stopped
        sink = Sink(self._partial, parts.size, stopped=stopped, bandwidth=self._bandwidth)
        try:
            if reply is not None and (version.size <= SMALL or not reply.ranges) and not parts.have:
                git = bool(self._remote.git_sha1)
                sha256, git_sha1 = OneGo(self._requests, sink, parts, version, git=git).run(reply)
            else:
                sha256, git_sha1 = self._in_parts(reply, version, sink, note), ""
            self._refuse_wrong(sha256, git_sha1)
            return self._placed(sink.descriptor, sha256, tag=version.tag)
        finally:
            sink.close()

    def _in_parts(self, reply: Reply | None, version: Version, sink: Sink, note: Note) -> str:
        large = SideBySide(
            self._requests,
            sink,
            self._parts,
            partial=self._partial,
            version=version,
            safe=note.safe,
            connections=self._limits.connections,
        )
        self._large = large
        if self._requests.stopped.is_set():
            large.cancel()
        try:
            return large.run(reply)
        except WrongBytes:
            self._partial.discard()
            raise

    # the end

    def _difference(self, sha256: str, git_sha1: str = "") -> str:
        """Between the part and what is announced; "" for none."""
        return self._remote.difference(sha256, lambda: git_sha1 or digest.git_sha1(self._partial.path))

    def _refuse_wrong(self, sha256: str, git_sha1: str) -> None:
        if cause := self._difference(sha256, git_sha1):
            self._partial.discard()
            raise WrongBytes(
                f"{self._remote.name} came with other bytes than its source announces.",
                cause=cause,
                remedy="It was not kept. Start again; if it happens again, the source or a proxy changes files.",
            )

    def _placed(self, descriptor: int, sha256: str, *, tag: str) -> Fetched:
        size = os.fstat(descriptor).st_size
        self._finish(self._partial, descriptor)
        return Fetched(path=self._partial.target, size=size, sha256=sha256, etag=tag, received=self.received)


def fetch(remote: RemoteFile, target: Path, *, limits: Limits | None = None) -> Fetched:
    """Fetch one file; see `Transfer.run`."""
    return Transfer(remote, target, limits=limits).run()
