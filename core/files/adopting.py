"""Taking up what was carried into a models folder (D7): by its own installed-models.json, else by inspection."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.errors import FileProblem, ModelyardError
from core.events import now
from core.files import installed
from core.files.gguf_info import split_of
from core.files.here import HereSource
from core.files.inspect import inspect_model
from core.files.installed import FOUND, InstalledModel
from core.files.kinds import Kind, is_weights, kind_of
from core.files.paths import stays_inside

_WHOLE = ("model_index.json", "config.json", "adapter_config.json", "model.safetensors.index.json", "params.json")


def unknown(folder: Path, models: Sequence[InstalledModel]) -> list[str]:
    """Model files below the folder that none of these tells of, relative to it, by name; hidden ones stay hidden."""
    told = {str(file["path"]) for model in models for file in model.files}
    return sorted(path for path in below(folder) if is_weights(path) and path not in told)


def below(folder: Path) -> Iterator[str]:
    """Files below a folder, relative to it; links to folders are not followed, hidden ones not looked at."""
    start = len(str(folder)) + 1
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = f"{base}/{name}"[start:]
            if not name.startswith(".") and stays_inside(path):
                yield path


def carried(folder: Path, under: str = "") -> Iterator[InstalledModel]:
    """What the installed-models.json of folders below tells, with paths from here; those of other systems, too.

    Raises:
        FileProblem: one is damaged.
    """
    top = folder / under
    for path in sorted(path for path in top.rglob(installed.NAME) if path.parent != folder):
        place = path.parent.relative_to(folder).as_posix()
        for model in installed.read(path.parent):
            files = tuple({**file, "path": f"{place}/{file['path']}"} for file in model.files)
            if any((folder / str(file["path"])).exists() for file in files):
                yield replace(model, path=f"{place}/{model.path}", files=files)


def grouped(folder: Path, paths: Sequence[str]) -> dict[str, list[str]]:
    """Model files by the path of the model that they are: a folder with its configuration, a split, or one file."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(_model_of(folder, path), []).append(path)
    return {place: _all_of(folder, place, files) for place, files in groups.items()}


def _model_of(folder: Path, path: str) -> str:
    """The outermost folder with an index of parts, else the file's own with a configuration, else the file."""
    parents = [parent for parent in PurePosixPath(path).parents if str(parent) != "."]
    for parent in reversed(parents):
        if (folder / parent / _WHOLE[0]).exists():
            return str(parent)
    if parents and any((folder / parents[0] / name).exists() for name in _WHOLE) and not path.endswith(".gguf"):
        return str(parents[0])
    split = split_of(PurePosixPath(path).name)
    if split is None:
        return path
    return str(PurePosixPath(path).with_name(f"{split[0]}-{1:05}-of-{split[2]:05}.gguf"))


def _all_of(folder: Path, place: str, files: list[str]) -> list[str]:
    """The model's files, and of a folder what stands beside them."""
    if not (folder / place).is_dir():
        return files
    beside = (f"{place}/{path}" for path in below(folder / place) if kind_of(path) is not Kind.UNKNOWN)
    return sorted({*files, *beside})


def described(place: str, files: Sequence[Mapping[str, Any]], facts: Mapping[str, str]) -> InstalledModel:
    """The entry of what was found."""
    return InstalledModel(
        path=place,
        title=PurePosixPath(place).name,
        source=FOUND,
        installed_at=now().isoformat(timespec="seconds"),
        files=tuple(files),
        more=facts,
    )


async def facts_of(path: Path) -> dict[str, str]:
    """What its headers say, as far as they can be read."""
    try:
        info = await inspect_model(HereSource(), str(path))
    except FileProblem as problem:
        return {"inspected": problem.message}
    except (ModelyardError, OSError):
        return {}
    told = {"format": info.format, "architecture": info.architecture, "quantization": info.quantization}
    return {name: text for name, text in told.items() if text}
