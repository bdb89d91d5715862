"""What transfers that did not come to their end left in a models folder: known by its name, and told file by file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_ID, _HASH = r"[0-9a-f]{12}", r"[0-9a-f]{12}"
_SHOWN = r"(?:[^/.][^/]*/)*"  # folders that are not hidden
_SENT = re.compile(rf"({_SHOWN}\.modelyard-{_HASH}-{_HASH}\.part)(?:\.sum)?")
_FOLDERS = re.compile(rf"(\.modelyard-(?:repair-{_ID}|direct/{_ID}|few-\d+))/.+", re.DOTALL)
_PART = re.compile(rf"({_SHOWN}\.[^/]+\.part)(?:\.json|\.new)?")


class Left(StrEnum):
    """What left it: a download, a repair's folder, or something that came from another machine."""

    DOWNLOAD = "download"
    REPAIR = "repair"
    SENT = "sent"  # a copy, or what a host fetched by itself; also the notes of both


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenFile:
    """A file of a leftover: its path below the models folder, bytes, seconds since it changed."""

    path: str
    size: int
    age_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """An unfinished file with its note, or a folder of ours; `kept` is why it may not be deleted, "" without."""

    path: str
    kind: Left
    files: tuple[str, ...]
    size: int
    age_s: float
    kept: str = ""


def is_hidden_work(path: str) -> bool:
    """Whether a path below the models folder has a name that only transfers give."""
    return _place(path) is not None


def grouped(found: Iterable[HiddenFile]) -> list[Leftover]:
    """Files that belong together as one, by path."""
    groups: dict[tuple[str, Left], list[HiddenFile]] = {}
    for file in found:
        if place := _place(file.path):
            groups.setdefault(place, []).append(file)
    return [_leftover(path, kind, files) for (path, kind), files in sorted(groups.items())]


def _leftover(path: str, kind: Left, files: list[HiddenFile]) -> Leftover:
    return Leftover(
        path=path,
        kind=kind,
        files=tuple(sorted(file.path for file in files)),
        size=sum(file.size for file in files),
        age_s=max(0.0, min(file.age_s for file in files)),
    )


def _place(path: str) -> tuple[str, Left] | None:
    """What a file belongs to."""
    if found := _FOLDERS.fullmatch(path):
        return found[1], Left.REPAIR if found[1].startswith(".modelyard-repair-") else Left.SENT
    patterns: tuple[tuple[re.Pattern[str], Left], ...] = ((_SENT, Left.SENT), (_PART, Left.DOWNLOAD))
    return next(((found[1], kind) for pattern, kind in patterns if (found := pattern.fullmatch(path))), None)
