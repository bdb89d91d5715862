"""What a file is by its name, and which kinds are taken among a model's files (D5)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import PurePosixPath

from core.text import plural

TENSORS = (".safetensors", ".gguf")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
ALONE = (".safetensors", ".gguf", ".ckpt", ".pth", ".pt", ".bin")  # taken by themselves
CODE = (".py",)
_TEXTS = (".json", ".txt", ".md", ".jinja", ".model", ".tiktoken", ".yaml", ".yml", ".toml", ".vocab", ".merges")
_TEXT_NAMES = {"readme", "license", "licence", "notice", "usage_policy"}


class Kind(StrEnum):
    """What is done with a file: loaded as tensors, scanned and marked, read as text, marked as a program, refused."""

    TENSORS = "tensors"
    PICKLE = "pickle"
    TEXT = "text"
    CODE = "code"
    UNKNOWN = "unknown"


_KINDS = {
    **dict.fromkeys(TENSORS, Kind.TENSORS),
    **dict.fromkeys(PICKLES, Kind.PICKLE),
    **dict.fromkeys(CODE, Kind.CODE),
    **dict.fromkeys(_TEXTS, Kind.TEXT),
}


def kind_of(path: str) -> Kind:
    """By the end of its name, in any case."""
    name = PurePosixPath(path.lower())
    if name.name in _TEXT_NAMES:
        return Kind.TEXT
    return _KINDS.get(name.suffix, Kind.UNKNOWN)


def is_weights(path: str) -> bool:
    """Whether a file of this name holds weights, in whichever format."""
    return kind_of(path) in {Kind.TENSORS, Kind.PICKLE}


def pickles_told(paths: Iterable[str]) -> str:
    """A sentence about those that can run code, for before they are fetched; "" without any."""
    count = sum(kind_of(path) is Kind.PICKLE for path in paths)
    return f"{plural(count, 'file')} can run code when loaded (pickle): scanned and marked once here." if count else ""
