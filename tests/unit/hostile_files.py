"""Files made to exhaust whoever reads their headers; run as a program, it inspects some within limits and tells how.

The program gets a folder, inspects each entry in a fork, and writes a JSON line for each: its name, processor
milliseconds, MiB of memory beyond those at the start, and the error's message.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from core.errors import FileProblem
from core.files.inspect import inspect_model
from tests.unit.model_files import FolderSource, safetensors, scalar, text

LIMIT_MS = 100
_HEAD = b"GGUF" + struct.pack("<I", 3)
_BAD_KEY = text("z") + struct.pack("<I", 77) + bytes(64)
_WHOLE = safetensors({"w": ("BF16", [10], 20)})


def write(folder: Path) -> None:
    """All of them, the largest that are read at all."""
    for name, content in _files():
        (folder / name).write_bytes(content)
    for name, contents in _folders().items():
        (folder / name).mkdir()
        for inner, content in contents.items():
            (folder / name / inner).write_bytes(content)


def _files() -> Iterator[tuple[str, bytes]]:
    yield from _ggufs()
    yield from _tensors()


def _ggufs() -> Iterator[tuple[str, bytes]]:
    numbers = struct.pack("<IIQ", 9, 0, 4096) + bytes(4096)
    texts = struct.pack("<I", 8) + text("é" * 2000)
    tensors = b"".join(text(f"t{at}") + struct.pack("<IQIQ", 1, 32, 0, 128 * at) for at in range(15_999))
    vocabulary = struct.pack("<IIQ", 9, 8, 900_000) + (struct.pack("<Q", 8) + b"a" * 8) * 900_000
    yield "49 bytes.gguf", _HEAD + struct.pack("<QQ", 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**61)
    yield (
        "many keys.gguf",
        _HEAD + struct.pack("<QQ", 0, 65_000) + b"".join(text("k") + scalar(1) for _ in range(64_999)),
    )
    yield (
        "strings.gguf",
        _HEAD + struct.pack("<QQ", 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2_000_000) + bytes(16 << 20),
    )
    yield "vocabulary.gguf", _HEAD + struct.pack("<QQ", 0, 2) + text("k") + vocabulary + _BAD_KEY
    yield "arrays.gguf", _HEAD + struct.pack("<QQ", 0, 4000) + b"".join([text("k") + numbers] * 3999) + _BAD_KEY
    yield (
        "texts.gguf",
        _HEAD + struct.pack("<QQ", 0, 4000) + b"".join(text(f"k{n}") + texts for n in range(3999)) + _BAD_KEY,
    )
    yield (
        "overlap.gguf",
        _HEAD + struct.pack("<QQ", 16_000, 0) + tensors + text("z") + struct.pack("<IQIQ", 1, 32, 0, 0),
    )
    yield "cut.gguf", _HEAD + struct.pack("<QQ", 0, 2) + text("k") + vocabulary[: 12 << 20]


def _tensors() -> Iterator[tuple[str, bytes]]:
    usual = {
        f"layers.{at}.w": {"dtype": "F16", "shape": [1], "data_offsets": [2 * at, 2 * at + 2]} for at in range(16_000)
    }
    overlap = {**usual, "z": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}
    odd = {f"{at}": {"shape": [1], "dtype": "F16", "data_offsets": [2 * at, 2 * at + 2]} for at in range(6_000)}
    yield "overlap.safetensors", _framed(json.dumps(overlap).encode())
    yield "odd.safetensors", _framed(json.dumps(odd).encode())
    yield "metadata.safetensors", _framed(b'{"__metadata__":{' + b'"a":"x",' * (1 << 20))
    yield "unicode.safetensors", _framed(('{"' + "\U0001f600" * (11 << 18) + '":1}').encode())
    yield "spaces.safetensors", _framed(b"{" + b" " * (11 << 20) + b"x")
    yield "deep.safetensors", _framed(b'{"a":' + b"[" * (11 << 20))
    yield "deep entry.safetensors", _framed(b'{"a":' + b'{"a":' * (2 << 20))
    yield "gigabytes.safetensors", struct.pack("<Q", 4 << 30) + b"{" + bytes(4096)
    yield "negative.safetensors", _framed(b'{"a":{"dtype":"F16","shape":[1],"data_offsets":[-2,0]}}')


def _folders() -> dict[str, dict[str, bytes]]:
    names = b",".join(b'"t%d":"m%d.safetensors"' % (at, at) for at in range(400_000))
    index = "model.safetensors.index.json"
    whole = {"config.json": b"{}", "model.safetensors": _WHOLE}
    return {
        "deep config": {**whole, "config.json": b'{"a":' * (190 << 10)},
        "long number": {**whole, "config.json": b'{"a":' + b"9" * 1_000_000 + b"}"},
        "large config": {**whole, "config.json": b" " * (2 << 20)},
        "deep adapter": {"adapter_model.safetensors": _WHOLE, "adapter_config.json": b"[" * (1 << 20)},
        "names": {**whole, index: b'{"weight_map":{' + names + b"}}"},
        "long name": {**whole, index: ('{"weight_map":{"' + "\U0001f600" * (15 << 18) + '":"x"}}').encode()},
        "outside": {**whole, index: b'{"weight_map":{"a":"../../etc/passwd"}}'},
    }


def _framed(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _told(path: Path) -> str:
    try:
        return " ".join(asyncio.run(inspect_model(FolderSource(), str(path))).problems)
    except FileProblem as error:
        return error.message


def _timed(path: Path) -> tuple[float, str]:
    started = time.process_time()
    told = _told(path)
    return 1000 * (time.process_time() - started), told


def _inspect(path: Path) -> None:
    """In this process, which ends."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, told = _timed(path)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for _ in range(7):  # a busy machine makes the same work dearer
        spent = min(spent, _timed(path)[0]) if spent > LIMIT_MS else spent
    print(json.dumps({"name": path.name, "ms": spent, "mib": memory, "told": told}), flush=True)
    os._exit(0)


def main() -> None:
    """Each entry in a fork, so that none counts for another."""
    for path in sorted(Path(sys.argv[1]).iterdir()):
        if (child := os.fork()) == 0:
            _inspect(path)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
