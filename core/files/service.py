"""What a front may ask of the models folder of this machine: what is installed, how it is, and its removal."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from core.errors import FileProblem, NotFound
from core.events import Progress
from core.files import adopting, deleting, installed, leftovers, stores, tree
from core.files.here import HereSource
from core.files.installed import InstalledModel
from core.files.kinds import ALONE, is_weights
from core.files.model_files import FileChecked, FoundFile, Survey, Usage, missing, option, usage_of
from core.files.tree import Tree
from core.files.verify import Checked, Condition, Verification
from core.registry.values import LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.leftovers import Leftover
    from core.registry.store import Registry
    from core.settings import Settings

_ENDING = re.compile(rf"({'|'.join(map(re.escape, ALONE))}|:latest)$", re.IGNORECASE)

__all__ = ["FileChecked", "FilesService", "Survey", "Usage", "event_of", "find", "found", "is_bad"]

_TELL_S = 0.5


class FilesService:
    """The `ModelFiles` of this machine; `container_with` asks its container engine."""

    def __init__(
        self, settings: Settings, registry: Registry, *, container_with: deleting.ContainerWith | None = None
    ) -> None:
        self._folder = settings.models_dir
        self._registry = registry
        self._container_with = container_with

    @property
    def host(self) -> str:
        return LOCAL_HOST

    @property
    def folder(self) -> Path:
        return self._folder

    async def installed(self) -> list[InstalledModel]:
        return await asyncio.to_thread(installed.read, self._folder)

    async def stores(self) -> list[InstalledModel]:
        return stores.parse(await asyncio.to_thread(stores.local, stores.argv()))

    async def get(self, ref: str) -> InstalledModel:
        return await self._get(ref, await self.installed())

    async def _get(self, ref: str, models: Sequence[InstalledModel]) -> InstalledModel:
        known = find(models, ref, self._folder)
        return known or found(find(await self.stores(), ref, self._folder), ref)

    async def survey(self, models: Sequence[InstalledModel]) -> Survey:
        told = adopting.told_of(models)
        seen = await self._look(lambda path: path in told or is_weights(path))
        stores = await self.stores()
        return Survey(
            unknown=_found(seen, told),
            stores=stores,
            gone=await asyncio.to_thread(_gone, self._folder, models, seen.files),
            usage=usage_of(
                models,
                stores,
                folder=self._folder,
                total=seen.total,
                free=await asyncio.to_thread(lambda: shutil.disk_usage(_existing(self._folder)).free),
                unfinished=leftovers.grouped(seen.hidden),
            ),
        )

    async def leftovers(self) -> list[Leftover]:
        return leftovers.grouped((await self._look(lambda path: False)).hidden)

    async def remove(self, paths: Sequence[str]) -> None:
        await asyncio.to_thread(deleting.remove, self._folder, paths)

    async def usage(self) -> Usage:
        return (await self.survey(await self.installed())).usage

    async def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        wanted = list(paths)
        return await asyncio.to_thread(lambda: {path: size for path in wanted if (size := _size(path)) is not None})

    async def _look(self, keep: Callable[[str], bool]) -> Tree:
        try:
            return await asyncio.to_thread(tree.look, self._folder, keep)
        except OSError as error:
            raise FileProblem(
                f"The models folder {clean_line(str(self._folder))} can't be read.",
                cause=str(error),
                remedy="Look at its rights: ls -ld; modelyard files base-dir sets another one.",
            ) from error

    async def adopt(self, folder: str = "") -> AsyncGenerator[Progress | InstalledModel, None]:
        under = adopting.below(self._folder, _home(folder))
        there = (await self._look(lambda path: True)).files
        known = {model.path: model for model in await self.installed()}
        for place in adopting.lists(there, under):
            told = await asyncio.to_thread(installed.read, self._folder / place)
            for model in adopting.carried(place, told, there, known):
                yield await asyncio.to_thread(installed.record, self._folder, model)
        groups = adopting.untold(there, await self.installed(), under)
        every = [{"path": path, "size": there[path]} for paths in groups.values() for path in paths]
        check = Verification(self._folder, every)
        for place, paths in groups.items():
            files = []
            for path in paths:
                async for sha256 in self._read(check, path):
                    if isinstance(sha256, Progress):
                        yield sha256
                    else:
                        files.append({"path": path, "size": there[path], "sha256": sha256})
            facts = await adopting.facts_of(HereSource(), str(self._folder / place))
            model = adopting.described(place, files, facts)
            yield await asyncio.to_thread(installed.record, self._folder, model)

    async def _read(self, check: Verification, path: str) -> AsyncGenerator[Progress | str, None]:
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

    async def verify(self, models: Iterable[InstalledModel]) -> AsyncGenerator[Progress | FileChecked, None]:
        for model in models:
            async for event in self._verify(model):
                yield event

    async def to_delete(self, ref: str) -> InstalledModel:
        models = await self.installed()
        told = adopting.told_of(models)
        unknown = _found(await self._look(lambda path: is_weights(path) and path not in told))
        model = deleting.by_hand(self._folder, unknown, ref) or deleting.own(await self._get(ref, models), models)
        stores.refuse_change(model)
        deleting.refuse_unnamed(model, ref, self._folder)
        await deleting.local_refusals(self._folder, model)
        await deleting.refuse_needed(model, self._folder, self._registry, resolve=deleting.resolved)
        if self._container_with is not None:
            deleting.refuse_mounted(model, await self._container_with(deleting.places_of(model, self._folder)))
        return model

    async def delete(self, ref: str) -> InstalledModel:
        model = await self.to_delete(ref)
        await asyncio.to_thread(deleting.delete, self._folder, model)
        return model

    async def _verify(self, model: InstalledModel) -> AsyncGenerator[Progress | FileChecked, None]:
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
                yield event_of(model, checked)
        finally:
            check.cancel()
            await job


def find(models: Iterable[InstalledModel], ref: str, folder: PurePath) -> InstalledModel | None:
    """By path, title, source, another name or a short one, where only one has it; None without.

    Raises:
        NotFound: several have it.
    """
    known = list(models)
    for names in (lambda model: _paths(model, folder), lambda model: {model.title, model.source}, _names, _short):
        fitting = [model for model in known if ref in names(model)]
        if len(fitting) > 1:
            paths = ", ".join(clean_line(model.path) for model in fitting)
            raise NotFound(
                f"Several installed models are called {clean_line(ref)!r}: {paths}.", remedy="Give the path."
            )
        if fitting:
            return fitting[0]
    return None


def found(model: InstalledModel | None, ref: str, *, host: str = LOCAL_HOST) -> InstalledModel:
    """What `find` found.

    Raises:
        NotFound: nothing.
    """
    if model is None:
        where = "" if host == LOCAL_HOST else f" on {host}"
        raise NotFound(
            f"No model {clean_line(ref)!r} is installed{where}.",
            remedy=f"modelyard files list{option(host)} shows them all.",
        )
    return model


def _found(seen: Tree, told: Collection[str] = ()) -> list[FoundFile]:
    """Those that nothing tells of."""
    untold = sorted(path for path in seen.files if path not in told)
    return [FoundFile(path=path, size=seen.files[path]) for path in untold]


def _gone(folder: Path, models: Sequence[InstalledModel], there: Collection[str]) -> dict[str, list[str]]:
    """By model, its files that are neither there nor behind links to other folders, which nobody looked in; blocks."""
    absent = missing(models, there)
    found = {path: [name for name in names if not (folder / name).exists()] for path, names in absent.items()}
    return {path: names for path, names in found.items() if names}


def _paths(model: InstalledModel, folder: PurePath) -> set[str]:
    return {model.path, str(folder / model.path)}


def _names(model: InstalledModel) -> set[str]:
    """What else a store calls it."""
    names = model.more.get("names", ())
    return {str(name) for name in names} if isinstance(names, list | tuple) else set()


def _short(model: InstalledModel) -> set[str]:
    """What people call it: the end of its path or title, without a weights' ending, or Ollama's usual tag."""
    ends = (text.rpartition("/")[2] for text in (model.path, model.title))
    return {_ENDING.sub("", end) for end in ends}


def event_of(model: InstalledModel, checked: Checked) -> FileChecked:
    """What is told of a file that was checked."""
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


def _home(path: str) -> str:
    return str(Path(path).expanduser()) if path else ""


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size if os.path.isfile(path) else None  # noqa: PTH113, PTH116 - text in, number out
    except (OSError, ValueError):
        return None
