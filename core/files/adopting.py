"""Taking up what was carried into a models folder (D7): by its own installed-models.json, else by inspection."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath, PurePosixPath
from typing import Any

from core.errors import CommandFailed, FileProblem, InvalidInput, NotFound
from core.events import now
from core.files import installed
from core.files.gguf_info import split_of
from core.files.inspect import inspect_model
from core.files.installed import FOUND, InstalledModel
from core.files.kinds import Kind, is_weights, kind_of
from core.files.model_files import option
from core.files.values import ByteSource
from core.registry.values import LOCAL_HOST
from core.text import clean_line

_BATCH, _MOST = 2 << 30, 50  # bytes and models that are taken up together
_WHOLE = ("model_index.json", "config.json", "adapter_config.json", "model.safetensors.index.json", "params.json")


def told_of(models: Iterable[InstalledModel]) -> set[str]:
    """The files that these models name."""
    return {str(file["path"]) for model in models for file in model.files}


def below(folder: PurePath, place: str, *, host: str = LOCAL_HOST) -> str:
    """A folder, absolute or as it is said from the models folder, as a path below that; "" for all of it.

    Raises:
        InvalidInput: it is elsewhere.
    """
    found = PurePath(os.path.normpath(folder / place))
    if found == folder:
        return ""
    if folder not in found.parents:
        bring = f"; to bring it in (--how copy, link or move): modelyard download start {place}"
        raise InvalidInput(
            {"folder": f"{clean_line(str(found))} is not in the models folder {clean_line(str(folder))}"},
            remedy=f"To use it where it is: modelyard files register {clean_line(str(found))}{option(host)}"
            + (bring if host == LOCAL_HOST else ""),
        )
    return found.relative_to(folder).as_posix()


def untold(there: Collection[str], models: Iterable[InstalledModel], under: str) -> dict[str, list[str]]:
    """Files below `under` that no model names, by the path of the model that they are."""
    told = told_of(models)
    return grouped(
        (path for path in sorted(there) if is_weights(path) and path not in told and is_below(path, under)), there
    )


def is_below(path: str, under: str) -> bool:
    """Whether a path is `under` or lies below it; "" means everything."""
    return not under or path == under or path.startswith(f"{under}/")


def lists(paths: Iterable[str], under: str) -> list[str]:
    """The folders below, or `under` itself, that bring an installed-models.json of their own."""
    folders = (str(PurePosixPath(path).parent) for path in paths if PurePosixPath(path).name == installed.NAME)
    return sorted(folder for folder in folders if folder != "." and is_below(folder, under))


def carried(
    place: str, models: Iterable[InstalledModel], there: Collection[str], known: Mapping[str, InstalledModel]
) -> Iterator[InstalledModel]:
    """What the file of a folder tells and `known`, by path, does not, with paths from the models folder.

    Only what is there, at least in part.
    """
    for model in models:
        files = tuple({**file, "path": f"{place}/{file['path']}"} for file in model.files)
        moved = replace(model, path=f"{place}/{model.path}", files=files)
        if any(file["path"] in there for file in files) and not _tells(known.get(moved.path), moved):
            yield moved


def _tells(before: InstalledModel | None, model: InstalledModel) -> bool:
    """Whether an entry tells of all the files of another as that does."""
    if before is None or before.source != model.source or before.revision != model.revision:
        return False
    told = {(file["path"], file["size"], file.get("sha256")) for file in before.files}
    return all((file["path"], file["size"], file.get("sha256")) in told for file in model.files)


def grouped(paths: Iterable[str], there: Collection[str]) -> dict[str, list[str]]:
    """Model files by the path of the model that they are: a folder with its configuration, a split, or one file.

    `there` is every file of the models folder; what stands in a model's folder beside its weights is its, too.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(_model_of(path, there), []).append(path)
    ordered = sorted(there)
    return {place: _all_of(place, files, ordered) for place, files in groups.items()}


def _model_of(path: str, there: Collection[str]) -> str:
    """The outermost folder with an index of parts, else the file's own with a configuration, else the file."""
    parents = [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "."]
    for parent in reversed(parents):
        if f"{parent}/{_WHOLE[0]}" in there:
            return parent
    if parents and any(f"{parents[0]}/{name}" in there for name in _WHOLE) and not path.endswith(".gguf"):
        return parents[0]
    split = split_of(PurePosixPath(path).name)
    if split is None:
        return path
    return str(PurePosixPath(path).with_name(f"{split[0]}-{1:05}-of-{split[2]:05}.gguf"))


def _all_of(place: str, files: list[str], ordered: Sequence[str]) -> list[str]:
    """The model's files, and of a folder what stands beside them."""
    start = f"{place}/"
    if not files[0].startswith(start):
        return files
    inside = ordered[bisect_left(ordered, start) : bisect_left(ordered, f"{place}0")]  # "0" comes after "/"
    return sorted({*files, *(path for path in inside if kind_of(path) is not Kind.UNKNOWN)})


def batches(groups: Mapping[str, list[str]], sizes: Mapping[str, int]) -> Iterator[dict[str, list[str]]]:
    """Models that are read, and then told of, together: a large one alone, and few enough that little is read again
    when that breaks off.
    """
    batch: dict[str, list[str]] = {}
    size = 0
    for place, paths in groups.items():
        more = sum(sizes[path] for path in paths)
        if batch and (size + more > _BATCH or len(batch) == _MOST):
            yield batch
            batch, size = {}, 0
        batch[place] = paths
        size += more
    if batch:
        yield batch


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


async def facts_of(source: ByteSource, path: str) -> dict[str, str]:
    """What its headers say, as far as they can be read.

    Raises:
        HostUnreachable: as the source does.
    """
    try:
        info = await inspect_model(source, path)
    except FileProblem as problem:
        return {"inspected": problem.message}
    except (CommandFailed, NotFound, OSError):
        return {}
    told = {"format": info.format, "architecture": info.architecture, "quantization": info.quantization}
    return {name: text for name, text in told.items() if text}
