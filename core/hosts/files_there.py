"""The model files of a host behind SSH: the `ModelFiles` of it, in few round trips, read and hashed by the host."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from core.at_once import each
from core.errors import CommandFailed, Refused
from core.events import Progress
from core.files import adopting, deleting, leftovers, pickle_fetch, stores
from core.files.kinds import is_weights
from core.files.model_files import FileChecked, FoundFile, Survey, Usage, missing, usage_of
from core.files.service import event_of, find, found
from core.files.tree import Tree
from core.files.verify import Checked, Condition
from core.hosts import files_script, installed_there, remote, stores_there
from core.hosts.base_dir import models_dir_of
from core.hosts.hashes_there import Hashed, hash_files
from core.hosts.mounted import container_with
from core.hosts.stream_copy import look
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.leftovers import Leftover
    from core.hosts.connection import Completed, Connection
    from core.hosts.files_script import Parent, Seen
    from core.registry.records import Host
    from core.registry.store import Registry

_WAIT_S = 180.0  # for a folder of many files on a slow disk
_DELETE_S = 1800.0  # some file systems take seconds for a large file
_LOOK_AT = 500  # paths in one question


class FilesThere:
    """The models folder of a host, explained by its `installed-models.json`."""

    def __init__(self, host: Host, connection: Connection, registry: Registry) -> None:
        self._host = host
        self._connection = connection
        self._registry = registry

    @property
    def host(self) -> str:
        return self._host.name

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self._host.models_dir or "/")

    async def installed(self) -> list[InstalledModel]:
        return await installed_there.read(self._connection, str(self.folder)) if self._host.models_dir else []

    async def stores(self) -> list[InstalledModel]:
        return await stores_there.read(self._connection)

    async def get(self, ref: str) -> InstalledModel:
        known = find(await self.installed(), ref, self.folder)
        return known or found(find(await self.stores(), ref, self.folder), ref, host=self.host)

    async def survey(self, models: Sequence[InstalledModel]) -> Survey:
        seen = await self._look(every=True)
        survey = await asyncio.to_thread(self._survey, models, seen)
        return replace(survey, gone=await self._really_gone(survey.gone)) if survey.gone else survey

    async def _really_gone(self, absent: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Without those behind links to other folders, which the look did not follow."""
        there = await self.sizes(str(self.folder / path) for paths in absent.values() for path in paths)
        gone = {name: [one for one in paths if str(self.folder / one) not in there] for name, paths in absent.items()}
        return {name: paths for name, paths in gone.items() if paths}

    def _survey(self, models: Sequence[InstalledModel], seen: Seen) -> Survey:
        told, files = adopting.told_of(models), seen.tree.files
        usage = usage_of(
            models,
            seen.stores,
            host=self.host,
            folder=self.folder,
            total=seen.tree.total,
            free=seen.free,
            unfinished=leftovers.grouped(seen.tree.hidden),
        )
        untold = (path for path in sorted(files) if path not in told and is_weights(path))
        unknown = [FoundFile(path=path, size=files[path]) for path in untold]
        return Survey(unknown=unknown, stores=seen.stores, usage=usage, gone=missing(models, files))

    async def leftovers(self) -> list[Leftover]:
        seen = await self._look(every=False)
        return [_kept(one, seen.busy) for one in leftovers.grouped(seen.tree.hidden)]

    async def remove(self, paths: Sequence[str]) -> None:
        argv = files_script.delete_argv(str(self.folder))
        done = await self._run(argv, files_script.deletions(paths), timeout_s=_DELETE_S)
        told = done.stdout.split()
        if told != ["1"] * len(paths):
            bad = next((number for number, one in enumerate(told) if one != "1"), len(told))
            raise deleting.not_tidied(self.host, paths[min(bad, len(paths) - 1)], told.count("1"), done.stderr[:300])

    async def usage(self) -> Usage:
        return (await self.survey(await self.installed())).usage

    async def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        wanted = list(paths)
        there: dict[str, int] = {}
        for at in range(0, len(wanted), _LOOK_AT):
            some = wanted[at : at + _LOOK_AT]
            seen = await look(self._connection, some)
            there |= {path: one.size for path, one in zip(some, seen, strict=True) if one.kind == "f"}
        return there

    async def verify(self, models: Iterable[InstalledModel]) -> AsyncGenerator[Progress | FileChecked, None]:
        for model in models:
            paths = {self._path(file): file for file in model.files}
            there = await self.sizes(paths)
            whole = {path: size for path, size in there.items() if size == int(paths[path]["size"])}
            for path in paths.keys() - whole.keys():
                condition = Condition.SHORT if path in there else Condition.MISSING
                yield event_of(model, _checked(paths[path], condition, there.get(path)))
            reading = {path: size for path, size in whole.items() if paths[path].get("sha256")}
            for path in whole.keys() - reading.keys():
                yield event_of(model, _checked(paths[path], Condition.UNKNOWN, whole[path]))
            async with aclosing(hash_files(self._connection, reading)) as events:
                async for event in events:
                    if isinstance(event, Hashed):
                        file = paths[event.path]
                        right = Condition.FINE if event.sha256 == file["sha256"] else Condition.CHANGED
                        condition = right if event.sha256 else Condition.UNREADABLE
                        yield event_of(model, _checked(file, condition, whole[event.path]))
                    else:
                        yield _progress(model.path, f"verifying {model.title}", event, sum(reading.values()))

    async def adopt(self, folder: str = "") -> AsyncGenerator[Progress | InstalledModel, None]:
        models_dir_of(self._host)
        under = adopting.below(self.folder, folder, host=self.host)
        there = (await self._look(every=True)).tree.files
        known = {model.path: model for model in await self.installed()}
        for place in adopting.lists(there, under):
            told = await installed_there.read(self._connection, str(self.folder / place))
            if models := list(adopting.carried(place, told, there, known)):
                await self._note(models)
            for model in models:
                yield model
        groups = adopting.untold(there, await self.installed(), under)
        done, total = 0, sum(there[path] for paths in groups.values() for path in paths)
        for batch in adopting.batches(groups, there):
            reading = {str(self.folder / path): there[path] for paths in batch.values() for path in paths}
            hashes: dict[str, str] = {}
            async with aclosing(hash_files(self._connection, reading)) as events:
                async for event in events:
                    if isinstance(event, Hashed):
                        hashes[str(PurePosixPath(event.path).relative_to(self.folder))] = event.sha256
                    else:
                        yield _progress("adopt", f"reading {next(iter(batch))}", done + event, total)
            done += sum(reading.values())
            read = {place: paths for place, paths in batch.items() if all(hashes[path] for path in paths)}
            for model in await self._taken(read, hashes, there):
                yield model
            self._refuse_unread(hashes)

    async def _taken(
        self, batch: Mapping[str, Sequence[str]], hashes: Mapping[str, str], sizes: Mapping[str, int]
    ) -> list[InstalledModel]:
        """Told of from now on, by what their headers say; their pickles are marked."""
        facts = await each(batch, lambda place: adopting.facts_of(self._connection, str(self.folder / place)))
        return await self._note(
            [
                adopting.described(
                    place, [{"path": path, "size": sizes[path], "sha256": hashes[path]} for path in paths], told
                )
                for (place, paths), told in zip(batch.items(), facts, strict=True)
            ]
        )

    async def _note(self, models: Sequence[InstalledModel]) -> list[InstalledModel]:
        files = await each(models, lambda model: pickle_fetch.marked(self._connection, self.folder, model.files))
        marked = [replace(model, files=those) for model, those in zip(models, files, strict=True)]
        await installed_there.note(self._connection, str(self.folder), marked)
        return marked

    async def to_delete(self, ref: str) -> InstalledModel:
        models = await self.installed()
        survey = await self.survey(models)
        by_hand = deleting.by_hand(self.folder, survey.unknown, ref)
        known = by_hand or find(models, ref, self.folder) or find(survey.stores, ref, self.folder)
        model = deleting.own(found(known, ref, host=self.host), models)
        stores.refuse_change(model)
        deleting.refuse_unnamed(model, ref, self.folder, host=self.host)
        await self._refuse_there(model)
        await deleting.refuse_needed(model, self.folder, self._registry, host=self.host, resolve=self._real)
        container = await container_with(self._connection, deleting.places_of(model, self.folder), self._real)
        deleting.refuse_mounted(model, container, host=self.host, target=self._host.target or self.host)
        return model

    async def delete(self, ref: str) -> InstalledModel:
        model = await self.to_delete(ref)
        paths = [str(file["path"]) for file in model.files]
        argv = files_script.delete_argv(str(self.folder))
        done = await self._run(argv, files_script.deletions(paths), timeout_s=_DELETE_S)
        told = done.stdout.split()
        bad = next((number for number, one in enumerate(told) if one != "1"), None)
        if bad is not None and told[bad] == "2":
            raise Refused(f"{self.host}: {clean_line(paths[bad])} has become a link meanwhile.", remedy="Look at it.")
        if bad is not None or len(told) != len(paths):
            left = paths[bad if bad is not None else len(told)]
            raise deleting.not_deleted(self.host, left, told.count("1"), len(paths), done.stderr[:300])
        await installed_there.forget(self._connection, str(self.folder), model.path)
        return model

    async def _refuse_there(self, model: InstalledModel) -> None:
        """What only the disk there can tell."""
        paths = [str(file["path"]) for file in model.files]
        argv = files_script.parents_argv(str(self.folder))
        done = await self._run(argv, files_script.names(paths))
        top, parents = files_script.parse_parents(done.stdout, len(paths))
        lie: dict[str, Parent] = dict(zip(paths, parents, strict=True))
        deleting.refuse_detours(top.path or self.folder, {path: one.path for path, one in lie.items() if one.path})
        changed = [top, *parents]  # the list of what is installed lies in the first
        deleting.refuse_unwritable(self.host, (one.path for one in changed if one.path and not one.writable))

    async def _real(self, paths: Sequence[str]) -> Sequence[str]:
        done = await self._run(files_script.real_argv(), files_script.names(paths))
        return done.stdout.split("\0")[:-1]

    async def _look(self, *, every: bool) -> Seen:
        if not self._host.models_dir:
            kept = await self.stores()
            return files_script.Seen(tree=Tree(files={}, total=0), free=0, stores=kept)
        done = await self._run(files_script.tree_argv(str(self.folder), every=every))
        return await asyncio.to_thread(files_script.parse_tree, str(self.folder), done.stdout)

    async def _run(self, argv: Sequence[str], stdin: bytes | None = None, *, timeout_s: float = _WAIT_S) -> Completed:
        done = await self._connection.run(argv, stdin=stdin, timeout_s=timeout_s, check=False)
        if done.code == remote.DENIED:
            raise remote.denied(self.host, str(self.folder), "read")
        if done.code == remote.MISSING:
            raise remote.not_found(self.host, str(self.folder))
        if done.code == 127:
            raise CommandFailed(f"{self.host}: a program is missing there.", cause=clean_line(done.stderr)[:300])
        return done

    def _path(self, file: Mapping[str, Any]) -> str:
        return posixpath.join(self.folder, str(file["path"]))

    def _refuse_unread(self, hashes: Mapping[str, str]) -> None:
        if unread := next((path for path, sha256 in hashes.items() if not sha256), None):
            raise remote.denied(self.host, str(self.folder / unread), "read")


def _kept(left: Leftover, busy: Collection[str]) -> Leftover:
    """A download that goes on there by itself, for whichever machine, needs its notes and its parts."""
    is_busy = left.path in busy or left.path.rpartition("/")[2] in busy
    return replace(left, kept="the host is downloading it") if is_busy else left


def _checked(file: Mapping[str, Any], condition: Condition, size: int | None) -> Checked:
    return Checked(path=str(file["path"]), condition=condition, size=size, expected=int(file["size"]))


def _progress(task: str, text: str, done: int, total: int) -> Progress:
    return Progress(task=task, text=clean_line(text), done=done, total=total, unit="bytes")
