"""The model files of a host, this machine or one behind SSH: one interface whichever it is (D7 to D10, L8)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from core.events import Event, Progress
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.leftovers import Leftover


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file in a models folder: its path below it, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Bytes by model and by family (the first folder), of everything there, what is free, and what other tools keep."""

    folder: str
    models: dict[str, int]
    families: dict[str, int]
    total: int
    free: int
    stores: dict[str, int] = field(default_factory=dict)  # by store, not in the total
    unfinished: int = 0  # what downloads and copies left that did not come to their end; in the total
    unfinished_count: int = 0
    host: str = LOCAL_HOST


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What lies on a host besides what its folder's file tells of, what it tells of and is gone, and what all takes."""

    unknown: Sequence[FoundFile]
    stores: Sequence[InstalledModel]
    usage: Usage
    gone: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by model, the paths of its missing files


@dataclass(frozen=True, kw_only=True)
class FileChecked(Event):
    """One file was compared with what was installed."""

    model: str
    path: str
    condition: str
    size: int | None
    expected: int
    cause: str = ""


class ModelFiles(Protocol):
    """The models folder of one host, explained by its `installed-models.json`.

    All methods raise FileProblem where that file is damaged, and of a host HostUnreachable and CommandFailed.
    """

    @property
    def host(self) -> str:
        """Its name."""

    @property
    def folder(self) -> PurePath:
        """The models folder there."""

    async def installed(self) -> list[InstalledModel]:
        """All models that the folder's file tells of, by path."""

    async def stores(self) -> list[InstalledModel]:
        """What other tools keep there (X8): usable in place, never changed from here."""

    async def get(self, ref: str) -> InstalledModel:
        """By path, title or source, where only one has it; the models folder comes before other tools' stores.

        Raises:
            NotFound: none, or several.
        """

    async def survey(self, models: Sequence[InstalledModel]) -> Survey:
        """What lies there besides these, the installed ones, and what all of it takes."""

    async def usage(self) -> Usage:
        """What the models take, and what is free."""

    async def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Bytes of those of these files, by absolute path, that are there."""

    def verify(self, models: Iterable[InstalledModel]) -> AsyncGenerator[Progress | FileChecked, None]:
        """Compare files with what was installed; ending the iteration stops it."""

    def adopt(self, folder: str = "") -> AsyncGenerator[Progress | InstalledModel, None]:
        """Take up what is there and not told of, everywhere or below `folder`; no file is changed.

        A folder with an installed-models.json of its own is taken at its word, which `verify` can check; all other
        files are read for their hashes, and their headers for what they are.

        Raises:
            InvalidInput: the folder is not in the models folder.
        """

    async def leftovers(self) -> list[Leftover]:
        """What transfers left that did not come to their end, whoever may still need it."""

    async def remove(self, paths: Sequence[str]) -> None:
        """Delete these files of the folder, and folders that hold nothing else then.

        Raises:
            FileProblem, Refused: one can't be deleted, or lies behind a link.
        """

    async def to_delete(self, ref: str) -> InstalledModel:
        """What `delete` would delete: not the files that another model has, too, which its `problem` tells.

        A file that was put there by hand is meant only where `ref` is exactly its path.

        Raises:
            NotFound: it is not there. Refused: a server uses it, a job works on it, another tool keeps it, or it was
            put there by hand and is not named exactly. FileProblem: a folder of it may not be changed.
        """

    async def delete(self, ref: str) -> InstalledModel:
        """Delete the files that were installed under a name, and their entry; other files there stay.

        Raises:
            NotFound, Refused, FileProblem: as `to_delete`; what was deleted before a failure is told.
        """


def family_of(path: str) -> str:
    """What a model belongs to by its place in the models folder: the first folder."""
    return path.partition("/")[0] if "/" in path else "other"


def usage_of(
    models: Iterable[InstalledModel],
    stores: Iterable[InstalledModel],
    *,
    host: str = LOCAL_HOST,
    folder: PurePath,
    total: int,
    free: int,
    unfinished: Sequence[Leftover] = (),
) -> Usage:
    """What these models take in a folder that takes `total` bytes, with `free` ones left."""
    taken = {model.path: model.size for model in models}
    families: dict[str, int] = {}
    for path, size in taken.items():
        family = family_of(path)
        families[family] = families.get(family, 0) + size
    kept: dict[str, dict[str, int]] = {}
    for model in stores:
        kept.setdefault(model.store, {}).update({_blob(file): int(file["size"]) for file in model.files})
    return Usage(
        host=host,
        folder=str(folder),
        models=taken,
        families=families,
        total=total,
        free=free,
        stores={store: sum(files.values()) for store, files in kept.items()},
        unfinished=sum(one.size for one in unfinished),
        unfinished_count=len(unfinished),
    )


def missing(models: Iterable[InstalledModel], there: Collection[str]) -> dict[str, list[str]]:
    """By model, those of its files that are not among these."""
    absent = {one.path: [path for file in one.files if (path := str(file["path"])) not in there] for one in models}
    return {path: names for path, names in absent.items() if names}


def option(host: str) -> str:
    """What a command says to mean this host."""
    return "" if host == LOCAL_HOST else f" --host {host}"


def _blob(file: Mapping[str, Any]) -> str:
    """What a file is counted once by, though several models have it."""
    return str(file.get("sha256") or file["path"])
