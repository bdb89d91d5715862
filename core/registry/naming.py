"""What a person reads as a model's id (N1), and names that engines and containers accept."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

FALLBACK = "local-model"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_HUGGING_FACE = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SPLIT_PART = re.compile(r"-\d{5}-of-\d{5}$")


def readable_id(*, base_model: str = "", hugging_face_id: str = "", path: str = "") -> str:
    """The base model of a training job, else the Hugging Face id, else the path's last telling part (N1).

    Never a file-system path and never a UUID.
    """
    for name in (base_model, hugging_face_id):
        if _HUGGING_FACE.fullmatch(name):
            return name
        if found := _last_part(name):
            return found
    return _last_part(path) or FALLBACK


def _last_part(path: str) -> str:
    for part in reversed(PurePosixPath(path.replace("\\", "/")).parts):
        stem = re.sub(r"\.(gguf|safetensors|bin|pth?|ckpt)$", "", part, flags=re.IGNORECASE)
        stem = _SPLIT_PART.sub("", stem)
        if stem.strip("./~ ") and not stem.startswith("checkpoint-") and not _UUID.fullmatch(stem):
            return stem
    return ""


def served_name(name: str) -> str:
    """The name that clients send as `model`: the record's name without spaces or unusual characters."""
    return re.sub(r"[^\w.:/-]+", "-", name, flags=re.ASCII).strip("-/") or FALLBACK
