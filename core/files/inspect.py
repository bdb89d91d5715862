"""What a model file or folder is, read from headers alone (a prefix of bytes), here or on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from core.at_once import each
from core.errors import FileProblem, NotFound
from core.files import diffusers, folder, hf_folder, pickle_fetch, pickles
from core.files.gguf import MAGIC, GgufHeader, parse_gguf
from core.files.gguf_info import describe_gguf, split_of
from core.files.headers import read_header
from core.files.kinds import PICKLES, Kind, kind_of
from core.files.safetensors import parse_safetensors
from core.files.values import ByteSource, ModelInfo, SourceEntry
from core.text import clean_line

__all__ = ["ByteSource", "ModelInfo", "inspect_model"]

_CODE_SHOWN = 5


async def inspect_model(source: ByteSource, path: str, *, here: bool = False, scan: bool = False) -> ModelInfo:
    """What lies at `path` on a host: a .gguf file, or a folder with one model.

    `scan` has pickles scanned as well, which reads more of them than their headers: on this machine (`here`, which
    asks for it by itself) as they are, on a host the parts that hold pickles.

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
    info = await (_folder(source, path) if entry.is_dir else _file(source, path, entry.size))
    if not here and not scan:
        return info
    return await _scanned(info, path if entry.is_dir else str(PurePosixPath(path).parent), None if here else source)


async def _file(source: ByteSource, path: str, size: int) -> ModelInfo:
    name = PurePosixPath(path).name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".gguf":
        return await _gguf(source, path, size)
    if suffix == ".safetensors":
        header = await read_header(source, path, size, parse_safetensors, first=hf_folder.FIRST_READ)
        found = hf_folder.describe(path, [(name, header)], files=((name, size),))
        return replace(found, extra={key: found.extra[key] for key in ("adapter", "base_model") if key in found.extra})
    if suffix in PICKLES:
        return _pickle(path, ((name, size),), size)
    if await source.read(path, length=len(MAGIC)) == MAGIC:  # a blob of Ollama's store
        return await _gguf(source, path, size)
    raise FileProblem(
        f"{clean_line(name)} is no model file that is known here.",
        cause="Known are .gguf, .safetensors, and PyTorch's .bin, .pt, .pth and .ckpt.",
        remedy="Give a .gguf file, or the folder that holds config.json and the .safetensors files.",
    )


def _pickle(path: str, files: tuple[tuple[str, int], ...], size: int) -> ModelInfo:
    return ModelInfo(path=path, format="pickle", weights_bytes=size, files=files, warnings=(pickles.UNSAFE,))


async def _scanned(info: ModelInfo, base: str, source: ByteSource | None) -> ModelInfo:
    """With what a scanner sees of the pickles among its files; without a source, they are files of this machine."""
    files = {name: size for name, size in info.files if kind_of(name) is Kind.PICKLE}
    if not files:
        return info
    names = list(files)
    if source is None:
        scans = await asyncio.to_thread(pickles.scan, [Path(base, name) for name in names])
    else:
        scans = await pickle_fetch.scan(source, [(f"{base}/{name}", size) for name, size in files.items()])
    worst = pickles.worst(scans)
    return replace(
        info,
        warnings=(*info.warnings, *pickles.problems(dict(zip(names, scans, strict=True)))),
        extra={**info.extra, **({"pickle": str(worst.level)} if worst else {})},
    )


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
    headers = await each(parts, lambda one: read_header(source, f"{parent}/{one}", there[one], parse_gguf))
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
    if diffusers.INDEX in there and not gguf and any(entry.is_dir for entry in entries):
        return _beside(await diffusers.inspect(source, path, there, entries), there)
    if any(name.endswith(".safetensors") for name in there):
        return _beside(await hf_folder.inspect(source, path, there), there)
    if chosen := folder.choose_gguf(gguf, path):
        return await _gguf_in_folder(source, path, there, chosen[0])
    loaded = {name: size for name, size in there.items() if folder.is_weight_pickle(name)}
    if loaded:
        found = await hf_folder.with_config(source, _pickle(path, _listing(there), sum(loaded.values())), there)
        return _beside(found, there)
    raise _no_model(path, there, entries)


def _beside(info: ModelInfo, there: dict[str, int]) -> ModelInfo:
    """With the files that could run something, whether or not an engine would load them."""
    unsafe = sorted(name for name in there if kind_of(name) is Kind.PICKLE)
    code = sorted(name for name in there if kind_of(name) is Kind.CODE)
    told = {"pickles": ", ".join(map(clean_line, unsafe)), "code": ", ".join(map(clean_line, code[:_CODE_SHOWN]))}
    warnings = info.warnings
    if unsafe and info.format != "pickle":
        warnings += (f"Beside its tensors lie pickle files, which no engine is to load: {told['pickles'][:200]}.",)
    if code:
        warnings += (f"It brings program code, which runs only where that is allowed: {told['code'][:200]}.",)
    return replace(info, warnings=warnings, extra={**info.extra, **{key: text for key, text in told.items() if text}})


async def _gguf_in_folder(source: ByteSource, path: str, there: dict[str, int], name: str) -> ModelInfo:
    base = path.rstrip("/")
    found = await _gguf(source, f"{base}/{name}", there[name])
    projector = next((other for other in sorted(there) if folder.is_projector(other)), None)
    return replace(found, extra={**found.extra, "mmproj": projector}) if projector else found


def _listing(there: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(there.items()))


def _no_model(path: str, there: dict[str, int], entries: Sequence[SourceEntry]) -> FileProblem:
    inner = [clean_line(folder.name_of(entry)) for entry in entries if entry.is_dir]
    if diffusers.INDEX in there:
        cause = "It is a diffusion pipeline without its parts."
    elif inner:
        cause = f"It holds no weights itself, but folders: {', '.join(inner[:5])}."
    else:
        cause = "It holds no .gguf and no .safetensors file." if entries else "It is empty."
    return FileProblem(
        f"{clean_line(path)} holds no model.",
        cause=cause,
        remedy="Give a .gguf file, or the folder that holds config.json and the .safetensors files.",
    )
