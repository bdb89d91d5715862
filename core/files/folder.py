"""What lies in a folder: which files are the model, and names that must not lead out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import FileProblem
from core.files.gguf_info import split_of
from core.files.paths import stays_inside
from core.files.values import SourceEntry
from core.text import clean_line

_WEIGHT_PICKLES = re.compile(
    r"^(pytorch_model|model|consolidated|adapter_model|diffusion_pytorch_model).*\.(bin|pt|pth)$"
)
_STRING = rb'"((?:[^"\\]++|\\.)*+)"'
_PAIR = re.compile(rb"%s\s*+:\s*+%s" % (_STRING, _STRING), re.DOTALL)
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_MOST_SHARDS = 4_096
_MOST_TENSORS = 250_000  # the largest models have 140,000


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The weight files of a folder: those present, how many are expected, and what is wrong."""

    present: tuple[str, ...]
    expected: int
    problems: tuple[str, ...] = ()


def name_of(entry: SourceEntry) -> str:
    """The last part of its path."""
    return PurePosixPath(entry.path).name


def sizes(entries: Iterable[SourceEntry]) -> dict[str, int]:
    """Bytes by file name; folders are left out."""
    return {name_of(entry): entry.size for entry in entries if not entry.is_dir}


def choose_gguf(names: Sequence[str], folder: str) -> list[str]:
    """The files of the one GGUF model in a folder: one file, or the parts of a split in order.

    Raises:
        FileProblem: there are several models.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        if is_projector(name):
            continue
        part = split_of(name)
        groups.setdefault(f"{part[0]} ({part[2]} parts)" if part else name, []).append(name)
    if len(groups) > 1:
        listed = ", ".join(clean_line(files[0]) for files in list(groups.values())[:6])
        raise FileProblem(
            f"{clean_line(folder)} holds {len(groups)} GGUF models: {listed}.",
            cause="An engine loads one of them.",
            remedy="Name the file instead of the folder.",
        )
    return next(iter(groups.values()), [])


def is_projector(name: str) -> bool:
    """Whether a GGUF file is the image part of a model, by its name."""
    return "mmproj" in name.lower()


def is_weight_pickle(name: str) -> bool:
    """Whether a name is one under which PyTorch weights are kept in a model's folder."""
    return _WEIGHT_PICKLES.match(name) is not None


def shards_of_index(raw: bytes, present: Iterable[str]) -> Shards:
    """What `model.safetensors.index.json` names, walked without making its document."""
    start = raw.find(b'"weight_map"')
    if start < 0 or not raw[-64:].rstrip().endswith(b"}"):
        return Shards(present=(), expected=0, problems=("The index of the weights is damaged or truncated.",))
    found: set[bytes] = set()
    for count, match in enumerate(_PAIR.finditer(raw, start + len(b'"weight_map"'))):
        found.add(match[2])
        if count > _MOST_TENSORS or len(found) > _MOST_SHARDS:
            return Shards(present=(), expected=0, problems=("The index names more files than any model has.",))
    named = sorted(name.decode("utf-8", "replace") for name in found)
    there = set(present)
    outside = [name for name in named if not stays_inside(name)]
    inside = [name for name in named if stays_inside(name)]
    problems = [f"The index names a file outside of the folder: {clean_line(name)[:80]}" for name in outside[:3]]
    problems += _missing([name for name in inside if name not in there], len(inside))
    return Shards(
        present=tuple(name for name in inside if name in there), expected=len(named), problems=tuple(problems)
    )


def shards_by_name(names: Iterable[str]) -> Shards:
    """Without an index: all safetensors files, or the numbered ones where there are such."""
    tensors = sorted(name for name in names if name.endswith(".safetensors"))
    numbered = [(name, match) for name in tensors if (match := _PART.search(name))]
    if not numbered:
        own = [name for name in tensors if not name.startswith("consolidated")]
        chosen = tuple(own or tensors)
        return Shards(present=chosen, expected=len(chosen))
    stem = numbered[0][0][: numbered[0][1].start()]
    expected = int(numbered[0][1][2])
    chosen = tuple(name for name, match in numbered if name[: match.start()] == stem)
    wanted = [
        f"{stem}-{number:05}-of-{expected:05}.safetensors" for number in range(1, min(expected, _MOST_SHARDS) + 1)
    ]
    return Shards(
        present=chosen, expected=expected, problems=tuple(_missing([n for n in wanted if n not in chosen], expected))
    )


def _missing(names: list[str], expected: int) -> list[str]:
    if not names:
        return []
    listed = ", ".join(clean_line(name)[:80] for name in names[:3]) + (", …" if len(names) > 3 else "")
    return [f"{len(names)} of {expected} weight files are missing: {listed}."]
