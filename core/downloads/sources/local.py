"""Files and folders of this machine (D5): copied, linked or moved into the models folder.

Kinds of files that no model is made of are refused; pickles are scanned before they are taken; a folder that brings an
installed-models.json (a carried disk) tells the hashes, and where its files came from.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from core.downloads.sources.base import Listing, SourceFile
from core.downloads.values import Address, RemoteFile
from core.errors import FileProblem, InvalidInput, NotFound, Refused
from core.files import installed, pickles, stores
from core.files.installed import InstalledModel
from core.files.kinds import ALONE, Kind, is_weights, kind_of
from core.files.pickles import Level
from core.text import clean_line

_FOLDER = "custom"
_SHOWN = 5


class LocalSource:
    """A path: one file, or a folder with everything in it; links are not followed out of the folder."""

    name = "local"
    key = ""

    def understands(self, text: str) -> bool:
        return text.startswith(("/", "./", "../", "~", "local:"))

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        del token
        return await asyncio.to_thread(_listing, text.removeprefix("local:"), tuple(patterns))

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        address = Address(url=file.url)
        return RemoteFile(address=lambda: address, size=file.size, name=file.path)


def _listing(text: str, patterns: tuple[str, ...]) -> Listing:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise NotFound(f"There is no {path}.", remedy="Check the spelling.")
    base, found = (path, tuple(_inside(path, patterns))) if path.is_dir() else (path.parent, (_alone(path),))
    taken = [file for file in found if kind_of(file.path) is not Kind.UNKNOWN]
    left_out = [file.path for file in found if kind_of(file.path) is Kind.UNKNOWN]
    if patterns and left_out:
        raise InvalidInput({"include": f"{left_out[0]!r} is not a model's file: {_kinds()} are taken"})
    if not any(is_weights(file.path) for file in taken):
        raise InvalidInput({"source": f"{path} holds no model file: {_kinds()} are taken"})
    told = _told(base, taken)
    known = next(iter(told.values()), None)
    hashes = _hashes(base, told)
    return Listing(
        source=f"local:{path}",
        title=path.name,
        folder=f"{_FOLDER}/{path.name}" if path.is_dir() else _FOLDER,
        files=tuple(
            SourceFile(path=file.path, size=file.size, url=file.url, sha256=hashes.get(file.path, "")) for file in taken
        ),
        revision=known.revision if known else "",
        licence=known.licence if known else "",
        metadata=_metadata(base, taken, left_out, known),
    )


def _metadata(
    base: Path, taken: Iterable[SourceFile], left_out: Sequence[str], known: InstalledModel | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"warnings": _warnings(base, taken), "notes": _notes(left_out)}
    if known is not None and known.source and not known.by_hand:
        found["origin"] = known.source
    return {name: value for name, value in found.items() if value}


def _warnings(base: Path, taken: Iterable[SourceFile]) -> list[str]:
    """What a scanner sees of pickles, but for those that import only what tensors need."""
    names = [file.path for file in taken if kind_of(file.path) is Kind.PICKLE]
    scans = zip(names, pickles.scan([base / name for name in names]), strict=True)
    return list(pickles.problems({name: one for name, one in scans if one.level != Level.KNOWN}))


def _notes(left_out: Sequence[str]) -> list[str]:
    if not left_out:
        return []
    named = ", ".join(map(clean_line, left_out[:_SHOWN])) + (", …" if len(left_out) > _SHOWN else "")
    return [f"Left out, since no model is made of such files: {named}"]


def _told(base: Path, taken: Iterable[SourceFile]) -> dict[str, InstalledModel]:
    """What an installed-models.json in the folder, or above it, tells of these files; by path in the folder."""
    for top in (base, *base.parents):
        if (top / installed.NAME).is_file():
            try:
                models = {str(file["path"]): model for model in installed.read(top) for file in model.files}
            except (FileProblem, OSError):
                return {}
            places = {(base / file.path).relative_to(top).as_posix(): file.path for file in taken}
            return {places[path]: model for path, model in models.items() if path in places}
    return {}


def _hashes(base: Path, told: dict[str, InstalledModel]) -> dict[str, str]:
    found = {}
    for path, model in told.items():
        whole = (base / path).as_posix()
        hashes = {str(file["path"]): str(file.get("sha256", "")) for file in model.files}
        found[path] = next((sha256 for name, sha256 in hashes.items() if whole.endswith(f"/{name}")), "")
    return found


def _alone(path: Path) -> SourceFile:
    if not path.name.lower().endswith(ALONE):
        raise InvalidInput({"source": f"{path.name!r} is not a model's file: {_kinds()} are taken"})
    return SourceFile(path=path.name, size=path.stat().st_size, url=path.as_uri())


def _inside(folder: Path, patterns: tuple[str, ...]) -> Iterator[SourceFile]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(base) / name
            relative = path.relative_to(folder).as_posix()
            chosen = not patterns or any(fnmatch.fnmatchcase(relative, pattern) for pattern in patterns)
            hidden = name.startswith(".") or name == installed.NAME
            if chosen and not hidden and path.is_file() and (real := _real(path)) is not None:
                yield SourceFile(path=relative, size=real.stat().st_size, url=real.as_uri())


def _real(path: Path) -> Path | None:
    """The file itself; a link counts only in Hugging Face's cache, whose snapshots are links to its own blobs."""
    if not path.is_symlink():
        return path
    root, real = stores.root_of(str(path.parent)), path.resolve()
    return real if root and Path(root).resolve() in real.parents else None


def refuse_move(listing: Listing) -> None:
    """Files of another program are copied or linked, never taken away.

    Raises:
        Refused: it is a listing of such files.
    """
    for file in listing.files:
        path = unquote(urlsplit(file.url).path)
        if stores.is_kept(path):
            raise Refused(
                f"{clean_line(path)} belongs to another program, which would miss it.",
                remedy="Copy or link it, or use it where it is: modelyard files register",
            )


def refuse_link(listing: Listing, place: Path) -> None:
    """A file has two names on one file system only; blocks.

    Raises:
        Refused: `place`, which need not be there yet, is on another one than a file of the listing.
    """
    above = next(one for one in (place, *place.parents) if one.exists())
    for file in listing.files:
        path = unquote(urlsplit(file.url).path)
        if file.url.startswith("file:") and os.stat(path).st_dev != above.stat().st_dev:  # noqa: PTH116 - text in
            raise Refused(
                f"{clean_line(path)} is on another file system than {clean_line(str(above))}: it can't be linked.",
                remedy="Copy it (--how copy), or use it where it is: "
                f"modelyard files register {clean_line(listing.source.removeprefix('local:'))}",
            )


def _kinds() -> str:
    return ", ".join(ALONE)
