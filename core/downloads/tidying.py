"""What unfinished downloads and copies left, and its removal: only what nobody needs, and nothing unasked."""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.downloads.partial import Partial
from core.files import deleting
from core.files.leftovers import Left, Leftover
from core.registry.values import LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.model_files import ModelFiles
    from core.hosts.files_of import FilesOf
    from core.registry.jobs import Job
    from core.registry.store import Registry

_QUIET_S = 600.0  # a copy that goes on writes more often, and so does a host that downloads
_NOTE = "nothing beside it tells that it is one of ours"
_WRITTEN = "somebody may be writing it"
_RECENT = "it changed a moment ago: another machine may be sending it"
_FROM_ELSEWHERE = "another machine sends it, or sent it"
_OF_THE_HOST = "a Modelyard on that host began it"


class TidyService:
    """What may go is looked at anew before it does."""

    def __init__(self, registry: Registry, files_of: FilesOf) -> None:
        self._registry = registry
        self._files_of = files_of

    async def look(self, host: str = LOCAL_HOST) -> list[Leftover]:
        """All of it on a host, each with the reason why it is kept, "" for what may go.

        A download that failed or was cancelled needs what it left until it is removed from the list.

        Raises:
            NotFound: there is no such host. FileProblem: the models folder can't be read. HostUnreachable.
        """
        return await self._look(await self._files_of(host))

    async def tidy(self, paths: Iterable[str], host: str = LOCAL_HOST) -> list[Leftover]:
        """Delete those of these that may go still; what is gone.

        Raises:
            FileProblem: one can't be deleted. What `look` raises.
        """
        files, wanted = await self._files_of(host), set(paths)
        chosen = [one for one in await self._look(files) if one.path in wanted and not one.kept]
        if host == LOCAL_HOST:
            return await asyncio.to_thread(_remove_here, Path(files.folder), chosen)
        if chosen:
            await files.remove([path for one in chosen for path in one.files])
        return chosen

    async def _look(self, files: ModelFiles) -> list[Leftover]:
        found = await files.leftovers()
        jobs = [job for job in await self._registry.jobs() if job.state != "done" and job.host == files.host]
        return await asyncio.to_thread(_judged, files, found, jobs)


def _judged(files: ModelFiles, found: Sequence[Leftover], jobs: Sequence[Job]) -> list[Leftover]:
    """Blocks for what is on this machine."""
    is_here = files.host == LOCAL_HOST
    needed = _Needed(jobs, is_here=is_here)
    rules = _kept_here if is_here else _kept_there
    folder = Path(files.folder)
    return [replace(one, kept=needed.by(str(folder / one.path)) or one.kept or rules(folder, one)) for one in found]


def _kept_here(folder: Path, left: Leftover) -> str:
    if left.kind is Left.SENT:
        return _FROM_ELSEWHERE
    if not all(_is_free(folder / path) for path in _parts(left)):
        return _WRITTEN
    is_known = f"{left.path}.json" in left.files and _partial(folder / left.path).is_known
    return "" if is_known or left.kind is Left.REPAIR else _NOTE


def _kept_there(folder: Path, left: Leftover) -> str:
    del folder
    if left.kind is not Left.SENT:
        return _OF_THE_HOST
    return _RECENT if left.age_s < _QUIET_S else ""


class _Needed:
    """What jobs go on from, by place; a job that failed or was cancelled can be tried again."""

    def __init__(self, jobs: Iterable[Job], *, is_here: bool) -> None:
        self._real = os.path.realpath if is_here else posixpath.normpath
        self._jobs = {self._key(place): job for job in jobs for place in _places(job)}

    def by(self, path: str) -> str:
        """Why it is kept, or ""."""
        job = self._jobs.get(self._key(path))
        return f"{clean_line(job.title)} is {job.state} (job {job.id})" if job else ""

    def _key(self, path: str) -> str:
        """The file itself may be a link: its folder tells where it is."""
        folder, name = posixpath.split(path)
        return posixpath.join(self._real(folder), name)


def _places(job: Job) -> Iterator[str]:
    """Where a job keeps what is not whole yet."""
    if job.kind == "download":
        yield from _places_here(job)
    elif job.kind == "direct":
        yield from _places_of_direct(job)
    elif job.kind == "copy":
        yield from _places_of_copy(job)


def _places_here(job: Job) -> Iterator[str]:
    if job.spec.get("repair"):
        yield posixpath.join(str(job.spec.get("models", "")), f".modelyard-repair-{job.id}")
    for file in job.spec.get("listing", {}).get("files", ()):
        yield str(Partial(Path(job.folder, str(file["path"]))).path)


def _places_of_direct(job: Job) -> Iterator[str]:
    from core.downloads.direct import Task
    from core.downloads.sources.base import Listing

    root = job.folder.removesuffix("/" + str(job.spec["place"]))
    task = Task.of(job.id, root, job.folder, Listing.from_dict(job.spec["listing"]), known={})
    yield task.state
    yield from (task.places(file)[1] for file in task.files)


def _places_of_copy(job: Job) -> Iterator[str]:
    from core.hosts.stream_copy import Place

    for file in job.spec.get("files", ()):
        target = posixpath.join(str(job.spec["root"]), str(file["place"]))
        yield Place.of(target, size=int(file["size"]), mtime_ns=int(file["mtime_ns"])).hidden


def _parts(left: Leftover) -> set[str]:
    """The unfinished files of it: its own, or those in its folder."""
    inside = {path for path in left.files if path.endswith(".part")}
    return inside | {left.path} if left.kind is Left.DOWNLOAD else inside


def _partial(part: Path) -> Partial:
    return Partial(part.with_name(part.name.removeprefix(".").removesuffix(".part")))


def _is_free(part: Path) -> bool:
    with _partial(part).alone() as is_free:
        return is_free


def _remove_here(folder: Path, chosen: Sequence[Leftover]) -> list[Leftover]:
    """Each while nobody can begin to write it; blocks."""
    gone = []
    for left in chosen:
        with ExitStack() as held:
            if all(held.enter_context(_partial(folder / path).alone()) for path in sorted(_parts(left))):
                deleting.remove(folder, left.files)
                gone.append(left)
    return gone
