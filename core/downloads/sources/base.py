"""What a source offers: a listing that a job can keep, and how each of its files is had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from core.downloads.values import RemoteFile
from core.files.paths import refuse_clashes, safe_path


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
        refuse_clashes(file.path for file in self.files)

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
