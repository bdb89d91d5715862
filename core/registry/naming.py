"""What a person reads as a model's id (N1), and names that engines and containers accept."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

FALLBACK = "local-model"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}")  # a snapshot's folder in the cache of Hugging Face
_HUGGING_FACE = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_CACHED = re.compile(r"models--([A-Za-z0-9][\w.-]*?)--([\w.-]+)", re.ASCII)
_SPLIT_PART = re.compile(r"-\d{5}-of-\d{5}$")
_WEIGHTS = re.compile(r"\.(gguf|safetensors|bin|pth?|ckpt)$", re.IGNORECASE)
_CHECKPOINT = re.compile(r"checkpoint(-.*)?", re.IGNORECASE)


def readable_id(*, base_model: str = "", hugging_face_id: str = "", path: str = "") -> str:
    """The base model of a training job, else the Hugging Face id, else the path's last telling part (N1).

    Never a file-system path and never a UUID.
    """
    for name in (base_model, hugging_face_id):
        if is_hugging_face_id(name):
            return name
        if found := _cached(name) or last_part(name):
            return found
    return _cached(path) or last_part(path) or FALLBACK


def is_hugging_face_id(name: str) -> bool:
    """Whether it has the form `org/name`, and is not a relative path to a checkpoint or a UUID's folder."""
    return bool(_HUGGING_FACE.fullmatch(name)) and last_part(name) == name.rpartition("/")[2]


def last_part(path: str) -> str:
    """The last part of a path that tells a person something, without a weight file's ending; "" when none does."""
    for part in reversed(PurePosixPath(path.replace("\\", "/")).parts):
        stem = _SPLIT_PART.sub("", _WEIGHTS.sub("", part))
        if _tells(stem):
            return stem
    return ""


def _tells(part: str) -> bool:
    """Not a checkpoint, a UUID, a commit, a drive, or nothing but punctuation."""
    if _CHECKPOINT.fullmatch(part) or _COMMIT.fullmatch(part) or "/" in part or re.fullmatch(r"[A-Za-z]:", part):
        return False
    return bool(re.search(r"\w", _UUID.sub("", part)))


def _cached(path: str) -> str:
    """The id that a path into the cache of Hugging Face stands for."""
    for part in path.replace("\\", "/").split("/"):
        if found := _CACHED.fullmatch(part):
            return f"{found[1]}/{found[2]}"
    return ""


def served_name(name: str) -> str:
    """The name that clients send as `model`: the record's name without spaces or unusual characters."""
    return re.sub(r"[^\w.:/-]+", "-", name, flags=re.ASCII).strip("-/") or FALLBACK
