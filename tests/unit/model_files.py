"""Small model files written byte by byte, and a source that reads them as a host's connection does."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotFound
from core.files.ggml import TENSOR_TYPES

Scalar = int | float | bool | str


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(value: Scalar) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + text(value)


def array(values: Iterable[Scalar]) -> bytes:
    """An array of texts, of booleans or of 32-bit integers."""
    items = list(values)
    if items and isinstance(items[0], str):
        return struct.pack("<IIQ", 9, 8, len(items)) + b"".join(text(str(one)) for one in items)
    if items and isinstance(items[0], bool):
        return struct.pack("<IIQ", 9, 7, len(items)) + bytes(bool(one) for one in items)
    return struct.pack("<IIQ", 9, 4, len(items)) + b"".join(struct.pack("<I", int(one)) for one in items)


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int = 0

    @property
    def size(self) -> int:
        _, block, width = TENSOR_TYPES[self.kind]
        values = 1
        for dimension in self.shape:
            values *= dimension
        return values // block * width


def gguf(
    metadata: Mapping[str, Scalar | list[Scalar]], tensors: Iterable[Tensor] = (), *, with_data: bool = True
) -> bytes:
    tensors = list(tensors)
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += text(key) + (array(value) if isinstance(value, list) else scalar(value))
    offset = 0
    for tensor in tensors:
        out += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", one) for one in tensor.shape) + struct.pack("<IQ", tensor.kind, offset)
        offset += -(-tensor.size // 32) * 32
    out += bytes(-len(out) % 32)
    return out + bytes(offset) if with_data else out


LLAMA: dict[str, Scalar | list[Scalar]] = {
    "general.architecture": "llama",
    "general.file_type": 15,
    "llama.block_count": 2,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}
TENSORS = (Tensor("token_embd.weight", (64, 100), 1), Tensor("blk.0.attn_q.weight", (256, 4), 12))


def safetensors(
    tensors: Mapping[str, tuple[str, list[int], int]], *, metadata: Mapping[str, str] | None = None, data: bool = True
) -> bytes:
    """Tensors by name: (type, shape, bytes)."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata is not None else {}
    at = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + (bytes(at) if data else b"")


@dataclass(frozen=True)
class Entry:
    path: str
    size: int
    is_dir: bool


class FolderSource:
    """Reads this machine's files; counts the calls and the bytes."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, int, int]] = []
        self.bytes = 0

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        with Path(path).open("rb") as file:
            file.seek(offset)
            found = file.read(length)
        self.reads.append((path, offset, len(found)))
        self.bytes += len(found)
        return found

    async def stat(self, path: str) -> Entry | None:
        one = Path(path)
        return Entry(path, one.stat().st_size, one.is_dir()) if one.exists() else None

    async def listdir(self, path: str) -> list[Entry]:
        if not Path(path).is_dir():
            raise NotFound(f"There is no {path}.")
        return [Entry(str(one), one.stat().st_size, one.is_dir()) for one in sorted(Path(path).iterdir())]
