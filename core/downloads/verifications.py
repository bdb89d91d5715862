"""What a front may ask of checks of installed files (D9): start one here or on a host, and fetch what was found bad."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.downloads.entries import COPIED
from core.downloads.outgoing import OutgoingFile, outgoing_file
from core.downloads.sources import source_for
from core.errors import DownloadDenied, FileProblem, ModelyardError, Refused
from core.files import installed, stores
from core.files.service import find, is_bad
from core.hosts.base_dir import models_dir_of
from core.registry.values import LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.downloads.service import DownloadService
    from core.downloads.sources.base import Listing
    from core.files.installed import InstalledModel
    from core.files.model_files import ModelFiles
    from core.hosts.files_of import FilesOf
    from core.registry.jobs import Job
    from core.registry.store import Registry


class VerifyService:
    """The worker reads; what a check found is in its job's `files`, each with a `condition`."""

    def __init__(self, registry: Registry, files_of: FilesOf, downloads: DownloadService) -> None:
        self._registry = registry
        self._files_of = files_of
        self._downloads = downloads

    async def start(self, refs: Sequence[str] = (), *, host: str = LOCAL_HOST, priority: int = 0) -> Job:
        """Queue a check of these installed models of a host, or of all that are.

        Raises:
            NotFound: one is not installed there. NotAllowed: the host has no models folder. HostUnreachable.
        """
        from core.registry.jobs import Job, JobKind

        models_dir_of(await self._registry.get_host(host))
        there = await self._files_of(host)
        models = await _found(there, refs) if refs else await there.installed()
        files = [{**file, "model": model.path} for model in models for file in model.files]
        job = Job(
            user_id=self._registry.user_id,
            kind=JobKind.VERIFY,
            title=models[0].title if len(models) == 1 else f"{len(models)} models",
            host=host,
            folder=str(there.folder),
            spec={"models": [model.path for model in models], "files": files},
            bytes_total=sum(int(file["size"]) for file in files),
            priority=priority,
        )
        return await self._downloads.queue(job)

    async def repair(self, job: Job) -> list[Job | ModelyardError]:
        """Fetch just the files that a check found bad: from this machine for a host, else from where they came.

        Each bad file stays until the right one is there. What can't be fetched is told by an error.
        """
        wanted = {str(file["path"]): file for file in job.spec["files"]}
        bad: dict[str, list[Mapping[str, Any]]] = {}
        for found in job.files:
            if is_bad(found["condition"]):
                file = wanted[found["path"]]
                bad.setdefault(str(file["model"]), []).append(file)
        started: list[Job | ModelyardError] = []
        for model in await _found(await self._files_of(job.host), sorted(bad)):
            started += await self._repair(job, model, bad[model.path])
        return started

    async def _repair(
        self, job: Job, model: InstalledModel, bad: Sequence[Mapping[str, Any]]
    ) -> list[Job | ModelyardError]:
        try:
            stores.refuse_repair(model)
        except Refused as refused:
            return [refused]
        here: list[OutgoingFile] = []
        if job.host != LOCAL_HOST:
            mine = await self._files_of(LOCAL_HOST)
            here = await asyncio.to_thread(_here, bad, await mine.installed(), Path(mine.folder))
        left = [file for file in bad if file["path"] not in {one.place for one in here}]
        started: list[Job | ModelyardError] = [await self._sent(job, model, here)] if here else []
        if left:
            try:
                started.append(await self._fetched(job, model, left))
            except ModelyardError as error:
                started.append(error)
        return started

    async def _sent(self, job: Job, model: InstalledModel, files: Sequence[OutgoingFile]) -> Job:
        from core.registry.jobs import Job as Record
        from core.registry.jobs import JobKind

        entry = {name: getattr(model, name) for name in ("path", "title", "source", "revision", "licence")}
        kept = {str(file["path"]): file for file in model.files}
        return await self._downloads.queue(
            Record(
                user_id=self._registry.user_id,
                kind=JobKind.COPY,
                title=model.title,
                host=job.host,
                folder=posixpath.join(job.folder, model.path),
                spec={
                    "root": job.folder,
                    "place": model.path,
                    "replace": True,
                    "files": [file.as_dict() for file in files],
                    "entries": [{**entry, "files": [kept[file.place] for file in files]}],
                },
                bytes_total=sum(file.size for file in files),
            )
        )

    async def _look(self, model: InstalledModel) -> Listing:
        try:
            return await self._downloads.look(model.source)
        except DownloadDenied as denied:
            key = source_for(model.source).key
            denied.remedy += f" A repair uses the one that is kept: modelyard keys set {key}." if key else ""
            raise

    async def _fetched(self, job: Job, model: InstalledModel, bad: Sequence[Mapping[str, Any]]) -> Job:
        if not model.source or model.source in {installed.FOUND, COPIED}:
            raise FileProblem(
                f"Nobody knows where {clean_line(model.path)} came from: it can't be fetched again.",
                remedy="Put the right files there yourself: " + ", ".join(clean_line(file["path"]) for file in bad[:5]),
            )
        listing = await self._look(model)
        part, folder = _part(listing, model, bad)
        return await self._downloads.start(part, folder=folder, host=job.host, repair=True)


async def _found(files: ModelFiles, refs: Sequence[str]) -> list[InstalledModel]:
    known = await files.installed() if refs else []
    return [find(known, ref, files.folder) or await files.get(ref) for ref in refs]


def _here(bad: Sequence[Mapping[str, Any]], known: Sequence[InstalledModel], folder: Path) -> list[OutgoingFile]:
    """Those of them that this machine has as well, by their hash; blocks."""
    by_hash = {str(file["sha256"]): file for model in known for file in model.files if file.get("sha256")}
    found = []
    for file in bad:
        mine = by_hash.get(str(file.get("sha256", "")))
        path = folder / str(mine["path"]) if mine else None
        if mine and path and path.is_file() and path.stat().st_size == int(file["size"]):
            found.append(outgoing_file(path, str(file["path"]), mine))
    return found


def _part(listing: Listing, model: InstalledModel, bad: Sequence[Mapping[str, Any]]) -> tuple[Listing, str]:
    """The bad files alone as their source has them, and the folder that they belong in.

    Raises:
        FileProblem: the source has them no more.
    """
    chosen, folders = [], set()
    for file in bad:
        path, sha256 = str(file["path"]), str(file.get("sha256", ""))
        same = [one for one in listing.files if path == one.path or path.endswith(f"/{one.path}")]
        fitting = [one for one in same if one.size in {None, int(file["size"])} and one.sha256 in {"", sha256}]
        if not fitting:
            raise FileProblem(
                f"{clean_line(listing.source)} has no {clean_line(path)} any more as it was installed.",
                remedy=f"Download {clean_line(model.title)} again into another folder.",
            )
        best = max(fitting, key=lambda one: len(one.path))
        chosen.append(replace(best, sha256=sha256))
        folders.add(path.removesuffix(best.path).rstrip("/"))
    if len(folders) != 1:
        raise FileProblem(f"The files of {clean_line(model.path)} lie in several folders.", remedy="Download it again.")
    return replace(listing, files=tuple(chosen)), folders.pop()
