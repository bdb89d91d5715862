"""A local file put into the models folder: copied in one piece with its hash, or linked or moved."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.downloads.http import Version
from core.downloads.partial import Partial, no_room
from core.downloads.transfer import Cancelled
from core.downloads.values import Fetched
from core.errors import FileProblem, WrongBytes

_PIECE = 4 << 20


class How(StrEnum):
    """What happens with the original: nothing, nothing (one file under two names), or it goes."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


class Placing:
    """Puts one file in its place; `run` blocks.

    The original of a move goes only when the copy was hashed and is on the disk.
    """

    def __init__(self, url: str, target: Path, *, how: How) -> None:
        self._source = Path(unquote(urlsplit(url).path))
        self._target = target
        self._how = how
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
            return self._hashed(self._target)
        fetched = self._copied()
        if self._how is How.MOVE:
            self._source.unlink()
        return fetched

    def _linked(self) -> bool:
        """On one file system a link is enough, and a move is one as well."""
        try:
            os.link(self._source, self._target)
        except OSError as error:
            if self._how is How.LINK:
                raise FileProblem(
                    f"{self._source} can't be linked to {self._target}.",
                    cause=str(error),
                    remedy="Both have to be on one file system; copy it instead.",
                ) from error
            return False
        if self._how is How.MOVE:
            self._source.unlink()
        return True

    def _hashed(self, path: Path) -> Fetched:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                self._advance(len(piece))
        return Fetched(path=path, size=self.done, sha256=digest.hexdigest(), etag="", received=0)

    def _copied(self) -> Fetched:
        partial, digest = Partial(self._target), hashlib.sha256()
        before = self._source.stat()
        partial.discard()
        descriptor = partial.open(before.st_size)
        try:
            with self._source.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    os.pwrite(descriptor, piece, self.done)
                    self._advance(len(piece))
            self._refuse_changed(before)
            partial.finish(descriptor)
        except OSError as error:
            partial.discard()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise no_room(self._target, before.st_size) from error
            raise
        except BaseException:
            partial.discard()
            raise
        finally:
            os.close(descriptor)
        version = Version(size=self.done, tag="")
        return Fetched(path=self._target, size=version.size, sha256=digest.hexdigest(), etag="", received=self.done)

    def _refuse_changed(self, before: os.stat_result) -> None:
        after = self._source.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise WrongBytes(f"{self._source} changed while it was copied.", remedy="Start again.")

    def _advance(self, count: int) -> None:
        if self._stopped.is_set():
            raise Cancelled
        self._done += count
