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

_TEXTS = ("title", "source", "revision", "licence")


def entries(outgoing: Outgoing, models: Path) -> list[dict[str, Any]]:
    """JSON-ready: of each model that this machine's models folder tells of, and of what is left over."""
    places = {str(file.path): file.place for file in outgoing.files}
    told: list[dict[str, Any]] = []
    for model in outgoing.known:
        theirs = {str(models / file["path"]): str(file["path"]) for file in model.files}
        mine = {places.pop(path): name for path, name in theirs.items() if path in places}
        if mine:
            texts = {name: getattr(model, name) for name in _TEXTS}
            told.append({**texts, "path": _path_of(mine, model.path), "files": sorted(mine)})
    if places:
        files = sorted(places.values())
        path = files[0] if len(files) == 1 else outgoing.place or posixpath.commonpath(files) or outgoing.title
        told.append({"title": outgoing.title, "source": "copy", "path": path, "files": files})
    return told


def _path_of(mine: Mapping[str, str], path: str) -> str:
    """The model's own path there, from the place of one of its files there and its name here."""
    place, name = next(iter(mine.items()))
    below = os.path.relpath(name, path)
    if len(mine) == 1 and below == ".":
        return place
    return place.removesuffix(f"/{below}") if place.endswith(f"/{below}") else posixpath.dirname(place) or place


def told_by(kept: Iterable[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> list[InstalledModel]:
    """The entries with the sizes and hashes of the files that are there."""
    by_place = {str(file["path"]): file for file in files}
    at = now().isoformat(timespec="seconds")
    return [
        InstalledModel(
            **{**one, "files": tuple(by_place[place] for place in one["files"] if place in by_place)}, installed_at=at
        )
        for one in kept
    ]
