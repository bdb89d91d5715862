"""The fields of weights that a catalog offers for download, and the rules for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from core.catalog.fields import Check, Kind, harmless, matching, patterns, plain_text, whole_number
from core.registry.checks import check_text, check_url

TYPES: Final = ("text", "vision", "embedding", "reranker", "image", "video", "audio", "adapter", "vae", "encoder")
GATES: Final = ("auto", "manual")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9 ._-]{0,39}", re.IGNORECASE | re.ASCII)
_HUB = re.compile(r"hf:[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]{1,100})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,7}(?:\.\d{1,3})?) ?([KMGT])B")
_COUNT = re.compile(r"\d+(\.\d+)?[KMBT]")
_UNITS: Mapping[str, int] = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size_of(value: object) -> int | None:
    """Bytes, as a number or rounded, such as `23.8 GB`; None where it is neither."""
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        return int(Decimal(found[1]) * _UNITS[found[2]]) or None
    return value if isinstance(value, int) and not whole_number(value) else None


def _size(value: object) -> str:
    return "" if size_of(value) else "Must be bytes as a whole number, or text such as 23.8 GB."


def _line(value: object) -> str:
    return check_text(value) or harmless(str(value))


def _source(value: object) -> str:
    if problem := plain_text(value):
        return problem
    text = str(value)
    if text.startswith("hf:"):
        fine = _HUB.fullmatch(text) and not {".", ".."} & set(text[3:].partition("@")[0].split("/"))
        return "" if fine else "Must be hf:org/name or hf:org/name@revision; patterns name the files."
    if text.startswith("https://"):
        return check_url(text)
    fine = text.startswith("/") and ".." not in text.split("/")
    return "" if fine else "Must begin with hf:, with https:// or with / for a folder of this machine."


def _gated(value: object) -> str:
    return "" if isinstance(value, bool) or value in GATES else "Must be true, false, auto or manual."


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"Must be one of {', '.join(words)}."


WEIGHTS = Kind(
    name="weights",
    checks={
        "name": plain_text,
        "family": matching(_FAMILY, "a word or two, such as flux"),
        "type": _one_of(*TYPES),
        "source": _source,
        "patterns": patterns,
        "files": patterns,
        "size": _size,
        "gated": _gated,
        "licence": _line,
        "parameters": matching(_COUNT, "a count such as 8.2B"),
        "quantization": _line,
        "notes": _line,
    },
    required=("name", "family", "type", "source"),
    elsewhere={
        "license": "It is spelled licence here.",
        "include": "They are called patterns.",
        "repo": "Write it as source: hf:org/name.",
        "repository": "Write it as source: hf:org/name.",
        "url": "It is called source.",
        "token": "Tokens never stand in a catalog; gated says that one is needed.",
    },
)
