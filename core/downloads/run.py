"""All files of one download job: several at once, those that are there already left alone."""

from __future__ import annotations

import hashlib
import shutil
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.downloads.partial import Partial, git_sha1, no_room
from core.downloads.placing import How, Placing
from core.downloads.sources import source_for
from core.downloads.transfer import Cancelled, Transfer
from core.downloads.values import Fetched, Limits
from core.errors import FileProblem

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.sources.base import Listing, Source, SourceFile

_PIECE = 4 << 20
_SPARE = 64 << 20  # bytes that stay free on the disk


class _Work(Protocol):
    """A file under way."""

    @property
    def done(self) -> int: ...
    @property
    def received(self) -> int: ...
    def cancel(self) -> None: ...
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
        files_at_once: int = 4,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._listing = listing
        self._folder = folder
        self._known = known  # the hashes of files that this job has put there, by path
        self._token = token
        self._how = how
        self._limits = limits or Limits()
        self._at_once = files_at_once
        self._bandwidth = bandwidth
        self._source: Source = source_for(listing.source)
        self._lock = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._finished: dict[str, FileDone] = {}
        self._stopped = False

    @property
    def bytes_done(self) -> int:
        """Of all files, those of earlier attempts included."""
        with self._lock:
            ended = sum(file.size for file in self._finished.values())
            return ended + sum(work.done for path, work in self._works.items() if path not in self._finished)

    @property
    def received(self) -> int:
        """Bytes that came this time: what a speed is made of."""
        with self._lock:
            return sum(work.received for work in self._works.values())

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
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="file") as pool:
            largest_first = sorted(self._listing.files, key=lambda file: -(file.size or 0))
            running = [pool.submit(self._file, file) for file in largest_first]
            ended, _ = wait(running, return_when=FIRST_EXCEPTION)
            failed = [one.exception() for one in ended if one.exception() is not None]
            if failed:
                self.cancel()
                for one in running:
                    one.cancel()
        if failed and failed[0] is not None:
            raise failed[0]
        return self.finished

    def _check_room(self) -> None:
        """Before the first byte (D12): what is still to come, with some room to spare."""
        self._folder.mkdir(parents=True, exist_ok=True)
        missing = sum(file.size or 0 for file in self._listing.files if not self._is_begun(file))
        if self._how is How.COPY and missing and shutil.disk_usage(self._folder).free < missing + _SPARE:
            raise no_room(self._folder / self._listing.title.replace("/", "-"), missing)

    def _is_begun(self, file: SourceFile) -> bool:
        """Its room on the disk is taken already."""
        target = self._folder / file.path
        return target.exists() or Partial(target).path.exists()

    def _file(self, file: SourceFile) -> None:
        target = self._folder / file.path
        self._refuse_detour(target)
        done = self._there(file, target) or self._fetched(file, target)
        with self._lock:
            self._finished[file.path] = done

    def _refuse_detour(self, target: Path) -> None:
        """No folder on the way may be a link: it could lead out of the models folder."""
        for parent in target.relative_to(self._folder).parents:
            if (self._folder / parent).is_symlink() and str(parent) != ".":
                raise FileProblem(f"{self._folder / parent} is a link.", remedy="Move it away.")

    def _there(self, file: SourceFile, target: Path) -> FileDone | None:
        """A file of the right size and hash is not fetched again."""
        if not target.exists():
            return None
        size, known = target.stat().st_size, self._known.get(file.path, "")
        sha256 = known or _sha256(target)
        wrong = (file.sha256 and sha256 != file.sha256) or (file.size is not None and size != file.size)
        wrong = wrong or bool(file.git_sha1 and git_sha1(target) != file.git_sha1)
        if wrong or not (file.sha256 or file.git_sha1 or known):
            raise FileProblem(
                f"There is another file {target} already.", remedy="Move it away; nothing of yours is overwritten."
            )
        return FileDone(path=file.path, size=size, sha256=sha256, received=0)

    def _fetched(self, file: SourceFile, target: Path) -> FileDone:
        work = self._work(file, target)
        with self._lock:
            if self._stopped:
                raise Cancelled
            self._works[file.path] = work
        fetched = work.run()
        return FileDone(path=file.path, size=fetched.size, sha256=fetched.sha256, received=fetched.received)

    def _work(self, file: SourceFile, target: Path) -> _Work:
        if file.url.startswith("file:"):
            return Placing(file.url, target, how=self._how)
        remote = replace(self._source.remote(self._listing, file, token=self._token), name=file.path)
        return Transfer(remote, target, limits=self._limits, bandwidth=self._bandwidth)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
