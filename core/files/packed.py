"""What is told of thousands of models' files, small: made into dictionaries as it is looked at, read piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json import JSONDecodeError, JSONDecoder
from typing import Any, overload

_KEYS = ("path", "size", "sha256")
_HASH = 32  # bytes
_CHUNK = 1 << 18  # characters
_HEAD = re.compile(r'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"models"\s*:\s*\[\s*(?=\{)')
_AFTER = re.compile(r"\s*([,\]])\s*(?=\S)")
_TAIL = re.compile(r"\}\s*")
Files = Sequence[Mapping[str, Any]]


class PackedFiles(Files):
    """{"path", "size", "sha256"} of the files below one folder; names are shared with other models."""

    __slots__ = ("_folder", "_hashes", "_names", "_sizes")

    def __init__(self, folder: str, names: tuple[str, ...], sizes: tuple[int, ...], hashes: bytes) -> None:
        self._folder = folder
        self._names = names  # "" is the folder itself, which is a file then
        self._sizes = sizes
        self._hashes = hashes

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._sizes)

    @property
    def names(self) -> tuple[str, ...]:
        """Paths from the folder on."""
        return self._names

    def _at(self, number: int) -> Mapping[str, Any]:
        name, start = self._names[number], number * _HASH
        path = f"{self._folder}/{name}" if name else self._folder
        return {"path": path, "size": self._sizes[number], "sha256": self._hashes[start : start + _HASH].hex()}

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Files: ...
    def __getitem__(self, at: int | slice) -> Mapping[str, Any] | Files:
        numbers = range(len(self._names))[at]
        return self._at(numbers) if isinstance(numbers, int) else tuple(map(self._at, numbers))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._at, range(len(self._names)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple | PackedFiles) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __deepcopy__(self, _: object) -> tuple[Mapping[str, Any], ...]:
        """What `dataclasses.asdict` takes, which JSON then takes."""
        return tuple(self)


def packed(folder: str, files: Iterable[Mapping[str, Any]], shared: dict[Any, Any]) -> PackedFiles | None:
    """The same, small; None where that would lose something. `shared` holds the names of other models' files."""
    names, sizes, hashes = [], [], []
    for file in files:
        if tuple(file) != _KEYS:
            return None
        path, size, sha256 = file.values()
        name, raw = _below(folder, path), _raw(sha256)
        if name is None or raw is None or type(size) is not int:
            return None
        names.append(name)
        sizes.append(size)
        hashes.append(raw)
    every = tuple(names)
    return PackedFiles(folder, shared.setdefault(every, every), tuple(sizes), b"".join(hashes))


def _below(folder: str, path: object) -> str | None:
    """A path from the folder on; None of one that is elsewhere."""
    if path == folder:
        return ""
    start = len(folder) + 1
    return path[start:] if isinstance(path, str) and path[:start] == f"{folder}/" and len(path) > start else None


def _raw(sha256: object) -> bytes | None:
    """A hash as bytes; None when it can't be had back from them."""
    if not isinstance(sha256, str) or len(sha256) != _HASH * 2:
        return None
    try:
        raw = bytes.fromhex(sha256)
    except ValueError:
        return None
    return raw if raw.hex() == sha256 else None


def each_model(read: Callable[[int], str]) -> Iterator[Mapping[str, Any]]:
    """The models of such a file as this program writes it, with never more than some of it in memory.

    Raises:
        ValueError: it is damaged, or arranged in another way.
    """
    decode = JSONDecoder().raw_decode
    text = read(_CHUNK)
    at = _found(_HEAD.match(text), 0).end()
    while True:
        try:
            value, end = decode(text, at)
            after = _found(_AFTER.match(text, end), end)
        except JSONDecodeError:  # perhaps it goes on
            more = read(max(_CHUNK, len(text) - at))
            if not more:
                raise
            text, at = text[at:] + more, 0
            continue
        yield value
        at = after.end()
        if after[1] == "]":
            break
    if not _TAIL.fullmatch(text[at:] + read(-1)):
        raise JSONDecodeError("It is arranged in another way", text, at)


def _found(match: re.Match[str] | None, at: int) -> re.Match[str]:
    if match is None:
        raise JSONDecodeError("It is arranged in another way", "", at)
    return match
