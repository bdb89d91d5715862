"""Files and folders of this machine (D5): copied, linked or moved into the models folder."""

from __future__ import annotations

import asyncio
import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.downloads.sources.base import Listing, SourceFile
from core.downloads.values import Address, RemoteFile
from core.errors import InvalidInput, NotFound

KINDS = (".safetensors", ".gguf", ".ckpt", ".pth", ".bin")
_BESIDE = (".json", ".txt", ".model", ".md", ".jinja", ".py", ".tiktoken")  # what a model's folder holds besides
_FOLDER = "custom"


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
    files = _files(path, patterns)
    folder = f"{_FOLDER}/{path.name}" if path.is_dir() else _FOLDER
    return Listing(source=f"local:{path}", title=path.name, folder=folder, files=files)


def _files(path: Path, patterns: tuple[str, ...]) -> tuple[SourceFile, ...]:
    if not path.exists():
        raise NotFound(f"There is no {path}.", remedy="Check the spelling.")
    if path.is_file():
        _refuse_kind(path, KINDS)
        return (SourceFile(path=path.name, size=path.stat().st_size, url=path.as_uri()),)
    found = tuple(_inside(path, patterns))
    if not any(file.path.lower().endswith(KINDS) for file in found):
        raise InvalidInput({"source": f"{path} holds no model file: {', '.join(KINDS)} are taken"})
    return found


def _inside(folder: Path, patterns: tuple[str, ...]) -> Iterator[SourceFile]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(base) / name
            relative = path.relative_to(folder).as_posix()
            chosen = not patterns or any(fnmatch.fnmatchcase(relative, pattern) for pattern in patterns)
            if not chosen or name.startswith(".") or not path.is_file() or path.is_symlink():
                continue
            if patterns or path.suffix.lower() in (*KINDS, *_BESIDE):
                yield SourceFile(path=relative, size=path.stat().st_size, url=path.as_uri())


def _refuse_kind(path: Path, kinds: tuple[str, ...]) -> None:
    if path.suffix.lower() not in kinds:
        raise InvalidInput({"source": f"{path.name!r} is not a model's file: {', '.join(kinds)} are taken"})
