"""What a source offers: a listing that a job can keep, and how each of its files is had."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from core.downloads.values import RemoteFile
from core.errors import InvalidInput

_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_PATH_LIMIT, _NAME_LIMIT = 1024, 240  # bytes; a part's hidden name is a little longer than the file's
_MOST_FILES = 100_000
_MISLEADING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of characters that can't be seen


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file; `path` is relative to the model's folder and stays in it, `url` holds no token and no signature.

    `git_sha1` is git's own hash of it, which sources tell for small files without a SHA-256.
    """

    path: str
    size: int | None = None
    sha256: str = ""
    url: str = ""
    git_sha1: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", safe_path(self.path))


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a source offers under a name now; JSON-ready, so that a job can keep it.

    `source` is the canonical text, `folder` the place under the models folder: `org/name` or a family. `gated` is
    "", "auto" or "manual"; `key` names the key that a token of this source is kept under.
    """

    source: str
    title: str
    folder: str
    files: tuple[SourceFile, ...]
    revision: str = ""
    licence: str = ""
    gated: str = ""
    key: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", safe_path(self.folder))
        _refuse_clashes(self.files)

    @property
    def size(self) -> int | None:
        """Bytes of all files; None when the source does not tell all of them."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Listing:
        """Checked again: what was kept may have been changed."""
        files = tuple(SourceFile(**file) for file in values["files"])
        return cls(**{**values, "files": files})


class Source(Protocol):
    """One kind of place that files come from; `key` is the name that a token for it is kept under, "" without."""

    name: str
    key: str

    def understands(self, text: str) -> bool:
        """Whether `text`, as a user gives it, is for this source."""

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        """What is there now.

        Raises:
            DownloadFailed: it can't be told; `DownloadDenied` when a token is needed. InvalidInput: the text is off.
        """

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        """How to fetch one of its files; the token goes to the source's own host alone."""


def safe_path(path: str) -> str:
    """The path, if it is relative, plain and stays where it is put on every file system.

    Raises:
        InvalidInput: absolute, `..`, backslashes, control characters, Windows' devices, too long.
    """
    if problem := _problem(path):
        raise InvalidInput({"path": f"{path[:200]!r} is refused: {problem}"})
    return path


def _problem(path: str) -> str:
    parts = path.split("/")
    if not path or PurePosixPath(path).is_absolute() or "" in parts or {".", ".."} & set(parts):
        return "it is empty, absolute or leads out of the folder"
    if "\\" in path or ":" in path or any(unicodedata.category(char) in _MISLEADING for char in path):
        return "it has characters that some systems take for something else"
    if any(_WINDOWS.fullmatch(part) or part != part.strip() or part.endswith(".") for part in parts):
        return "a part of it is no file name on some systems"
    if len(path.encode()) > _PATH_LIMIT or max(len(part.encode()) for part in parts) > _NAME_LIMIT:
        return "it is too long"
    return ""


def _refuse_clashes(files: Sequence[SourceFile]) -> None:
    """Names that are one on some systems, and files that would be folders of others."""
    if len(files) > _MOST_FILES:
        raise InvalidInput({"files": f"{len(files):,} files are more than {_MOST_FILES:,}"})
    seen: dict[str, str] = {}
    for file in files:
        key = unicodedata.normalize("NFC", file.path).casefold()
        if key in seen:
            raise InvalidInput({"files": f"{seen[key]!r} and {file.path!r} are one name on some systems"})
        seen[key] = file.path
    for key, path in seen.items():
        if any(str(parent) in seen for parent in PurePosixPath(key).parents):
            raise InvalidInput({"files": f"{path!r} lies in a file of the same listing"})
