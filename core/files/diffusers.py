"""A diffusion pipeline: `model_index.json` names its parts, each a folder with weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from core.at_once import each
from core.errors import FileProblem
from core.files import folder, hf_folder
from core.files.headers import read_header
from core.files.hf_config import LARGEST, parse_json
from core.files.paths import stays_inside
from core.files.safetensors import SafetensorsHeader, parse_safetensors
from core.files.values import ByteSource, ModelInfo, SourceEntry
from core.text import clean_line

INDEX = "model_index.json"
_MOST_PARTS = 16
_WEIGHTLESS = ("scheduler", "tokenizer", "feature_extractor", "image_processor", "processor")


async def inspect(source: ByteSource, path: str, there: dict[str, int], entries: Sequence[SourceEntry]) -> ModelInfo:
    """What its index and the headers of its parts' weights say.

    Raises:
        FileProblem: a header or the index is damaged.
    """
    base = path.rstrip("/")
    raw = await source.read(f"{base}/{INDEX}", length=LARGEST + 1)
    index = parse_json(raw, INDEX)
    parts = _parts(index)
    present = {folder.name_of(entry) for entry in entries if entry.is_dir}
    sizes = {
        f"{part}/{name}": size
        for part in parts
        if part in present
        for name, size in folder.sizes(await source.listdir(f"{base}/{part}")).items()
    }
    names = [name for name in sorted(sizes) if name.endswith(".safetensors")]
    if not names:
        raise FileProblem(
            f"{clean_line(path)} holds no model.",
            cause="It is a diffusion pipeline whose parts have no .safetensors file.",
            remedy="Copy or download its parts, too.",
        )

    async def read(name: str) -> SafetensorsHeader:
        return await read_header(source, f"{base}/{name}", sizes[name], parse_safetensors, first=hf_folder.FIRST_READ)

    headers = await each(names, read)
    found = hf_folder.describe(path, list(zip(names, headers, strict=True)), files=())
    lacking = [part for part in parts if not _has_weights(part, names) and not part.startswith(_WEIGHTLESS)]
    return ModelInfo(
        path=path,
        format="diffusers",
        architecture=clean_line(str(index.get("_class_name", "")))[:100],
        parameters=found.parameters,
        weights_bytes=found.weights_bytes,
        dtype=found.dtype,
        has_tokenizer=any(part.startswith("tokenizer") and part in present for part in parts),
        files=tuple(sorted({**there, **sizes}.items())),
        problems=(*(f"The weights of its part {part} are missing." for part in lacking), *found.problems),
        extra={"library": "diffusers", "components": ", ".join(parts)},
    )


def _parts(index: dict[str, Any]) -> list[str]:
    """Names of folders: entries of two words, [library, class]; unset ones are null."""
    named = [
        name
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value)
    ]
    return [name for name in named if stays_inside(name) and len(PurePosixPath(name).parts) == 1][:_MOST_PARTS]


def _has_weights(part: str, names: list[str]) -> bool:
    return any(name.startswith(f"{part}/") for name in names)
