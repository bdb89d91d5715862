"""`installed-models.json`: what lies in a models folder, so that it explains itself wherever it is carried (D7)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from core.errors import FileProblem
from core.events import now

NAME = "installed-models.json"
_VERSION = 1
LIMIT = 256 << 20  # bytes


class _Listing(Protocol):
    @property
    def source(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def licence(self) -> str: ...


class _File(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class InstalledModel:
    """One model: a folder, or a single file. All paths are relative to the models folder.

    `files` are {"path", "size", "sha256"}.
    """

    path: str
    title: str
    source: str = ""
    revision: str = ""
    licence: str = ""
    installed_at: str = ""
    files: tuple[Mapping[str, Any], ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)  # of newer versions, kept as it is

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(int(file["size"]) for file in self.files)


def entry(models: Path, folder: Path, listing: _Listing, files: Iterable[_File]) -> InstalledModel:
    """What a download into `folder` adds to the file of the models folder `models`.

    Raises:
        FileProblem: the one is not in the other.
    """
    try:
        place = folder.relative_to(models).as_posix()
    except ValueError as error:
        raise FileProblem(f"{folder} is not in {models}.", remedy="Choose a folder below it.") from error
    told = [file.as_dict() for file in files]
    placed = tuple({**file, "path": f"{place}/{file['path']}"} for file in told)
    return InstalledModel(
        path=placed[0]["path"] if len(placed) == 1 else place,
        title=listing.title,
        source=listing.source,
        revision=listing.revision,
        licence=listing.licence,
        installed_at=now().isoformat(timespec="seconds"),
        files=placed,
    )


def read(folder: Path) -> list[InstalledModel]:
    """All that the folder's file tells, by path; none where there is no file.

    Raises:
        FileProblem: it is damaged; it is never written over then.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > LIMIT:
            raise FileProblem(f"{path} is larger than any such file.", remedy="Look at it, and move it away.")
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise _damaged(str(path), error) from error


def parse(text: str, path: str) -> list[InstalledModel]:
    """What such a file tells, by path; `path` is the file's own, for messages.

    Raises:
        FileProblem: it is damaged.
    """
    try:
        content = json.loads(text)
        return sorted((_parsed(one) for one in content["models"]), key=lambda model: model.path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> FileProblem:
    return FileProblem(
        f"{path} can't be read: it is damaged.",
        cause=f"{type(error).__name__}: {error}"[:200],
        remedy="Move it away; modelyard files adopt makes a new one from the files that lie there.",
    )


def text_of(models: Iterable[InstalledModel]) -> str:
    """The file that tells of these models; `parse` is the inverse."""
    told = [
        {**model.more, **{name: value for name, value in asdict(model).items() if name != "more"}}
        for model in sorted(models, key=lambda model: model.path)
    ]
    return json.dumps({"version": _VERSION, "models": told}, indent=1, ensure_ascii=False) + "\n"


def merged(before: InstalledModel | None, model: InstalledModel) -> InstalledModel:
    """The entry that replaces `before`: files that it named stay named."""
    files = {str(file["path"]): file for file in (*(before.files if before else ()), *model.files)}
    return replace(model, files=tuple(files[path] for path in sorted(files)))


def record(folder: Path, model: InstalledModel) -> InstalledModel:
    """Add or replace the entry of one path; files that other entries of that path named stay named.

    Raises:
        FileProblem: the file is damaged.
    """
    with _changing(folder) as models:
        models[model.path] = merged(models.get(model.path), model)
        return models[model.path]


def forget(folder: Path, path: str) -> None:
    """Leave an entry out; files are not looked at."""
    with _changing(folder) as models:
        models.pop(path, None)


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, InstalledModel]]:
    """One program at a time reads, changes and writes, in one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f".{NAME}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        models = {model.path: model for model in read(folder)}
        yield models
        _write(folder / NAME, text_of(models.values()))
    finally:
        os.close(lock)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _parsed(values: Mapping[str, Any]) -> InstalledModel:
    texts = ("path", "title", "source", "revision", "licence", "installed_at")
    files = tuple({**file, "path": str(file["path"]), "size": int(file["size"])} for file in values.get("files", ()))
    more = {name: value for name, value in values.items() if name not in {*texts, "files"}}
    return InstalledModel(**{name: str(values[name]) for name in texts if name in values}, files=files, more=more)
