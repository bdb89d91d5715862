"""A local file put into the models folder: copied in one piece with its hash, or linked or moved."""

from __future__ import annotations

import fcntl
import os
import threading
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.downloads.partial import Partial, keep_names
from core.downloads.sink import Sink
from core.downloads.values import Cancelled, Fetched
from core.errors import FileProblem, WrongBytes
from core.files import digest

_FICLONE = 0x40049409  # of linux/fs.h


class How(StrEnum):
    """What happens with the original: nothing, nothing (one file under two names), or it goes."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


class Placing:
    """Puts one file in its place; `run` blocks.

    The original of a move goes only when the copy was hashed and is on the disk. A claim stays beside the file.
    """

    def __init__(self, url: str, target: Path, *, how: How, sha256: str = "") -> None:
        self._source = Path(unquote(urlsplit(url).path))
        self._partial = Partial(target)
        self._target = target
        self._how = how
        self._expected = sha256  # "" where nothing tells it; the original of a move is taken as it is
        self._stopped = threading.Event()
        self._done = 0

    @property
    def done(self) -> int:
        """Bytes copied or hashed so far."""
        return self._done

    @property
    def received(self) -> int:
        """The same: nothing comes over a line."""
        return self._done

    def cancel(self) -> None:
        """Stop soon; `run` raises `Cancelled` and leaves the original as it was."""
        self._stopped.set()

    def run(self) -> Fetched:
        """Raises:
        FileProblem: there is a file of that name, or the original is gone. DiskFull. Cancelled: somebody asked.
        """
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if self._target.exists():
            raise FileProblem(f"There is a file {self._target} already.", remedy="Verify or move it.")
        if self._how is not How.COPY and self._linked():
            sha256 = digest.sha256(self._target, each=self._advance)
            if self._how is How.LINK:
                self._refuse_other(sha256, linked=True)
            return Fetched(path=self._target, size=self.done, sha256=sha256, etag="", received=0)
        fetched = self._copied()
        if self._how is How.MOVE:
            self._source.unlink()
        return fetched

    def _linked(self) -> bool:
        """On one file system a link is enough, and a move is one as well."""
        self._partial.claim(self._source.stat())
        try:
            os.link(self._source, self._target)
        except OSError as error:
            if self._how is How.LINK:
                self._partial.discard()
                raise FileProblem(
                    f"{self._source} can't be linked to {self._target}.",
                    cause=str(error),
                    remedy="Both have to be on one file system; copy it instead.",
                ) from error
            return False
        if self._how is How.MOVE:
            keep_names(self._target.parent)
            self._source.unlink()
        return True

    def _copied(self) -> Fetched:
        before = self._source.stat()
        self._partial.begin_anew()
        sink = Sink(self._partial, before.st_size, stopped=self._stopped)
        try:
            if self._cloned(sink):
                sha256 = digest.sha256(self._partial.path, each=self._advance)
            else:
                sha256 = digest.sha256(self._source, each=lambda piece: self._write(sink, piece))
            self._refuse_changed(before)
            self._refuse_other(sha256)
            self._partial.finish_claimed(sink.descriptor)
        except BaseException:
            self._partial.discard()
            raise
        finally:
            sink.close()
        return Fetched(path=self._target, size=self.done, sha256=sha256, etag="", received=self.done)

    def _cloned(self, sink: Sink) -> bool:
        """Some file systems (XFS, Btrfs) let two files share their blocks: a copy at once, that takes no room."""
        try:
            with self._source.open("rb") as file:
                fcntl.ioctl(sink.descriptor, _FICLONE, file.fileno())
        except OSError:
            return False
        return True

    def _write(self, sink: Sink, piece: memoryview) -> None:
        sink.write(piece, self.done)
        self._advance(piece)

    def _refuse_changed(self, before: os.stat_result) -> None:
        after = self._source.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise WrongBytes(f"{self._source} changed while it was copied.", remedy="Start again.")

    def _refuse_other(self, sha256: str, *, linked: bool = False) -> None:
        """Against what came with the original; a link to it goes again."""
        if not self._expected or sha256 == self._expected:
            return
        if linked:
            self._target.unlink()
        raise WrongBytes(
            f"{self._source} is damaged.",
            cause="The installed-models.json that it came with tells another SHA-256.",
            remedy="Copy it to its disk again.",
        )

    def _advance(self, piece: memoryview) -> None:
        if self._stopped.is_set():
            raise Cancelled
        self._done += len(piece)
