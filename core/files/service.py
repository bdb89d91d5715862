"""What a front may ask of the models folder of this machine: what is installed, how it is, and its removal."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput, NotFound
from core.events import Event, Progress
from core.files import adopting, deleting, installed, stores
from core.files.installed import InstalledModel
from core.files.verify import Checked, Condition, Verification

if TYPE_CHECKING:
    from core.registry.store import Registry
    from core.settings import Settings

_TELL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Bytes by model and by family (the first folder), of everything there, what is free, and what other tools keep."""

    folder: str
    models: dict[str, int]
    families: dict[str, int]
    total: int
    free: int
    stores: dict[str, int] = field(default_factory=dict)  # by store, not in the total


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What lies on this machine besides what the folder's file tells of, and what all of it takes."""

    unknown: Sequence[Path]
    stores: Sequence[InstalledModel]
    usage: Usage


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

    async def stores(self) -> list[InstalledModel]:
        """What other tools keep on this machine (X8): usable in place, never changed from here."""
        return stores.parse(await asyncio.to_thread(stores.local, stores.argv()))

    async def get(self, ref: str) -> InstalledModel:
        """By path, title or source, where only one has it; the models folder comes before other tools' stores.

        Raises:
            NotFound: none, or several.
        """
        found = find(await self.installed(), ref, self._folder) or find(await self.stores(), ref, self._folder)
        if found is None:
            raise NotFound(f"No model {ref!r} is installed.", remedy="modelyard files list shows them all.")
        return found

    async def unknown(self) -> list[Path]:
        """Model files in the folder that its file does not tell of: carried in, or put there by hand."""
        return await self._unknown(await self.installed())

    async def _unknown(self, models: Sequence[InstalledModel]) -> list[Path]:
        return [self._folder / path for path in await asyncio.to_thread(adopting.unknown, self._folder, models)]

    async def adopt(self, folder: str = "") -> AsyncIterator[Progress | InstalledModel]:
        """Take up what is there and not told of, everywhere or below `folder`; no file is changed.

        A folder with an installed-models.json of its own is taken at its word, which `verify` can check; all other
        files are read for their hashes, and their headers for what they are.

        Raises:
            InvalidInput: the folder is not in the models folder. FileProblem: a carried file is damaged.
        """
        under = self._below(folder)
        for model in await asyncio.to_thread(lambda: list(adopting.carried(self._folder, under))):
            yield await asyncio.to_thread(installed.record, self._folder, model)
        unknown = adopting.unknown(self._folder, await self.installed())
        groups = adopting.grouped(self._folder, [path for path in unknown if _is_below(path, under)])
        every = [
            {"path": path, "size": (self._folder / path).stat().st_size} for paths in groups.values() for path in paths
        ]
        check = Verification(self._folder, every)
        sizes = {str(file["path"]): file["size"] for file in every}
        for place, paths in groups.items():
            files = []
            for path in paths:
                async for sha256 in self._read(check, path):
                    if isinstance(sha256, Progress):
                        yield sha256
                    else:
                        files.append({"path": path, "size": sizes[path], "sha256": sha256})
            facts = await adopting.facts_of(self._folder / place)
            model = adopting.described(place, files, facts)
            yield await asyncio.to_thread(installed.record, self._folder, model)

    async def _read(self, check: Verification, path: str) -> AsyncIterator[Progress | str]:
        """The SHA-256 of a file; on the way, how far all of them are."""
        reading = asyncio.create_task(asyncio.to_thread(check.sha256, path))
        try:
            while not reading.done():
                yield Progress(task="adopt", text=f"reading {path}", done=check.done, total=check.total, unit="bytes")
                await asyncio.wait([reading], timeout=_TELL_S)
            yield reading.result()
        finally:
            if not reading.done():
                check.cancel()
                await asyncio.wait([reading])

    def _below(self, folder: str) -> str:
        """A folder as a path below the models folder."""
        if not folder:
            return ""
        place = Path(os.path.abspath(self._folder / Path(folder).expanduser()))  # noqa: PTH100 - links are kept
        if place != self._folder and self._folder not in place.parents:
            raise InvalidInput(
                {"folder": f"{place} is not in the models folder {self._folder}"},
                remedy=f"To use it where it is: modelyard files register {place}; "
                f"to bring it in (--how copy, link or move): modelyard download start {place}",
            )
        return "" if place == self._folder else place.relative_to(self._folder).as_posix()

    async def verify(self, models: Iterable[InstalledModel]) -> AsyncIterator[Progress | FileChecked]:
        """Compare files with what was installed; ending the iteration stops it."""
        for model in models:
            async for event in self._verify(model):
                yield event

    async def survey(self, models: Sequence[InstalledModel]) -> Survey:
        """What lies there besides these, the installed ones, and what all of it takes.

        Raises:
            OSError: the folder can't be read.
        """
        unknown, stores = await self._unknown(models), await self.stores()
        usage = await asyncio.to_thread(_usage, self._folder, models, stores)
        return Survey(unknown=unknown, stores=stores, usage=usage)

    async def usage(self) -> Usage:
        """What the models take, and what is free."""
        models, stores = await self.installed(), await self.stores()
        return await asyncio.to_thread(_usage, self._folder, models, stores)

    async def to_delete(self, ref: str) -> InstalledModel:
        """What `delete` would delete; a file put there by hand only where `ref` is exactly its path.

        Raises:
            NotFound: it is not there. Refused: a server uses it, a job works on it, another tool keeps it, or it was
            put there by hand and is not named exactly.
        """
        model = deleting.by_hand(self._folder, await self.unknown(), ref) or await self.get(ref)
        stores.refuse_change(model)
        deleting.refuse_unnamed(model, ref, self._folder)
        await asyncio.to_thread(deleting.refuse_detours, self._folder, model)
        await deleting.refuse_needed(self._folder, model, self._registry)
        return model

    async def delete(self, ref: str) -> InstalledModel:
        """Delete the files that were installed under a name, and their entry; other files there stay.

        Raises:
            NotFound, Refused: as `to_delete`.
        """
        model = await self.to_delete(ref)
        await asyncio.to_thread(deleting.delete, self._folder, model)
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


def find(models: Iterable[InstalledModel], ref: str, folder: Path) -> InstalledModel | None:
    """By path, title, source or another name, where only one has it; None without.

    Raises:
        NotFound: several have it.
    """
    known = list(models)
    for names in (lambda model: _paths(model, folder), lambda model: {model.title, model.source}, _names):
        found = [model for model in known if ref in names(model)]
        if len(found) > 1:
            paths = ", ".join(model.path for model in found)
            raise NotFound(f"Several installed models are called {ref!r}: {paths}.", remedy="Give the path.")
        if found:
            return found[0]
    return None


def _paths(model: InstalledModel, folder: Path) -> set[str]:
    return {model.path, str(folder / model.path)}


def _names(model: InstalledModel) -> set[str]:
    """What else a store calls it."""
    names = model.more.get("names", ())
    return {str(name) for name in names} if isinstance(names, list | tuple) else set()


def _blob(file: Mapping[str, Any]) -> str:
    """What a file is counted once by, though several models have it."""
    return str(file.get("sha256") or file["path"])


def _is_below(path: str, under: str) -> bool:
    return not under or path == under or path.startswith(f"{under}/")


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


def _usage(folder: Path, models: Iterable[InstalledModel], stores: Iterable[InstalledModel]) -> Usage:
    taken = {model.path: model.size for model in models}
    families: dict[str, int] = {}
    for path, size in taken.items():
        family = path.partition("/")[0] if "/" in path else "other"
        families[family] = families.get(family, 0) + size
    kept: dict[str, dict[str, int]] = {}
    for model in stores:
        kept.setdefault(model.store, {}).update({_blob(file): int(file["size"]) for file in model.files})
    return Usage(
        folder=str(folder),
        models=taken,
        families=families,
        total=_size_of(folder),
        free=shutil.disk_usage(_existing(folder)).free,
        stores={store: sum(files.values()) for store, files in kept.items()},
    )


def _size_of(folder: Path) -> int:
    """Of everything below, links not counted."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
