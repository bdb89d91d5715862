"""Pickle files as PyTorch writes them, harmless and hostile ones, without PyTorch."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

_MAGIC = 0x1950A86A20F9469CFC6C
_TENSORS = (
    b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00a"
    b"ctorch._utils\n_rebuild_tensor_v2\nq\x00ctorch\nFloatStorage\nq\x010u."
)


def tensors() -> bytes:
    """Imports only what tensors need."""
    return _TENSORS


def running(victim: Path) -> bytes:
    """Makes a file when it is loaded."""
    return b"\x80\x02cposix\nsystem\nX" + _text(f"touch {victim}") + b"\x85R."


def importing(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n)R.".encode()


def zipped(content: bytes, *, compressed: bool = False) -> bytes:
    """As torch.save does it since 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", bytes(4096))
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def legacy(content: bytes) -> bytes:
    """As torch.save did it before."""
    numbers = (_MAGIC, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(one, 2) for one in numbers) + content + pickle.dumps([], 2) + bytes(1000)


def _text(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(4, "little") + raw
