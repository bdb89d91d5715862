"""A file that is not whole yet: beside its place, with a note of what has come and of which content it is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.downloads.http import Version
from core.errors import DiskFull, FileProblem

_NOTE_LIMIT = 1 << 20
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What came of which content: [start, end) pairs in order, apart from each other."""

    version: Version
    done: tuple[Span, ...]

    @property
    def missing(self) -> list[Span]:
        """The gaps, in order."""
        edges = [0, *(edge for span in self.done for edge in span), self.version.size]
        return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


class Partial:
    """The hidden neighbours of `target`: `.NAME.part` and `.NAME.part.json`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self._note = target.with_name(f".{target.name}.part.json")

    def read_note(self) -> Note | None:
        """What an earlier attempt left; None when there is nothing that can be trusted."""
        try:
            with self._note.open("rb") as file:
                note = _parsed(json.loads(file.read(_NOTE_LIMIT)))
            return note if self.path.stat().st_size == note.version.size else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def open(self, size: int) -> int:
        """A descriptor of the part, of its full size with its room on the disk taken.

        Raises:
            DiskFull: there is no room.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            if size > 0 and os.fstat(descriptor).st_size != size:
                os.ftruncate(descriptor, 0)
                _take_room(descriptor, size)
        except BaseException as error:
            os.close(descriptor)
            self.path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise no_room(self.target, size) from error
            raise
        return descriptor

    def write_note(self, note: Note, descriptor: int) -> None:
        """Keep what has come: the bytes are on the disk before the note that tells of them."""
        os.fdatasync(descriptor)
        fresh = self._note.with_suffix(".new")
        content = {"size": note.version.size, "tag": note.version.tag, "done": [list(span) for span in note.done]}
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self._note)

    def finish(self, descriptor: int) -> None:
        """Give the file its name, which nobody else took meanwhile.

        Raises:
            FileProblem: there is a file of that name.
        """
        os.fsync(descriptor)
        try:
            os.link(self.path, self.target)
        except FileExistsError as error:
            raise FileProblem(
                f"There is a file {self.target} already.", remedy="Move it away, or verify it: nothing was overwritten."
            ) from error
        except OSError:  # a file system without links
            _rename_without_replacing(self.path, self.target)
        self.discard()
        folder = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)

    def discard(self) -> None:
        """Remove the part and its note."""
        for path in (self._note, self.path, self._note.with_suffix(".new")):
            path.unlink(missing_ok=True)


def git_sha1(path: Path) -> str:
    """The hash by which git knows a file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def no_room(target: Path, size: int) -> DiskFull:
    """The error for a disk without room for `size` bytes."""
    stats = os.statvfs(target.parent)
    free = stats.f_bavail * stats.f_frsize
    return DiskFull(
        f"{target.name} needs {size:,} bytes and {free:,} are free in {target.parent}.",
        remedy="Free some room, or choose another models folder; what has come is kept.",
    )


def _take_room(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        os.ftruncate(descriptor, size)


def _rename_without_replacing(source: Path, target: Path) -> None:
    if target.exists():
        raise FileProblem(f"There is a file {target} already.", remedy="Move it away: nothing was overwritten.")
    source.rename(target)


def _parsed(content: dict[str, Any]) -> Note:
    version = Version(size=int(content["size"]), tag=str(content["tag"]))
    done = tuple((int(start), int(end)) for start, end in content["done"])
    edges = [edge for span in done for edge in span]
    if edges != sorted(edges) or (edges and not 0 <= edges[0] <= edges[-1] <= version.size):
        raise ValueError("spans out of order")
    return Note(version=version, done=done)
