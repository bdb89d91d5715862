"""What a copy to hosts is made of: the files of a registered or installed model or a path, and where each goes."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import FileProblem, InvalidInput, NotAllowed, NotFound, WrongBytes
from core.files import installed
from core.files.gguf_info import split_of
from core.files.installed import InstalledModel
from core.files.paths import stays_inside
from core.files.stores import OLLAMA
from core.files.verify import Verification
from core.registry.values import LOCAL_HOST
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.service import FilesService
    from core.registry.records import Model
    from core.registry.store import Registry

_NAME_LIMIT = 255  # bytes
_UNUSUAL = re.compile(r"[^\w./-]")  # in a name of another tool's


@dataclass(frozen=True, kw_only=True)
class OutgoingFile:
    """A file here; `place` is its path below a host's models folder, `noted` the SHA-256 it was installed with."""

    path: Path
    place: str
    size: int
    mtime_ns: int
    noted: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is the inverse."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OutgoingFile:
        """Checked again: what was kept may have been changed."""
        file = cls(**{**values, "path": Path(values["path"])})
        if not stays_inside(file.place):
            raise InvalidInput({"place": f"{clean_line(file.place)} leads out of the models folder"})
        return file

    def refuse_changed(self) -> None:
        """Raises:
        WrongBytes: it is not the file any more that the copy began with.
        """
        try:
            now = self.path.stat()
        except OSError as error:
            raise FileProblem(f"{clean_line(str(self.path))} is gone.", cause=str(error)) from error
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise WrongBytes(
                f"{clean_line(str(self.path))} changed while it was copied.", remedy="Start the same copy again."
            )


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """Everything that goes to each host; `place` is the model's own path below the models folder there."""

    title: str
    place: str
    files: tuple[OutgoingFile, ...]
    model: Model | None = None
    is_relative: bool = False  # it lies at `place` below this machine's models folder, too
    known: tuple[InstalledModel, ...] = ()  # what this machine's models folder tells of these files

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


async def find(ref: str, *, registry: Registry, files: FilesService, folder: str = "") -> Outgoing:
    """What `ref` means: a path that begins with / or ., a registered model, an installed one, any other path.

    Raises:
        NotFound: none of them. NotAllowed: it lies on another host. FileProblem: a file can't be copied.
    """
    if folder and not stays_inside(folder.strip("/")):
        raise InvalidInput({"folder": "a plain path below the host's models folder is needed"})
    places = _Places(models=files.folder, folder=folder.strip("/"), known=await files.installed())
    if ref.startswith(("/", "./", "../", "~")):
        return await asyncio.to_thread(places.of_path, ref)
    model = await _registered(ref, registry)
    if model is not None and model.path:
        return await asyncio.to_thread(places.of_model, model)
    try:
        found = await files.get(ref)
    except NotFound as error:
        if await asyncio.to_thread(os.path.exists, ref):
            return await asyncio.to_thread(places.of_path, ref)
        raise _unknown(ref, model) from error
    return await asyncio.to_thread(places.of_installed, found, model)


async def _registered(ref: str, registry: Registry) -> Model | None:
    try:
        return await registry.get_model(ref)
    except NotFound:
        return None


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Finds files and their places; blocks. `folder` is where the user wants them on hosts, "" for where they are."""

    models: Path
    folder: str
    known: list[InstalledModel]

    def of_model(self, model: Model) -> Outgoing:
        if model.host != LOCAL_HOST:
            raise NotAllowed(
                f"The files of {model.name} are on {model.host}, not on this machine.",
                remedy="Copy from a machine that has them, or download them here first.",
            )
        return self.of_path(str(self.models / Path(model.path).expanduser()), model)

    def of_path(self, text: str, model: Model | None = None) -> Outgoing:
        path = Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - without following links
        if not path.exists():
            raise NotFound(f"There is no {clean_line(str(path))} on this machine.", remedy="Check the spelling.")
        found = sorted(_files_in(path)) if path.is_dir() else _parts(path)
        if not found:
            raise FileProblem(f"There is nothing to copy in {clean_line(str(path))}.", cause="Hidden files stay.")
        return self._outgoing(path, found, model)

    def of_installed(self, found: InstalledModel, model: Model | None) -> Outgoing:
        if found.store:
            return self._of_store(found, model)
        named = [self.models / str(file["path"]) for file in found.files]
        return self._outgoing(self.models / found.path, named, model)

    def _of_store(self, found: InstalledModel, model: Model | None) -> Outgoing:
        """What another tool keeps goes under the model's own name, not under its hashes."""
        name = _UNUSUAL.sub("-", found.source.partition(":")[2]).strip("/.-")
        places = replace(self, folder=self.folder or name, known=[*self.known, found])
        path = Path(found.path)
        named = [path] if found.store == OLLAMA else [Path(str(file["path"])) for file in found.files]
        outgoing = replace(places._outgoing(path, named, model), title=model.name if model else found.title)
        if found.store != OLLAMA:
            return outgoing
        place = f"{places.folder}/{name.rpartition('/')[2]}.gguf"
        return replace(outgoing, place=place, files=(replace(outgoing.files[0], place=place),))

    def _outgoing(self, path: Path, found: list[Path], model: Model | None) -> Outgoing:
        noted = {self.models / str(file["path"]): file for one in self.known for file in one.files}
        base = path if path.is_dir() else path.parent
        start = self._start(path, base)
        made = [
            outgoing_file(one, _joined(start, one.relative_to(base).as_posix()), noted.get(one, {})) for one in found
        ]
        names = set(found)
        tellers = [one for one in self.known if any(self.models / str(file["path"]) in names for file in one.files)]
        place = start if path.is_dir() else _joined(start, path.name)
        here = self.models / place
        return Outgoing(
            title=model.name if model else path.name,
            place=place,
            files=tuple(made),
            model=model,
            is_relative=here.exists() and here.samefile(path),
            known=tuple(tellers),
        )

    def _start(self, path: Path, base: Path) -> str:
        """Where the folder of the files goes: the same place as here, else the top, a folder under its own name."""
        if self.folder:
            return self.folder
        for here, top in ((base, self.models), (base.resolve(), self.models.resolve())):
            if here.is_relative_to(top):
                return here.relative_to(top).as_posix().removeprefix(".")
        return path.name if path.is_dir() else ""


def _joined(start: str, name: str) -> str:
    return f"{start}/{name}" if start else name


def _files_in(folder: Path) -> Iterator[Path]:
    """All files but hidden ones; links are followed, in circles only once."""
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real not in seen:
            yield from (Path(at) / name for name in names if not name.startswith(".") and name != installed.NAME)
        seen.add(real)


def _parts(path: Path) -> list[Path]:
    """A file, or all parts of the split model that it is one of."""
    split = split_of(path.name)
    if split is None:
        return [path]
    stem, _, count = split
    parts = [path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    if missing := [part.name for part in parts if not part.exists()]:
        raise FileProblem(f"{len(missing)} of {count} parts are missing: {clean_line(', '.join(missing[:3]))}.")
    return parts


def outgoing_file(path: Path, place: str, noted: Mapping[str, Any]) -> OutgoingFile:
    """The file at `path`, for `place` on hosts; `noted` is what the models folder tells of it.

    Raises:
        FileProblem: it can't be copied, or has another size than was installed.
    """
    shown = clean_line(str(path))
    if not stays_inside(place) or len(path.name.encode("utf-8", "surrogateescape")) > _NAME_LIMIT:
        raise FileProblem(f"The name of {shown} can't be used on a host.", remedy="Rename it: plain characters only.")
    try:
        seen = path.stat()
        with path.open("rb") if stat.S_ISREG(seen.st_mode) else nullcontext():
            pass
    except OSError as error:
        raise FileProblem(f"{shown} can't be read.", cause=error.strerror or str(error)) from error
    if not stat.S_ISREG(seen.st_mode):
        raise FileProblem(f"{shown} is no file.", remedy="Copy the files one by one, or move it away.")
    if noted and int(noted["size"]) != seen.st_size:
        raise not_as_installed(shown)
    return OutgoingFile(
        path=path, place=place, size=seen.st_size, mtime_ns=seen.st_mtime_ns, noted=str(noted.get("sha256", ""))
    )


class Hashing:
    """The SHA-256 of a whole file; `run` blocks."""

    def __init__(self, file: OutgoingFile) -> None:
        self._file = file
        self._check = Verification(file.path.parent, [{"path": file.path.name, "size": file.size}])

    def cancel(self) -> None:
        """Stop soon; what `run` gives then is worth nothing."""
        self._check.cancel()

    def run(self) -> str:
        """Raises:
        WrongBytes: the file changed since the copy began. FileProblem: it is not what was installed here.
        """
        file, shown = self._file, clean_line(str(self._file.path))
        try:
            found = self._check.sha256(file.path.name)
        except OSError as error:
            raise FileProblem(f"{shown} can't be read.", cause=str(error)) from error
        file.refuse_changed()
        if file.noted and found != file.noted:
            raise not_as_installed(shown)
        return found


def not_as_installed(shown: str) -> FileProblem:
    """A file here is another one than its note tells."""
    return FileProblem(
        f"{shown} is not what was installed: it has changed on this machine.",
        remedy="modelyard files verify tells which files are bad; download those again.",
    )


def _unknown(ref: str, model: Model | None) -> NotFound:
    if model is not None:
        return NotFound(
            f"{model.name} has no files.", remedy=f"modelyard models edit {model.name} --path FILE_OR_FOLDER"
        )
    return NotFound(
        f"{clean_line(ref)} is no registered model, no installed one and no path.",
        remedy="modelyard models list and modelyard files list show what there is.",
    )
