"""What a front may ask of the models folder of this machine: what is installed, how it is, and its removal."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import NotFound, Refused
from core.events import Event, Progress
from core.files import installed
from core.files.installed import InstalledModel
from core.files.kinds import PICKLES
from core.files.verify import Checked, Condition, Verification
from core.registry.values import ACTIVE, LOCAL_HOST

if TYPE_CHECKING:
    from core.registry.store import Registry
    from core.settings import Settings

_KINDS = (".gguf", ".safetensors", *PICKLES)
_TELL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Bytes by model and by family (the first folder), of everything there, and what is free."""

    folder: str
    models: dict[str, int]
    families: dict[str, int]
    total: int
    free: int


@dataclass(frozen=True, kw_only=True)
class FileChecked(Event):
    """One file was compared with what was installed."""

    model: str
    path: str
    condition: str
    size: int | None
    expected: int
    cause: str = ""


class FilesService:
    """One models folder, explained by its `installed-models.json`."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._folder = settings.models_dir
        self._registry = registry

    @property
    def folder(self) -> Path:
        """The models folder of this machine."""
        return self._folder

    async def installed(self) -> list[InstalledModel]:
        """All models that the folder's file tells of, by path.

        Raises:
            FileProblem: the file is damaged.
        """
        return await asyncio.to_thread(installed.read, self._folder)

    async def get(self, ref: str) -> InstalledModel:
        """By path, title or source, where only one has it.

        Raises:
            NotFound: none, or several.
        """
        models = await self.installed()
        for name in ("path", "title", "source"):
            found = [model for model in models if getattr(model, name) == ref]
            if len(found) == 1:
                return found[0]
            if found:
                paths = ", ".join(model.path for model in found)
                raise NotFound(f"Several installed models are called {ref!r}: {paths}.", remedy="Give the path.")
        raise NotFound(f"No model {ref!r} is installed.", remedy="modelyard files list shows them all.")

    async def unknown(self) -> list[Path]:
        """Model files in the folder that its file does not tell of: carried in, or put there by hand."""
        return await asyncio.to_thread(self._unknown)

    async def adopt(self) -> AsyncIterator[Progress | InstalledModel]:
        """Take up what is there and not told of: sizes and hashes are noted, no file is changed."""
        for path in await self.unknown():
            relative = path.relative_to(self._folder).as_posix()
            check = Verification(self._folder, [{"path": relative, "size": path.stat().st_size, "sha256": ""}])
            yield Progress(task="adopt", text=f"reading {relative}", done=0, total=check.total, unit="bytes")
            sha256 = await asyncio.to_thread(check.sha256, relative)
            file = {"path": relative, "size": path.stat().st_size, "sha256": sha256}
            model = InstalledModel(path=relative, title=path.name, source="found", files=(file,))
            yield await asyncio.to_thread(installed.record, self._folder, model)

    async def verify(self, models: Iterable[InstalledModel]) -> AsyncIterator[Progress | FileChecked]:
        """Compare files with what was installed; ending the iteration stops it."""
        for model in models:
            async for event in self._verify(model):
                yield event

    async def usage(self) -> Usage:
        """What the models take, and what is free."""
        models = {model.path: model.size for model in await self.installed()}
        families: dict[str, int] = {}
        for path, size in models.items():
            family = path.partition("/")[0] if "/" in path else "other"
            families[family] = families.get(family, 0) + size
        total = await asyncio.to_thread(_size_of, self._folder)
        free = shutil.disk_usage(_existing(self._folder)).free
        return Usage(folder=str(self._folder), models=models, families=families, total=total, free=free)

    async def delete(self, ref: str) -> InstalledModel:
        """Delete the files that were installed under a name, and their entry; other files there stay.

        Raises:
            NotFound: it is not installed. Refused: a server uses it.
        """
        model = await self.get(ref)
        await self._refuse_used(model)
        await asyncio.to_thread(self._delete, model)
        return model

    async def _verify(self, model: InstalledModel) -> AsyncIterator[Progress | FileChecked]:
        check = Verification(self._folder, model.files)
        known: asyncio.Queue[Checked | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(checked: Checked | None) -> None:
            loop.call_soon_threadsafe(known.put_nowait, checked)

        def work() -> None:
            try:
                check.run(tell)
            finally:
                tell(None)

        job = asyncio.create_task(asyncio.to_thread(work))
        try:
            while True:
                try:
                    checked = await asyncio.wait_for(known.get(), _TELL_S)
                except TimeoutError:
                    text = f"verifying {model.title}"
                    yield Progress(task=model.path, text=text, done=check.done, total=check.total, unit="bytes")
                    continue
                if checked is None:
                    break
                yield _event(model, checked)
        finally:
            check.cancel()
            await job

    def _unknown(self) -> list[Path]:
        told = {str(file["path"]) for model in installed.read(self._folder) for file in model.files}
        found = (path for path in sorted(self._folder.rglob("*")) if path.suffix.lower() in _KINDS and path.is_file())
        return [
            path
            for path in found
            if path.relative_to(self._folder).as_posix() not in told and not path.name.startswith(".")
        ]

    async def _refuse_used(self, model: InstalledModel) -> None:
        place = self._folder / model.path
        for server in await self._registry.servers():
            if server.status not in ACTIVE or server.host_name != LOCAL_HOST:
                continue
            record = await self._registry.get_model(server.model_id)
            used = Path(record.path)
            if used == place or place in used.parents or used in place.parents:
                raise Refused(
                    f"{server.model_name} serves {model.path} now.", remedy=f"modelyard stop {server.model_name}"
                )

    def _delete(self, model: InstalledModel) -> None:
        for file in model.files:
            path = self._folder / str(file["path"])
            if path.is_symlink() or self._folder.resolve() in path.resolve().parents:
                path.unlink(missing_ok=True)
        _remove_empty(self._folder, self._folder / model.path)
        installed.forget(self._folder, model.path)


def _event(model: InstalledModel, checked: Checked) -> FileChecked:
    return FileChecked(
        model=model.path,
        path=checked.path,
        condition=str(checked.condition),
        size=checked.size,
        expected=checked.expected,
        cause=checked.cause,
    )


def is_bad(condition: str) -> bool:
    """Whether a file is not what was installed."""
    return condition not in {Condition.FINE, Condition.UNKNOWN}


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


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
