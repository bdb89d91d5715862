"""What a model file or folder is, read from headers alone (a prefix of bytes), here or on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TypeVar

from core.errors import FileProblem, NotFound
from core.files import folder, hf_folder
from core.files.gguf import GgufHeader, parse_gguf
from core.files.gguf_info import describe_gguf, split_of
from core.files.headers import read_header
from core.files.safetensors import parse_safetensors
from core.files.values import ByteSource, ModelInfo, SourceEntry
from core.text import clean_line

__all__ = ["ByteSource", "ModelInfo", "inspect_model"]

T = TypeVar("T")
R = TypeVar("R")

UNSAFE = "Pickle files can run code when they are loaded, so they are unsafe and never opened here."


async def inspect_model(source: ByteSource, path: str) -> ModelInfo:
    """What lies at `path` on a host: a .gguf file, or a folder with one model.

    Raises:
        NotFound: nothing is there. FileProblem: no model, several, or a damaged header. HostUnreachable and
        CommandFailed as the source raises them.
    """
    entry = await source.stat(path)
    if entry is None:
        raise NotFound(
            f"There is no {clean_line(path)}.",
            cause="The path is wrong, or the model is not on this host.",
            remedy="Correct the path, or copy or download the model to it.",
        )
    if entry.is_dir:
        return await _folder(source, path)
    return await _file(source, path, entry.size)


async def _file(source: ByteSource, path: str, size: int) -> ModelInfo:
    name = PurePosixPath(path).name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".gguf":
        return await _gguf(source, path, size)
    if suffix == ".safetensors":
        header = await read_header(source, path, size, parse_safetensors, first=hf_folder.FIRST_READ)
        return replace(hf_folder.describe(path, [(name, header)], files=((name, size),)), extra={})
    if suffix in folder.PICKLES:
        return _pickle(path, ((name, size),), size)
    raise FileProblem(
        f"{clean_line(name)} is no model file that is known here.",
        cause="Known are .gguf, .safetensors, and PyTorch's .bin, .pt, .pth and .ckpt.",
        remedy="Give a .gguf file, or the folder that holds config.json and the .safetensors files.",
    )


def _pickle(path: str, files: tuple[tuple[str, int], ...], size: int) -> ModelInfo:
    return ModelInfo(path=path, format="pickle", weights_bytes=size, files=files, problems=(UNSAFE,))


async def _gguf(source: ByteSource, path: str, size: int) -> ModelInfo:
    """One file, or all parts of the split that it belongs to."""
    name, parent = PurePosixPath(path).name, str(PurePosixPath(path).parent)
    if split_of(name) is None:
        header = await read_header(source, path, size, parse_gguf)
        return replace(describe_gguf(path, header), files=((name, size),))
    there = folder.sizes(await source.listdir(parent))
    return await _split(source, parent, there, name)


async def _split(source: ByteSource, parent: str, there: dict[str, int], name: str) -> ModelInfo:
    stem, _, count = split_of(name) or (name, 1, 1)
    parts = [one for one in sorted(there) if (part := split_of(one)) and (part[0], part[2]) == (stem, count)]
    first = next((one for one in parts if (split_of(one) or ("", 0, 0))[1] == 1), None)
    if first is None:
        raise FileProblem(
            f"The first of the {count} parts of {clean_line(stem)} is missing.",
            cause="Its header describes the model.",
            remedy="Copy or download the missing parts.",
        )
    headers = await _each(parts, lambda one: read_header(source, f"{parent}/{one}", there[one], parse_gguf))
    return _joined(f"{parent}/{first}", dict(zip(parts, headers, strict=True)), there, count)


def _joined(path: str, headers: dict[str, GgufHeader], there: dict[str, int], count: int) -> ModelInfo:
    first = describe_gguf(path, headers[PurePosixPath(path).name])
    parts = [describe_gguf(name, header) for name, header in headers.items()]
    problems = [problem for part in parts for problem in part.problems]
    if len(parts) != count:
        problems.insert(0, f"{count - len(parts)} of {count} parts are missing.")
    return replace(
        first,
        weights_bytes=sum(part.weights_bytes for part in parts),
        parameters=sum(part.parameters or 0 for part in parts),
        split=(len(parts), count),
        files=tuple((name, there[name]) for name in headers),
        problems=tuple(problems),
    )


async def _folder(source: ByteSource, path: str) -> ModelInfo:
    entries = await source.listdir(path)
    there = folder.sizes(entries)
    gguf = [name for name in there if name.lower().endswith(".gguf")]
    if any(name.endswith(".safetensors") for name in there):
        return await hf_folder.inspect(source, path, there, read_all=_each)
    if chosen := folder.choose_gguf(gguf, path):
        return await _gguf_in_folder(source, path, there, chosen[0])
    pickles = {name: size for name, size in there.items() if folder.is_weight_pickle(name)}
    if pickles:
        return await hf_folder.with_config(source, _pickle(path, _listing(there), sum(pickles.values())), there)
    raise _no_model(path, there, entries)


async def _gguf_in_folder(source: ByteSource, path: str, there: dict[str, int], name: str) -> ModelInfo:
    base = path.rstrip("/")
    found = await _gguf(source, f"{base}/{name}", there[name])
    projector = next((other for other in sorted(there) if folder.is_projector(other)), None)
    return replace(found, extra={**found.extra, "mmproj": projector}) if projector else found


def _listing(there: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(there.items()))


def _no_model(path: str, there: dict[str, int], entries: Sequence[SourceEntry]) -> FileProblem:
    inner = [clean_line(folder.name_of(entry)) for entry in entries if entry.is_dir]
    if "model_index.json" in there:
        cause = "It is a diffusion pipeline, which the language model engines do not serve."
    elif inner:
        cause = f"It holds no weights itself, but folders: {', '.join(inner[:5])}."
    else:
        cause = "It holds no .gguf and no .safetensors file." if there else "It is empty."
    return FileProblem(
        f"{clean_line(path)} holds no model.",
        cause=cause,
        remedy="Give a .gguf file, or the folder that holds config.json and the .safetensors files.",
    )


async def _each(names: Iterable[T], read: Callable[[T], Awaitable[R]], *, at_once: int = 6) -> list[R]:
    """Read several headers at the same time, few enough for one SSH connection."""
    gate = asyncio.Semaphore(at_once)

    async def one(name: T) -> R:
        async with gate:
            return await read(name)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name)) for name in names]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
