"""Deleting model files: only what is named, nobody needs, and lies in the models folder itself (L8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Refused
from core.files import installed
from core.files.installed import InstalledModel
from core.registry.values import ACTIVE, LOCAL_HOST

if TYPE_CHECKING:
    from core.registry.jobs import Job
    from core.registry.store import Registry

_UNDER_WAY = ("queued", "running", "paused", "verifying")


def by_hand(folder: Path, unknown: Iterable[Path], ref: str) -> InstalledModel | None:
    """A model file that nothing tells of, if `ref` is exactly its path."""
    for path in unknown:
        place = path.relative_to(folder).as_posix()
        if ref in {place, str(path)}:
            file = {"path": place, "size": path.stat().st_size, "sha256": ""}
            return InstalledModel(path=place, title=path.name, source=installed.FOUND, files=(file,))
    return None


def refuse_unnamed(model: InstalledModel, ref: str, folder: Path) -> None:
    """What somebody put there is not deleted by a title or a source.

    Raises:
        Refused: it was put there by hand, and `ref` is not its path.
    """
    if model.by_hand and ref not in {model.path, str(folder / model.path)}:
        raise Refused(
            f"{model.path} was put there by hand, so it is deleted only when it is named exactly.",
            remedy=f"modelyard files delete {model.path}",
        )


def refuse_detours(folder: Path, model: InstalledModel) -> None:
    """Files behind a link to another folder are not this folder's to delete; blocks.

    Raises:
        Refused: there are such.
    """
    top = folder.resolve()
    for file in model.files:
        real = (folder / str(file["path"])).parent.resolve()
        if real != top and top not in real.parents:
            raise Refused(
                f"{file['path']} lies behind a link, in {real}.",
                remedy="Delete the link by hand; the files stay where they are.",
            )


async def refuse_needed(folder: Path, model: InstalledModel, registry: Registry) -> None:
    """Files of a running server, of a download that goes on, or that a copy or check reads.

    Raises:
        Refused: they are needed.
    """
    places = set(_places(folder, model))
    for server in await registry.servers():
        if server.status in ACTIVE and server.host_name == LOCAL_HOST:
            record = await registry.get_model(server.model_id)
            if record.path and _meet((folder / record.path).resolve(), {path.resolve() for path in places}):
                name = server.model_name
                raise Refused(f"{name} serves {model.path} now.", remedy=f"modelyard stop {name}")
    for job in await registry.jobs(states=_UNDER_WAY):
        if places & set(_files_of(job)):
            raise Refused(
                f"{job.title} is {job.state} (job {job.id}), and needs {model.path}.",
                remedy=f"modelyard download cancel {job.id}",
            )


def delete(folder: Path, model: InstalledModel) -> None:
    """Its files, the folders that held nothing else, and its entry; blocks."""
    for file in model.files:
        (folder / str(file["path"])).unlink(missing_ok=True)
    _remove_empty(folder, folder / model.path)
    installed.forget(folder, model.path)


def _places(folder: Path, model: InstalledModel) -> Iterator[Path]:
    yield folder / model.path
    yield from (folder / str(file["path"]) for file in model.files)


def _meet(used: Path, places: set[Path]) -> bool:
    return any(used == one or used in one.parents or one in used.parents for one in places)


def _files_of(job: Job) -> Iterator[Path]:
    """Files of this machine that a job writes or reads: a copy's have whole paths."""
    listed = (job.spec.get("listing") or {}).get("files", ())
    for file in (*listed, *(job.spec.get("files") or ())):
        path = Path(str(file.get("path", "")))
        if path.is_absolute() or job.host in {"", LOCAL_HOST}:
            yield job.folder / path


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
