"""What a copy adds to a host's `installed-models.json`: what is told of the files here, and that others were copied."""

from __future__ import annotations

import os.path
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.events import now
from core.files.installed import InstalledModel

if TYPE_CHECKING:
    from core.downloads.outgoing import Outgoing

COPIED = "copy"  # the source of what nobody told of
_TEXTS = ("title", "source", "revision", "licence")


def entries(outgoing: Outgoing, models: Path) -> list[dict[str, Any]]:
    """JSON-ready: of each model that this machine's models folder tells of, and of what is left over."""
    places = {str(file.path): file.place for file in outgoing.files}
    told: list[dict[str, Any]] = []
    for model in outgoing.known:
        theirs = {str(models / file["path"]): file for file in model.files}
        mine = {places.pop(path): file for path, file in theirs.items() if path in places}
        if mine:
            texts = {name: getattr(model, name) for name in _TEXTS}
            files = [{**file, "path": place} for place, file in sorted(mine.items())]
            told.append({**texts, "path": _path_of(mine, model.path), "files": files})
    if left := sorted(places.values()):
        path = left[0] if len(left) == 1 else outgoing.place or posixpath.commonpath(left) or outgoing.title
        told.append({"title": outgoing.title, "source": COPIED, "path": path, "files": [{"path": one} for one in left]})
    return told


def _path_of(mine: Mapping[str, Mapping[str, Any]], path: str) -> str:
    """The model's own path there, from the place of one of its files there and its name here."""
    place, file = next(iter(mine.items()))
    below = os.path.relpath(str(file["path"]), path)
    if len(mine) == 1 and below == ".":
        return place
    return place.removesuffix(f"/{below}") if place.endswith(f"/{below}") else posixpath.dirname(place) or place


def told_by(kept: Iterable[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> list[InstalledModel]:
    """The entries with the sizes and hashes of the files that are there."""
    there = {str(file["path"]): file for file in files}
    at = now().isoformat(timespec="seconds")
    return [InstalledModel(**{**one, "files": _joined(one["files"], there)}, installed_at=at) for one in kept]


def _joined(kept: Iterable[Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple({**file, **there[file["path"]]} for file in kept if file["path"] in there)
