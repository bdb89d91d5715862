"""`installed-models.json`: what lies in a models folder, so that it explains itself wherever it is carried (D7)."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from core.errors import FileProblem
from core.events import now
from core.files.kinds import PICKLES
from core.files.packed import PackedFiles, each_model, packed
from core.files.paths import stays_inside
from core.files.pickles import PickleScan, marked, worst
from core.text import clean_line

NAME = "installed-models.json"
FOUND = "found"  # the source of what was carried in or put there by hand
_VERSION = 1
_NOT_KEPT = {"more", "store", "problem"}
_TEXTS = ("path", "title", "source", "revision", "licence", "installed_at")
_OWN = frozenset({*_TEXTS, "files", *_NOT_KEPT})
_PLAIN = re.compile(r"[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*)*", re.ASCII)  # a path that stays inside
_NO_MORE: Mapping[str, Any] = {}
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
    @property
    def metadata(self) -> Mapping[str, Any]: ...


class _File(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledModel:
    """One model: a folder, or a single file.

    Paths are relative to the models folder, but absolute where `store` names the tool that keeps them elsewhere
    ("huggingface", "ollama"): those are used in place and never changed. `files` are {"path", "size", "sha256"}, a
    pickle also has what the scanner saw of it under "pickle". `problem` tells what is missing of a store's model.
    """

    path: str
    title: str
    source: str = ""
    revision: str = ""
    licence: str = ""
    installed_at: str = ""
    files: Sequence[Mapping[str, Any]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)  # of newer versions, kept as it is
    store: str = ""
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        if isinstance(self.files, PackedFiles):
            return self.files.size
        return sum(int(file["size"]) for file in self.files)

    @property
    def by_hand(self) -> bool:
        """Whether somebody else put its files there, and they were only taken up."""
        return self.source == FOUND

    @property
    def pickle(self) -> PickleScan | None:
        """The worst that a scanner saw of its pickles; None without any."""
        if isinstance(self.files, PackedFiles):  # nothing is told of them but size and hash
            return None
        return worst(found for file in self.files if (found := PickleScan.from_dict(file.get("pickle"))))

    @property
    def warning(self) -> str:
        """A sentence about its pickles; "" without any."""
        marks = [(str(file["path"]), PickleScan.from_dict(file.get("pickle"))) for file in self.files]
        scans = [(path.rpartition("/")[2], one) for path, one in marks if one]
        name, found = next(((name, one) for name, one in scans if one == self.pickle), ("", None))
        if found:
            return f"{clean_line(name)} {found.text}."
        unscanned = (str(file["path"]) for file in self.files if str(file["path"]).lower().endswith(PICKLES))
        name = clean_line(next(unscanned, "").rpartition("/")[2])
        return f"{name} can run code when it is loaded; modelyard files inspect scans it." if name else ""


def source_of(listing: _Listing) -> str:
    """Where it is from, as the folder's file tells it."""
    return str(listing.metadata.get("origin") or listing.source)


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
        source=source_of(listing),
        revision=listing.revision,
        licence=listing.licence,
        installed_at=now().isoformat(timespec="seconds"),
        files=placed,
    )


def read(folder: Path) -> list[InstalledModel]:
    """All that the folder's file tells, by path; none where there is no file.

    Raises:
        FileProblem: it is damaged, and never written over then; or the folder can't be read.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > LIMIT:
            raise FileProblem(f"{path} is larger than any such file.", remedy="Look at it, and move it away.")
        with path.open(encoding="utf-8") as file:
            return _models(str(path), file.read, lambda: path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise _damaged(str(path), error) from error
    except OSError as error:
        raise FileProblem(
            f"The models folder {folder} can't be read.",
            cause=str(error),
            remedy="Look at its rights and its disk, or choose another one: modelyard files base-dir FOLDER",
        ) from error


def parse(text: str, path: str) -> list[InstalledModel]:
    """What such a file tells, by path; `path` is the file's own, for messages.

    Raises:
        FileProblem: it is damaged, or names files outside of its folder.
    """
    return _models(path, StringIO(text).read, lambda: text)


def _models(path: str, read: Callable[[int], str], whole: Callable[[], str]) -> list[InstalledModel]:
    """Model by model; a file that is arranged in another way as a whole, which also tells what is wrong with it."""
    shared: dict[Any, Any] = {}
    try:
        try:
            models = [_parsed(one, shared) for one in each_model(read)]
        except (ValueError, KeyError, TypeError, AttributeError):
            models = [_parsed(one, shared) for one in json.loads(whole())["models"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error
    models.sort(key=lambda model: model.path)
    _refuse_outside(path, models)
    return models


def _damaged(path: str, error: Exception) -> FileProblem:
    return FileProblem(
        f"{path} can't be read: it is damaged.",
        cause=f"{type(error).__name__}: {error}"[:200],
        remedy="Move it away; modelyard files adopt makes a new one from the files that lie there.",
    )


def text_of(models: Iterable[InstalledModel]) -> str:
    """The file that tells of these models; `parse` is the inverse."""
    told = [
        {**model.more, **{name: value for name, value in asdict(model).items() if name not in _NOT_KEPT}}
        for model in sorted(models, key=lambda model: model.path)
    ]
    return json.dumps({"version": _VERSION, "models": told}, indent=1, ensure_ascii=False) + "\n"


def merged(before: InstalledModel | None, model: InstalledModel) -> InstalledModel:
    """The entry that replaces `before`: files that it named stay named."""
    files = {str(file["path"]): file for file in (*(before.files if before else ()), *model.files)}
    return replace(model, files=tuple(files[path] for path in sorted(files)))


def record(folder: Path, model: InstalledModel) -> InstalledModel:
    """Add or replace the entry of one path; files that other entries of that path named stay named.

    Pickles are scanned and marked. Blocks.

    Raises:
        FileProblem: the file is damaged, or a path leads out of the folder.
    """
    model = replace(model, files=marked(folder, model.files))
    _refuse_outside(str(folder / NAME), [model])
    with _changing(folder) as models:
        models[model.path] = merged(models.get(model.path), model)
        return models[model.path]


def forget(folder: Path, path: str) -> None:
    """Leave an entry out; files are not looked at."""
    with _changing(folder) as models:
        models.pop(path, None)


def _refuse_outside(path: str, models: Iterable[InstalledModel]) -> None:
    """A folder that was carried here may tell anything: none of its paths is followed out of it."""
    if (outside := next((one for one in _named(models) if not stays_inside(one)), None)) is not None:
        raise FileProblem(
            f"{path} names a file outside of its folder: {clean_line(outside)[:80]}",
            cause="It is damaged, or was made to reach other files.",
            remedy="Move it away; modelyard files adopt makes a new one from the files that lie there.",
        )


def _named(models: Iterable[InstalledModel]) -> Iterator[str]:
    """Every path that may lead out; of many folders' like files only one: it stays inside where both do."""
    seen: set[str] = {""}
    for model in models:
        if not _PLAIN.fullmatch(model.path):
            yield model.path
        if isinstance(model.files, PackedFiles):
            fresh = [name for name in model.files.names if name not in seen]
            seen.update(fresh)
            yield from fresh
        else:
            yield from (str(file["path"]) for file in model.files)


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, InstalledModel]]:
    """One program at a time reads, changes and writes, in one rename; whoever may write into the folder can."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f".{NAME}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        models = {model.path: model for model in read(folder)}
        yield models
        _write(folder / NAME, text_of(models.values()))
    finally:
        os.close(lock)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # a killed program's, perhaps another user's
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _parsed(values: Mapping[str, Any], shared: dict[Any, Any]) -> InstalledModel:
    """A model as it is told of; equal texts are one, since many models have a licence and an arrangement."""
    texts = {name: str(values[name]) for name in _TEXTS if name in values}
    path, licence = texts.get("path", ""), texts.get("licence", "")
    if "licence" in texts:
        texts["licence"] = shared.setdefault(licence, licence)
    if texts.get("title") == path:
        texts["title"] = path
    told = values.get("files", ())
    files: Sequence[Mapping[str, Any]] | None = packed(path, told, shared)
    if files is None:
        files = tuple({**file, "path": str(file["path"]), "size": int(file["size"])} for file in told)
    more = _NO_MORE if values.keys() <= _OWN else {name: values[name] for name in values if name not in _OWN}
    return InstalledModel(**texts, files=files, more=more)
