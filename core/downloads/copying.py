"""One host's part of a copy: looks first, sends what is missing, waits for a broken line, and lets the host hash."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.downloads import copying_few as few
from core.downloads.copy_events import CopyProgress
from core.downloads.hashes import Hashes, noticed
from core.downloads.outgoing import OutgoingFile
from core.downloads.room import no_room_there
from core.errors import CommandFailed, DiskFull, FileProblem, HostSilent, ModelyardError, NotAllowed, WrongBytes
from core.hosts.sending import Part
from core.hosts.ssh import SshConnection
from core.hosts.stream_copy import BLOCK, Place, Seen, hash_there, look, seal, write_argv
from core.text import clean_line

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth

PATIENCE_S = 300.0  # with a line that broke
_RETRY_S = 2.0
_KINDS = {"f": "file", "d": "folder", "l": "link to nowhere", "o": "device or socket"}
_FULL = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A file, its place on the host, and what is there already."""

    file: OutgoingFile
    place: Place
    there: Seen
    hidden: Seen

    @property
    def kept(self) -> int:
        """Bytes that an earlier copy left, as far as this one can use them."""
        return self.hidden.size if self.hidden.size <= self.file.size else 0

    @property
    def may_be_there(self) -> bool:
        """Whether a file of the right size has the name."""
        return self.there.kind == "f" and self.there.size == self.file.size

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to send."""
        return self.hidden.kind == "f" and self.hidden.size == self.file.size


class HostCopy:
    """The copy of `files` into a host's models folder; `run` tells how it goes and raises what ends it.

    With `replace` a file that is there and another one is replaced, once the right one was seen to be right.
    """

    def __init__(
        self,
        files: Sequence[OutgoingFile],
        connection: SshConnection,
        folder: str,
        *,
        hashes: Hashes,
        replace: bool = False,
        patience_s: float = PATIENCE_S,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._files = files
        self._total = sum(file.size for file in files)
        self._connection = connection
        self._folder = folder
        self._hashes = hashes
        self._replace = replace
        self._patience_s = patience_s
        self._bandwidth = bandwidth
        self._finished: dict[str, int] = {}
        self.hashes: dict[str, str] = {}  # of the files that are there and right, by place
        self._sent = 0
        self._met: float | None = None  # when the host was heard of last
        self._reached = 0  # bytes of the file under way

    @property
    def host(self) -> str:
        """The host's name."""
        return self._connection.name

    @property
    def sent(self) -> int:
        """Bytes that went over the line."""
        return self._sent

    async def run(self) -> AsyncGenerator[CopyProgress, None]:
        """A line that breaks is waited for; nothing that is there is sent again.

        Raises:
            ModelyardError: why it ended; the same copy started again goes on from there.
        """
        while True:
            try:
                async with aclosing(self._once()) as reports:
                    async for report in reports:
                        yield report
            except HostSilent as error:
                if self._met is None or _clock() - self._met > self._patience_s:
                    raise
                yield self._told("waiting", f"waiting for the line: {error.message}", self._reached)
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def _once(self) -> AsyncGenerator[CopyProgress, None]:
        yield self._told("checking", "looking at what is there", self._reached)
        items = await self._look()
        self._met = _clock()
        await self._check_room(items)
        most = few.most_bytes(few.SMALL, self._bandwidth)
        async with aclosing(self._small([item for item in items if item.file.size < most])) as reports:
            async for report in reports:
                yield report
        for item in items:
            if item.file.place in self._finished:
                continue
            item.file.refuse_changed()
            async with aclosing(self._present(item) if item.may_be_there else self._bring(item)) as reports:
                async for report in reports:
                    yield report
            self._finished[item.file.place] = item.file.size
            self._reached = 0

    async def _small(self, items: Sequence[_Item]) -> AsyncGenerator[CopyProgress, None]:
        """What is simple about small files: those that are there and right, and those of which nothing is there."""
        connection, folder = self._connection, self._folder
        there = [item.file for item in items if item.may_be_there]
        for batch in few.batches(there):
            yield self._told("verifying", f"reading {len(batch)} small files, which are there already", 0)
            self._take(batch, await few.same(connection, folder, batch, self._hashes))
        new = {item.file: item for item in items if item.there.kind == "-" and item.hidden.kind == "-"}
        for batch in few.batches(list(new), self._bandwidth):
            yield self._told("sending", f"sending {len(batch)} small files", 0)
            try:
                self._take(batch, await few.give(connection, folder, batch, self._hashes, self._bandwidth))
            except CommandFailed as error:
                raise self._explained(error, new[batch[0]]) from error
            self._sent += sum(file.size for file in batch)

    def _take(self, batch: Sequence[OutgoingFile], right: dict[str, str]) -> None:
        self._met = _clock()
        self.hashes |= right
        self._finished |= {file.place: file.size for file in batch if file.place in right}

    async def _look(self) -> list[_Item]:
        files = [file for file in self._files if file.place not in self._finished]
        places = [_place(self._folder, file) for file in files]
        seen = await look(self._connection, [path for place in places for path in (place.target, place.hidden)])
        pairs = zip(files, places, seen[::2], seen[1::2], strict=True)
        items = [_Item(file=file, place=place, there=there, hidden=hidden) for file, place, there, hidden in pairs]
        for item in items:
            if item.there.kind != "-" and not item.may_be_there and not (self._replace and item.there.kind == "f"):
                raise self._taken(item, f"A {_KINDS[item.there.kind]} of {item.there.size:,} bytes.")
        return items

    async def _check_room(self, items: list[_Item]) -> None:
        needed = sum(item.file.size - item.kept for item in items if not item.may_be_there)
        disk = await self._connection.disk(self._folder)
        if needed > disk.free:
            raise no_room_there(self.host, self._folder, needed, disk.free)

    async def _present(self, item: _Item) -> AsyncGenerator[CopyProgress, None]:
        """A file of this name and size is there: is it the same?"""
        found, name = "", clean_line(item.file.path.name)
        async with aclosing(hash_there(self._connection, item.place.target)) as reports:
            async for report in reports:
                if isinstance(report, str):
                    found = report
                else:
                    yield self._told("verifying", f"reading {name}, which is there already", report)
        if found == await self._hashes.expected(item.file):
            self.hashes[item.file.place] = found
            return
        await self._hashes.reread(item.file)
        if not self._replace:
            raise self._taken(item, "It has the same size and another content.")
        async with aclosing(self._bring(item)) as brought:
            async for told in brought:
                yield told

    async def _bring(self, item: _Item) -> AsyncGenerator[CopyProgress, None]:
        """Send what is missing and let it be hashed; what an earlier copy left and is damaged is sent again."""
        hashing = asyncio.ensure_future(self._hashes.expected(item.file))
        hashing.add_done_callback(noticed)
        try:
            if not item.is_whole:
                async with aclosing(self._send(item, item.kept // BLOCK * BLOCK)) as reports:
                    async for report in reports:
                        yield report
            yield self._told("verifying", f"verifying {clean_line(item.file.path.name)}", item.file.size)
            sha256 = await hashing
        finally:
            hashing.cancel()
        is_new = not item.is_whole and item.kept < BLOCK
        try:
            async with aclosing(self._seal(item, sha256, hashed=is_new)) as reports:
                async for report in reports:
                    yield report
        except WrongBytes:
            await self._hashes.reread(item.file)
            if not item.kept:
                raise
        else:
            self.hashes[item.file.place] = sha256
            return
        fresh = replace(item, hidden=Seen(kind="-", size=0))
        async with aclosing(self._bring(fresh)) as reports:
            async for report in reports:
                yield report

    async def _send(self, item: _Item, offset: int) -> AsyncGenerator[CopyProgress, None]:
        before, name = self._sent, clean_line(item.file.path.name)
        part = Part(path=item.file.path, offset=offset, length=item.file.size - offset)
        argv = write_argv(item.place, offset=offset, size=item.file.size)
        sending = self._connection.send(argv, part, pool=self._hashes.pool, pace=self._bandwidth)
        try:
            async with aclosing(sending) as reports:
                async for given in reports:
                    if before + given > self._sent:
                        self._met = _clock()
                    self._sent = before + given
                    yield self._told("sending", f"sending {name}", offset + given)
        except CommandFailed as error:
            raise self._explained(error, item) from error
        except OSError as error:
            raise FileProblem(f"{clean_line(str(item.file.path))} can't be read.", cause=str(error)) from error
        item.file.refuse_changed()

    async def _seal(self, item: _Item, sha256: str, *, hashed: bool) -> AsyncGenerator[CopyProgress, None]:
        name = clean_line(item.file.path.name)
        sealing = seal(self._connection, item.place, sha256, replace=self._replace, hashed=hashed)
        async with aclosing(sealing) as reports:
            async for read in reports:
                self._met = _clock()
                share = f"{100 * read // item.file.size} %" if item.file.size else ""
                yield self._told("verifying", f"verifying {name}: {share}", item.file.size)

    def _told(self, state: str, text: str, done: int) -> CopyProgress:
        """`done` is of the file under way."""
        self._reached = done
        total, in_place = self._total, sum(self._finished.values()) + done
        return CopyProgress(
            task=f"copy {self.host}",
            text=f"{self.host}: {text}",
            done=min(in_place, total),
            total=total,
            unit="bytes",
            host=self.host,
            state=state,
            sent=self._sent,
        )

    def _taken(self, item: _Item, cause: str) -> NotAllowed:
        return NotAllowed(
            f"{self.host}: there is another {clean_line(item.place.target)} already; it is left as it is.",
            cause=cause,
            remedy="Move it away there, or copy into another folder: --folder FOLDER",
        )

    def _explained(self, error: CommandFailed, item: _Item) -> ModelyardError:
        if any(word in error.cause for word in _FULL):
            return DiskFull(
                f"{self.host}: the disk is full; {clean_line(item.place.target)} is not complete.",
                cause=error.cause,
                remedy="Free some room there; the same copy then goes on where it stopped.",
            )
        folder = clean_line(posixpath.dirname(item.place.target))
        return CommandFailed(
            f"{self.host}: {clean_line(item.place.target)} can't be written.",
            cause=error.cause,
            remedy=f"See who may write there: ls -ld {folder}",
        )


def _place(folder: str, file: OutgoingFile) -> Place:
    return Place.of(posixpath.join(folder, file.place), size=file.size, mtime_ns=file.mtime_ns)


def _clock() -> float:
    return asyncio.get_running_loop().time()
