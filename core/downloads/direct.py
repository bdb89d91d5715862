"""A host that downloads by itself (D4): what it is given, and what it tells while we watch."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from core.downloads.direct_few import batches
from core.downloads.direct_script import LAUNCH, NO_CURL, NOT_OURS, REACH, RUN
from core.downloads.room import no_room_there
from core.errors import (
    CommandFailed,
    DiskFull,
    DownloadDenied,
    FileProblem,
    ModelyardError,
    NotAllowed,
    SourceGone,
    SourceLost,
    WrongBytes,
)
from core.hosts import remote
from core.text import clean_line, said_line

if TYPE_CHECKING:
    from core.downloads.sources.base import Listing, SourceFile
    from core.hosts.connection import Completed, Connection

_LANES = 4  # files at once, and half of the batches of small ones
_FOLDER = ".modelyard-direct"
_LAUNCH_S = 120.0
_URL_KEEPS = "%/:=&?~#+!$,;'@()*[]"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a host is to fetch: into `folder` below its models folder `root`; `state` is the job's folder there."""

    root: str
    folder: str
    state: str
    files: Sequence[SourceFile]
    batches: Sequence[int | None]  # of each file; None: it goes alone
    known: Mapping[str, str]  # the hashes of files that this job has put there, by path
    replace: bool = False

    @classmethod
    def of(
        cls,
        job_id: str,
        root: str,
        folder: str,
        listing: Listing,
        *,
        known: Mapping[str, str],
        replace: bool = False,
    ) -> Task:
        """The largest files first."""
        files = sorted(listing.files, key=lambda file: -(file.size or 0))
        state = posixpath.join(root, _FOLDER, job_id)
        batched = batches(files, [known.get(file.path, "") for file in files], 2 * _LANES)
        return cls(root=root, folder=folder, state=state, files=files, batches=batched, known=known, replace=replace)

    def launch_argv(self, bytes_per_s: int) -> list[str]:
        """Start it there, unless it goes on already, with a limit on bytes per second; 0: none."""
        replace = "replace" if self.replace else ""
        return remote.script(LAUNCH, self.state, self.folder, str(_LANES), replace, RUN, str(bytes_per_s))

    def stdin(self, token: str) -> bytes:
        """The token's line, then a line for each file."""
        lines = map(self._line, self.batches, self.files)
        return "".join([f"{token}\n", *lines]).encode()

    def _line(self, batch: int | None, file: SourceFile) -> str:
        size = "-" if file.size is None else str(file.size)
        sha256 = file.sha256 or self.known.get(file.path, "") or "-"
        place = (self.part_name(file), quote(file.url, safe=_URL_KEEPS), file.path)
        words = ("-" if batch is None else str(batch), size, sha256, file.git_sha1 or "-", *place)
        return "\t".join(words) + "\n"

    def part_name(self, file: SourceFile) -> str:
        """The hidden name of what has come so far: of this version of the file alone."""
        version = f"{file.size} {file.sha256} {file.git_sha1} {file.url}"
        return f".modelyard-{_short(posixpath.basename(file.path))}-{_short(version)}.part"

    def places(self, file: SourceFile) -> tuple[str, str]:
        """Where the file goes there, and its hidden name until it is right."""
        target = posixpath.join(self.folder, file.path)
        return target, posixpath.join(posixpath.dirname(target), self.part_name(file))


@dataclass(kw_only=True)
class Seen:
    """What a host told so far of a task; files by their number in it."""

    under_way: int = 0  # bytes of files that are not whole yet
    done: dict[int, tuple[int, str]] = field(default_factory=dict)  # bytes and SHA-256
    verifying: set[int] = field(default_factory=set)
    waits: str = ""
    failed: tuple[int, str, str] | None = None  # file, kind, why
    end: str = ""

    def take(self, line: str) -> None:
        """One line of its log; what is none of ours is nothing."""
        kind, _, rest = line.partition(" ")
        words = rest.split(" ")
        try:
            self._take(kind, words, rest)
        except (ValueError, IndexError):
            return

    def _take(self, kind: str, words: Sequence[str], rest: str) -> None:
        if kind == "b":
            self.under_way = int(words[0])
        elif kind == "v":
            self.verifying.add(int(words[0]))
        elif kind == "d":
            self.done[int(words[0])] = int(words[1]), words[2]
            self.verifying.discard(int(words[0]))
            self.waits = ""
        elif kind == "w":
            self.waits = said_line(rest.partition(" ")[2], 200)
        elif kind == "x":
            self.failed = int(words[0]), words[1], said_line(" ".join(words[2:]))
        elif kind == "end":
            self.end = words[0]

    @property
    def bytes_done(self) -> int:
        """Of all files."""
        return sum(size for size, _ in self.done.values()) + self.under_way


async def refuse_unable(connection: Connection, root: str, listing: Listing) -> None:
    """See that the host can do it: it has curl and a way to the source, and room.

    Raises:
        CommandFailed: it can't. NotAllowed: the files are of this machine. DiskFull. HostUnreachable.
    """
    name, url = connection.name, listing.files[0].url
    if not url.startswith(("https://", "http://")):
        raise NotAllowed(
            f"{name} can't fetch files of this machine by itself.", remedy=f"modelyard hosts copy PATH --to {name}"
        )
    told = f'url = "{quote(url, safe=_URL_KEEPS)}"\n'.encode()
    reached = await connection.run(remote.script(REACH), stdin=told, timeout_s=60, check=False)
    if reached.code == NO_CURL:
        raise no_curl(name)
    if reached.code != 0:
        raise no_route(name, url, reached.stderr)
    disk = await connection.disk(root)
    if disk.free < (listing.size or 0):
        raise no_room_there(name, root, listing.size or 0, disk.free)


def no_curl(host: str) -> CommandFailed:
    """Nothing there can fetch."""
    return CommandFailed(
        f"{host} has no curl, and so can't download by itself.",
        cause="It is not installed there, or not in the PATH of commands over SSH.",
        remedy=f"Install it there (sudo apt install curl), or send the files from here: modelyard hosts copy MODEL "
        f"--to {host}",
    )


def no_route(host: str, url: str, cause: str) -> CommandFailed:
    """It is cut off from where the files are."""
    return CommandFailed(
        f"{host} does not get to {urlsplit(url).hostname} by itself.",
        cause=said_line(cause),
        remedy=f"Download to this machine and send it from here: modelyard hosts copy MODEL --to {host}. "
        "If it has to go through a proxy, set HTTPS_PROXY for commands over SSH there.",
    )


def launch_problem(host: str, done: Completed, state: str) -> ModelyardError:
    """Why a download could not be started there."""
    if done.code == NO_CURL:
        return no_curl(host)
    if done.code == NOT_OURS:
        return NotAllowed(f"{host}: {clean_line(state)} is somebody else's.", remedy="Remove it there, and try again.")
    return CommandFailed(
        f"{host}: the download can't be started there.",
        cause=said_line(done.stderr),
        remedy=f"See who may write there: ls -ld {clean_line(posixpath.dirname(posixpath.dirname(state)))}",
    )


_FAILURES: dict[str, tuple[type[ModelyardError], str, str]] = {
    "denied": (
        DownloadDenied,
        "{name} wants a token, or rights that the token has not.",
        "modelyard download resume {job} --token-stdin",
    ),
    "gone": (SourceGone, "{name} is not there.", "Look at its page."),
    "wrong": (
        WrongBytes,
        "what came of {place} is not what was announced.",
        "The source may have changed: start it again. If that repeats, check the host's disk.",
    ),
    "taken": (
        FileProblem,
        "there is another {place} already, or its place can't be used.",
        "Move it away there; nothing of yours is overwritten.",
    ),
    "write": (DiskFull, "{place} can't be written.", "Free some room there, then modelyard download retry {job}"),
    "lost": (
        SourceLost,
        "{name} could not be fetched: the line or the server failed again and again.",
        "Try again when the line is better: what has come is kept.",
    ),
}


def failure(host: str, job_id: str, task: Task, seen: Seen) -> ModelyardError:
    """What the host's last words mean."""
    if seen.failed is None:
        return SourceLost(
            f"{host}: the download ended there without a word.",
            cause="It was killed, or the host was started again.",
            remedy="Try again: what has come is kept.",
        )
    number, kind, why = seen.failed
    file = task.files[number if number < len(task.files) else 0]
    if kind == "route":
        return no_route(host, file.url, why)
    words = {"name": clean_line(file.path), "place": clean_line(task.places(file)[0]), "job": job_id}
    error, message, remedy = _FAILURES.get(kind, _FAILURES["lost"])
    return error(f"{host}: {message.format(**words)}", cause=why, remedy=remedy.format(**words))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
