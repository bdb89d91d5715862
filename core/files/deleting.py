"""Deleting model files: only what is named, nobody needs, and lies in the models folder itself (L8).

The rules are those of every host; what lies behind its paths is asked where it lies.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from core.errors import FileProblem, Refused
from core.files import installed
from core.files.installed import InstalledModel
from core.files.model_files import FoundFile, option
from core.registry.values import ACTIVE, LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.registry.jobs import Job
    from core.registry.store import Registry

_UNDER_WAY = ("queued", "running", "paused", "verifying")

Resolve = Callable[[Sequence[str]], Awaitable[Sequence[str]]]  # absolute paths without links, in their order
ContainerWith = Callable[[Sequence[str]], Awaitable[str]]  # the running one that has any of these loaded; "" for none


def by_hand(folder: PurePath, unknown: Iterable[FoundFile], ref: str) -> InstalledModel | None:
    """A model file that nothing tells of, if `ref` is exactly its path."""
    for found in unknown:
        if ref in {found.path, str(folder / found.path)}:
            file = {"path": found.path, "size": found.size, "sha256": ""}
            title = PurePosixPath(found.path).name
            return InstalledModel(path=found.path, title=title, source=installed.FOUND, files=(file,))
    return None


def refuse_unnamed(model: InstalledModel, ref: str, folder: PurePath, *, host: str = LOCAL_HOST) -> None:
    """What somebody put there is not deleted by a title or a source.

    Raises:
        Refused: it was put there by hand, and `ref` is not its path.
    """
    if model.by_hand and ref not in {model.path, str(folder / model.path)}:
        path = clean_line(model.path)
        raise Refused(
            f"{path} was put there by hand, so it is deleted only when it is named exactly.",
            remedy=f"modelyard files delete {path}{option(host)}",
        )


def own(model: InstalledModel, models: Iterable[InstalledModel]) -> InstalledModel:
    """A model with only those of its files that no other of these tells of, too; `problem` says what stays."""
    named = {str(file["path"]) for file in model.files}
    sharers = [one for one in models if one.path != model.path and any(file["path"] in named for file in one.files)]
    kept = {str(file["path"]) for one in sharers for file in one.files} & named
    if not kept:
        return model
    others = ", ".join(clean_line(one.path) for one in sharers[:3])
    files = tuple(file for file in model.files if file["path"] not in kept)
    return replace(model, files=files, problem=f"{len(kept)} of its files stay, because {others} has them, too.")


def refuse_detours(top: PurePath, parents: Mapping[str, PurePath]) -> None:
    """Files behind a link to another folder are not this folder's to delete; `parents` are where files really lie.

    Raises:
        Refused: there are such.
    """
    for path, real in parents.items():
        if real != top and top not in real.parents:
            raise Refused(
                f"{clean_line(path)} lies behind a link, in {clean_line(str(real))}.",
                remedy="Delete the link by hand; the files stay where they are.",
            )


def refuse_unwritable(host: str, folders: Iterable[PurePath]) -> None:
    """Nothing is begun that can't be ended.

    Raises:
        FileProblem: there is a folder whose files may not be deleted.
    """
    if shut := next(iter(folders), None):
        where = "" if host == LOCAL_HOST else f"{host}: "
        raise FileProblem(
            f"{where}files in {clean_line(str(shut))} can't be deleted; nothing was.",
            cause="The folder or its disk is read-only for you.",
            remedy=f"See who may write there: ls -ld {clean_line(str(shut))}",
        )


async def refuse_needed(
    model: InstalledModel, folder: PurePath, registry: Registry, *, host: str = LOCAL_HOST, resolve: Resolve
) -> None:
    """Files of a running server, of a download that goes on, or that a copy or check works on.

    Raises:
        Refused: they are needed.
    """
    places = places_of(model, folder)
    await _refuse_served(model, places, await _served(registry, host, folder), resolve)
    known = {PurePosixPath(place) for place in places}
    for job in await registry.jobs(states=_UNDER_WAY):
        if not known.isdisjoint(_files_of(job, host)):
            raise Refused(
                f"{clean_line(job.title)} is {job.state} (job {job.id}), and needs {clean_line(model.path)}.",
                remedy=f"modelyard download cancel {job.id}",
            )


def refuse_mounted(model: InstalledModel, container: str, *, host: str = LOCAL_HOST, target: str = "") -> None:
    """What a running container has, "" for none, may be another user's server: our records don't know it.

    Raises:
        Refused: there is one.
    """
    if container:
        where, how = ("The", "") if host == LOCAL_HOST else (f"{host}: the", f"ssh {target} ")
        raise Refused(
            f"{where} container {clean_line(container)} runs with {clean_line(model.path)}.",
            cause="It is no server of your registry: somebody else may have started it.",
            remedy=f"When nobody needs it: {how}docker stop {clean_line(container)}",
        )


def places_of(model: InstalledModel, folder: PurePath) -> list[str]:
    """Where it lies, and where each of its files does."""
    return [str(folder / model.path), *(str(folder / str(file["path"])) for file in model.files)]


async def _served(registry: Registry, host: str, folder: PurePath) -> list[tuple[str, str]]:
    """Names of models that servers of a host have loaded or load, with their paths."""
    found = []
    for server in await registry.servers():
        if server.status in ACTIVE and server.host_name == host:
            record = await registry.get_model(server.model_id)
            if record.path:
                found.append((server.model_name, str(folder / record.path)))
    return found


async def _refuse_served(
    model: InstalledModel, places: Sequence[str], served: Sequence[tuple[str, str]], resolve: Resolve
) -> None:
    if not served:
        return
    real = [PurePosixPath(path) for path in await resolve([*places, *(path for _, path in served)])]
    lie = set(real[: len(places)])
    for (name, _), used in zip(served, real[len(places) :], strict=True):
        if any(used == one or used in one.parents or one in used.parents for one in lie):
            raise Refused(f"{name} serves {clean_line(model.path)} now.", remedy=f"modelyard stop {name}")


def _files_of(job: Job, host: str) -> Iterator[PurePosixPath]:
    """Files of a host that a job writes or reads; a copy's have whole paths here, and their places there."""
    listed = (job.spec.get("listing") or {}).get("files", ())
    for file in (*listed, *(job.spec.get("files") or ())):
        path = PurePosixPath(str(file.get("path", "")))
        if path.is_absolute():
            if host == LOCAL_HOST:
                yield path
            elif job.host == host and "place" in file:
                yield PurePosixPath(str(job.spec.get("root") or job.folder), str(file["place"]))
        elif (job.host or LOCAL_HOST) == host:
            yield PurePosixPath(job.folder, path)


async def local_refusals(folder: Path, model: InstalledModel) -> None:
    """What only the disk of this machine can tell.

    Raises:
        Refused, FileProblem: as the rules above.
    """

    def look() -> None:
        parents = {str(file["path"]): (folder / str(file["path"])).parent for file in model.files}
        refuse_detours(folder.resolve(), {path: parent.resolve() for path, parent in parents.items()})
        there = {parent for parent in parents.values() if parent.is_dir()}
        refuse_unwritable(LOCAL_HOST, (one for one in sorted(there) if not os.access(one, os.W_OK | os.X_OK)))

    await asyncio.to_thread(look)


async def resolved(paths: Sequence[str]) -> Sequence[str]:
    """Paths of this machine without links."""
    return await asyncio.to_thread(lambda: [os.path.realpath(path) for path in paths])


def delete(folder: Path, model: InstalledModel) -> None:
    """Its files, the folders that held nothing else, and its entry; blocks.

    Raises:
        FileProblem: a file can't be deleted; the entry stays.
    """
    for number, file in enumerate(model.files):
        try:
            (folder / str(file["path"])).unlink(missing_ok=True)
        except OSError as error:
            raise not_deleted(LOCAL_HOST, file["path"], number, len(model.files), str(error.strerror)) from error
    _remove_empty(folder, folder / model.path)
    installed.forget(folder, model.path)


def remove(folder: Path, paths: Sequence[str]) -> None:
    """Files of a folder, then the folders that held nothing else; blocks.

    Raises:
        Refused: one lies behind a link. FileProblem: one can't be deleted.
    """
    top = folder.resolve()
    refuse_detours(top, {path: (folder / path).parent.resolve() for path in paths})
    for number, path in enumerate(paths):
        try:
            (folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise not_tidied(LOCAL_HOST, path, number, str(error.strerror)) from error
    for place in sorted({one for path in paths for one in PurePosixPath(path).parents if one.name}, reverse=True):
        with suppress(OSError):
            (folder / place).rmdir()


def not_tidied(host: str, path: str, gone: int, cause: str) -> FileProblem:
    """A file that nobody needs is still there."""
    where = "" if host == LOCAL_HOST else f"{host}: "
    return FileProblem(
        f"{where}{clean_line(path)} can't be deleted; {gone:,} other files were.",
        cause=clean_line(cause),
        remedy=f"See who may write there: ls -ld {clean_line(str(PurePosixPath(path).parent))}",
    )


def not_deleted(host: str, path: object, gone: int, every: int, cause: str) -> FileProblem:
    """One of a model's files is still there, after `gone` of `every` were deleted."""
    where = "" if host == LOCAL_HOST else f"{host}: "
    return FileProblem(
        f"{where}{clean_line(str(path))} can't be deleted; {gone} of {every} files were.",
        cause=clean_line(cause),
        remedy="Mend that and delete the model again: it is still told of.",
    )


def _remove_empty(top: Path, place: Path) -> None:
    """The folders that held nothing else."""
    folders = sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True) if place.is_dir() else []
    for folder in (*folders, place, *place.parents):
        if folder == top or top not in folder.parents:
            return
        if folder.is_dir():
            try:
                folder.rmdir()
            except OSError:
                return
