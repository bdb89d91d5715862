"""A file that is not whole yet: beside its place, with a note of what has come and of which content it is."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core import text
from core.downloads.http import Version
from core.errors import DiskFull, FileProblem

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors of a disk, or a user's share of it, that is full
SMALL = 4 << 20  # bytes of a file that comes in one go, without notes and without taking its room first
_NOTE_LIMIT = 1 << 20
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Note:
    """What came of which content: [start, end) pairs in order, apart from each other.

    `safe` is what is on the disk by now, and outlives a machine that loses its power; `done` a program that is killed.
    """

    version: Version
    done: tuple[Span, ...]
    safe: tuple[Span, ...] = ()

    @property
    def missing(self) -> list[Span]:
        """The gaps, in order."""
        edges = [0, *(edge for span in self.done for edge in span), self.version.size]
        return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]


def part_of(name: str) -> str:
    """What a file is called while it comes."""
    return f".{name}.part"


class Partial:
    """The hidden neighbours of `target`: `.NAME.part` and `.NAME.part.json`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(part_of(target.name))
        self._note = target.with_name(f"{part_of(target.name)}.json")

    def read_note(self) -> Note | None:
        """What an earlier attempt left; None when there is nothing that can be trusted."""
        try:
            note = _parsed(self._content())
            return note if note.done and self.path.stat().st_size == note.version.size else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _content(self) -> dict[str, Any]:
        with self._note.open("rb") as file:
            return dict(json.loads(file.read(_NOTE_LIMIT)))

    @property
    def is_known(self) -> bool:
        """Whether a note or claim of ours stands beside it, and is of it: the name alone may be anybody's."""
        try:
            content = self._content()
            if "claim" in content:
                return len(content["claim"]) == 3 and all(isinstance(part, int) for part in content["claim"])
            size = _parsed(content).version.size
            return not self.is_begun or self.path.lstat().st_size == size
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody writes it; nobody can meanwhile."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            yield error.errno == errno.ENOENT
            return
        try:
            yield _locked(descriptor)
        finally:
            os.close(descriptor)

    def open(self, size: int) -> int:
        """A descriptor of the part; a large one has its full size, with its room on the disk taken.

        Raises:
            DiskFull: there is no room. FileProblem: another download is writing it.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        self._take(descriptor)
        if os.fstat(descriptor).st_nlink == 0:  # it was tidied up just now
            os.close(descriptor)
            return self.open(size)
        try:
            if size > SMALL and os.fstat(descriptor).st_size != size:
                os.ftruncate(descriptor, 0)
                self.write_note(Note(version=Version(size=size, tag=""), done=()))  # so that it is known for ours
                _take_room(descriptor, size)
        except BaseException as error:
            os.close(descriptor)
            self.discard()
            if isinstance(error, OSError) and error.errno in FULL:
                raise no_room(self.target, size) from error
            raise
        return descriptor

    def begin_anew(self) -> None:
        """Drop what is there of another content, or of an attempt that can't be gone on with.

        Raises:
            FileProblem: another download is writing it.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # nothing, or nothing that a download writes
            self.discard()
            return
        self._take(descriptor)
        self.discard()
        os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        """Two that write one file would make a wrong one of it; the kernel lets go when the descriptor is closed."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise FileProblem(
                f"Another download is writing {self.target}.", remedy="Try again when it is over: what came is used."
            ) from error
        except OSError:  # a file system without locks
            return

    def write_note(self, note: Note) -> None:
        """Keep what has come; on a full disk the note before stays, which is true as well."""
        content = {"size": note.version.size, "tag": note.version.tag, "done": note.done, "safe": note.safe}
        try:
            self._write({**content, "boot": _boot()})
        except OSError as error:
            if error.errno not in FULL:
                raise

    def claim(self, status: os.stat_result) -> None:
        """Note which file is about to get the name, so that it is known for ours if the program is killed then."""
        self._write({"claim": _identity(status)})

    @property
    def is_begun(self) -> bool:
        """Whether anything is there of it."""
        return os.path.lexists(self.path)

    @property
    def is_claimed(self) -> bool:
        """Whether the file that has the name is the one that was to get it."""
        try:
            return bool(self._content()["claim"] == _identity(self.target.stat()))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def finish(self, descriptor: int) -> None:
        """Bring the file to the disk, then give it its name.

        Raises:
            FileProblem: there is a file of that name.
        """
        os.fsync(descriptor)
        self.place()
        self.discard()
        keep_names(self.target.parent)

    def finish_claimed(self, descriptor: int) -> None:
        """The same, with a claim that stays: for a file whose hash nobody announces.

        Raises:
            FileProblem: there is a file of that name.
        """
        os.fsync(descriptor)
        self.claim(os.fstat(descriptor))
        self.place()
        keep_names(self.target.parent)

    def place(self) -> None:
        """Give the file its name, which nobody else took meanwhile; its bytes are on the disk already.

        Raises:
            FileProblem: there is a file of that name.
        """
        try:
            os.link(self.path, self.target)
        except FileExistsError as error:
            raise FileProblem(
                f"There is a file {self.target} already.", remedy="Move it away, or verify it: nothing was overwritten."
            ) from error
        except OSError:  # a file system without links
            _rename_without_replacing(self.path, self.target)
        self.path.unlink(missing_ok=True)

    def _write(self, content: dict[str, Any]) -> None:
        fresh = self._note.with_suffix(".new")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self._note)

    def discard(self) -> None:
        """Remove the part and its note or claim."""
        for path in (self._note, self.path, self._note.with_suffix(".new")):
            path.unlink(missing_ok=True)


def _locked(descriptor: int) -> bool:
    """False where another has it, and where it can't be told."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def keep_names(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_room(target: Path, size: int) -> DiskFull:
    """The error for a disk without room for `size` bytes."""
    stats = os.statvfs(target.parent)
    free = stats.f_bavail * stats.f_frsize
    return DiskFull(
        f"{target.name} needs {text.size(size)} and {text.size(free)} are free in {target.parent}.",
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
    """What was only with the kernel counts until the machine starts anew."""
    version = Version(size=int(content["size"]), tag=str(content["tag"]))
    safe = _spans(content["safe"], version.size)
    is_same_boot = content["boot"] == _boot() != ""
    return Note(version=version, done=_spans(content["done"], version.size) if is_same_boot else safe, safe=safe)


def _spans(told: list[list[Any]], size: int) -> tuple[Span, ...]:
    spans = tuple((int(start), int(end)) for start, end in told)
    edges = [edge for span in spans for edge in span]
    if edges != sorted(edges) or (edges and not 0 <= edges[0] <= edges[-1] <= size):
        raise ValueError("spans out of order")
    return spans


@cache
def _boot() -> str:
    """Which start of the machine this is; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
