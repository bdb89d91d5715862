"""All files of one download job: several at once, those that are there already left alone."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.downloads.http import Http
from core.downloads.partial import SMALL, Partial
from core.downloads.placing import How, Placing
from core.downloads.room import check_room, make_folder, to_come
from core.downloads.settling import Settling
from core.downloads.sink import Sink
from core.downloads.small_files import Coming, SmallFiles
from core.downloads.sources import source_for
from core.downloads.transfer import Transfer
from core.downloads.values import Address, Cancelled, Fetched, Limits, RemoteFile
from core.errors import FileProblem
from core.files import digest

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.sources.base import Listing, Source, SourceFile

_SMALL_AT_ONCE = 4  # of those that do not come side by side


class _Work(Protocol):
    """A file under way."""

    @property
    def done(self) -> int: ...
    @property
    def received(self) -> int: ...
    def cancel(self) -> None: ...


class _Alone(_Work, Protocol):
    """One that has a thread of its own."""

    def run(self) -> Fetched: ...


@dataclass(frozen=True, kw_only=True)
class FileDone:
    """One file that is in its place; `received` bytes came over the line for it this time."""

    path: str
    size: int
    sha256: str
    received: int

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a job and in a folder's manifest."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


class DownloadRun:
    """Fetches a listing's files below `folder`; `run` blocks, the rest may be called from other threads."""

    def __init__(
        self,
        listing: Listing,
        folder: Path,
        *,
        known: dict[str, str],
        token: str = "",
        how: How = How.COPY,
        limits: Limits | None = None,
        files_at_once: int = 2,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._listing = listing
        self._folder = folder
        self._known = known  # the hashes of files that this job has put there, by path
        self._reading = ""
        self._token = token
        self._how = how
        self._limits = limits or Limits()
        self._at_once = files_at_once
        self._bandwidth = bandwidth
        self._source: Source = source_for(listing.source)
        self._http = Http(self._limits)
        self._settling = Settling(folder)
        self._lock = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._received = 0  # by files that are in their places
        self._finished: dict[str, FileDone] = {}
        self._straight: set[Path] = set()  # folders that no link leads to
        self._bytes_finished = 0
        self._stopped = False

    @property
    def bytes_done(self) -> int:
        """Of all files, those of earlier attempts included."""
        with self._lock:
            return self._bytes_finished + sum(work.done for work in self._works.values())

    @property
    def received(self) -> int:
        """Bytes that came this time: what a speed is made of."""
        with self._lock:
            return self._received + sum(work.received for work in self._works.values())

    @property
    def doing(self) -> str:
        """Why nothing comes now; "" when all is well."""
        if self._http.trouble:
            return f"waiting for the line: {self._http.trouble}"
        return f"reading {self._reading}, which is there already" if self._reading else ""

    @property
    def finished(self) -> list[FileDone]:
        """The files in their places, by path."""
        with self._lock:
            return sorted(self._finished.values(), key=lambda file: file.path)

    def cancel(self) -> None:
        """Stop soon; what has come is kept."""
        with self._lock:
            self._stopped = True
            works = list(self._works.values())
        for work in works:
            work.cancel()

    def run(self) -> list[FileDone]:
        """Fetch what is missing.

        Raises:
            DownloadFailed: the first file that failed. FileProblem: another file has the name. Cancelled.
        """
        self._check_room()
        with ExitStack() as stack:
            stack.callback(self._http.close)
            stack.callback(self._settling.settle)  # what is whole gets its name even if another file failed
            large = stack.enter_context(ThreadPoolExecutor(self._at_once, thread_name_prefix="file"))
            small = stack.enter_context(ThreadPoolExecutor(_SMALL_AT_ONCE, thread_name_prefix="small"))
            many = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="many"))
            largest_first = sorted(self._listing.files, key=lambda file: -(file.size or 0))
            side_by_side, alone = _parted(largest_first, self._comes_side_by_side)
            running = [many.submit(self._small_files(side_by_side, small).run)]
            running += [(small if _is_small(file) else large).submit(self._file, file) for file in alone]
            try:
                _wait(running)
            except BaseException:
                self.cancel()
                for one in running:
                    one.cancel()
                raise
        return self.finished

    def tidy(self) -> None:
        """Leave no claims beside the files: call it once what `run` gave is written down elsewhere."""
        for file in self._listing.files:
            Partial(self._folder / file.path).discard()

    def _check_room(self) -> None:
        """Before the first byte (D12): what is still to come, with some room to spare."""
        make_folder(self._folder)
        missing = to_come(self._folder, self._listing.files) if self._how is How.COPY else 0
        check_room(self._folder, self._listing.title, missing)

    def _comes_side_by_side(self, file: SourceFile) -> bool:
        target = self._folder / file.path
        return _settles(file) and not target.exists() and not Partial(target).is_begun

    def _small_files(self, files: list[SourceFile], others: ThreadPoolExecutor) -> SmallFiles:
        return SmallFiles(
            files,
            begin=self._begin,
            keep=self._keep,
            carefully=lambda file: others.submit(self._file, file),
            limits=self._limits,
            bandwidth=self._bandwidth,
        )

    def _begin(self, coming: Coming) -> Address:
        """Of a small file; it counts as under way."""
        self._refuse_detour(self._folder / coming.file.path)
        self._add(coming.file, coming)
        return self._remote(coming.file).address()

    def _keep(self, file: SourceFile, body: bytearray) -> bool:
        """A small file that came, if it is what is announced."""
        sha256 = hashlib.sha256(body).hexdigest()
        if self._remote(file).difference(sha256, lambda: digest.git_sha1_of(body)):
            return False
        partial = Partial(self._folder / file.path)
        partial.target.parent.mkdir(parents=True, exist_ok=True)
        sink = Sink(partial, len(body), stopped=threading.Event())
        try:
            os.ftruncate(sink.descriptor, 0)  # another program may have begun it meanwhile
            sink.write(memoryview(body), 0)
        finally:
            sink.close()
        self._settle(partial, FileDone(path=file.path, size=len(body), sha256=sha256, received=len(body)))
        return True

    def _file(self, file: SourceFile) -> None:
        target = self._folder / file.path
        self._refuse_detour(target)
        if (there := self._there(file, target)) is not None:
            self._note(there)
        else:
            self._fetch(file, target)

    def _note(self, done: FileDone) -> None:
        """It is in its place."""
        with self._lock:
            work = self._works.pop(done.path, None)
            self._received += work.received if work else 0
            self._finished[done.path] = done
            self._bytes_finished += done.size

    def _refuse_detour(self, target: Path) -> None:
        """No folder on the way may be a link: it could lead out of the models folder."""
        if target.parent in self._straight:
            return
        for parent in target.relative_to(self._folder).parents:
            if (self._folder / parent).is_symlink() and str(parent) != ".":
                raise FileProblem(f"{self._folder / parent} is a link.", remedy="Move it away.")
        self._straight.add(target.parent)

    def _there(self, file: SourceFile, target: Path) -> FileDone | None:
        """A file of the right size and hash is not fetched again."""
        if not target.exists():
            return None
        size, known = target.stat().st_size, self._known.get(file.path, "")
        sha256 = known or self._read(file, target)
        wrong = (file.sha256 and sha256 != file.sha256) or (file.size is not None and size != file.size)
        wrong = wrong or bool(file.git_sha1 and digest.git_sha1(target) != file.git_sha1)
        if wrong or not (file.sha256 or file.git_sha1 or known or Partial(target).is_claimed):
            raise FileProblem(
                f"There is another file {target} already.", remedy="Move it away; nothing of yours is overwritten."
            )
        if file.sha256 or file.git_sha1:
            Partial(target).discard()  # left by a program that was killed
        return FileDone(path=file.path, size=size, sha256=sha256, received=0)

    def _read(self, file: SourceFile, target: Path) -> str:
        self._reading = file.path
        try:
            return digest.sha256(target, each=self._heed)
        finally:
            self._reading = ""

    def _heed(self, piece: memoryview) -> None:
        del piece
        if self._stopped:
            raise Cancelled

    def _fetch(self, file: SourceFile, target: Path) -> None:
        work = self._work(file, target)
        self._add(file, work)
        fetched = work.run()
        done = FileDone(path=file.path, size=fetched.size, sha256=fetched.sha256, received=fetched.received)
        if _settles(file):
            self._settle(Partial(target), done)
        else:
            self._note(done)

    def _settle(self, partial: Partial, done: FileDone) -> None:
        self._settling.add(partial, lambda: self._note(done))

    def _add(self, file: SourceFile, work: _Work) -> None:
        with self._lock:
            if self._stopped:
                raise Cancelled
            before = self._works.get(file.path)
            self._received += before.received if before else 0
            self._works[file.path] = work

    def _remote(self, file: SourceFile) -> RemoteFile:
        return replace(self._source.remote(self._listing, file, token=self._token), name=file.path)

    def _work(self, file: SourceFile, target: Path) -> _Alone:
        if file.url.startswith("file:"):
            return Placing(file.url, target, how=self._how, sha256=file.sha256)
        return Transfer(
            self._remote(file),
            target,
            limits=self._limits,
            bandwidth=self._bandwidth,
            http=self._http,
            finish=_finish(file),
        )


def _wait(running: list[Future[None]]) -> None:
    """Until all are there; raises the error of the first that failed."""
    for one in wait(running, return_when=FIRST_EXCEPTION).done:
        one.result()


def _parted(files: list[SourceFile], wanted: Callable[[SourceFile], bool]) -> tuple[list[SourceFile], list[SourceFile]]:
    """Those that are wanted, and the others."""
    parted: tuple[list[SourceFile], list[SourceFile]] = ([], [])
    for file in files:
        parted[not wanted(file)].append(file)
    return parted


def _is_small(file: SourceFile) -> bool:
    return file.size is not None and file.size <= SMALL


def _settles(file: SourceFile) -> bool:
    """Whether it waits for its name; if the program is killed then, its hash tells that it is whole."""
    return _is_small(file) and bool(file.sha256 or file.git_sha1) and not file.url.startswith("file:")


def _finish(file: SourceFile) -> Callable[[Partial, int], None]:
    if _settles(file):
        return lambda partial, descriptor: None
    return Partial.finish if file.sha256 or file.git_sha1 else Partial.finish_claimed
