"""What lies where in an answer's JSON, whatever it turns out to be: nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any  # what json.loads gives


def dig(data: Json, *path: str | int, default: Json = None) -> Json:
    """What lies at a path of keys and indexes; the default where anything on the way is missing or of another kind."""
    for step in path:
        if isinstance(data, Mapping) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and -len(data) <= step < len(data):
            data = data[step]
        else:
            return default
    return default if data is None else data


def text_at(data: Json, *path: str | int) -> str:
    """The text at a path, "" for anything else."""
    found = dig(data, *path)
    return found if isinstance(found, str) else ""


def number_at(data: Json, *path: str | int) -> int | None:
    """The whole number at a path."""
    found = dig(data, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**53 else None


def list_at(data: Json, *path: str | int) -> list[Json]:
    """The list at a path, [] for anything else."""
    found = dig(data, *path)
    return found if isinstance(found, list) else []
