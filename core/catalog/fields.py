"""The fields of a catalog's models and the rules for them: the form's own, and those only a catalog has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any

from core.catalog.reader import Marked
from core.catalog.values import CAPABILITIES, COLUMNS, Problem
from core.registry.checks import check_text, check_url
from core.registry.forms import MODEL_FIELDS, check_field
from core.text import clean_line

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?")
_HUGGING_FACE = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")
_COUNT = re.compile(r"\d+(\.\d+)?[KMBT]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
Check = Callable[[object], str]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One list of a catalog file: the fields of its entries with their rules, and which of them must be there.

    `elsewhere` says what to write instead of fields that are often looked for.
    """

    name: str
    checks: Mapping[str, Check]
    required: tuple[str, ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def matching(pattern: re.Pattern[str], wanted: str) -> Check:
    """A rule for text of one form, told in words."""
    return lambda value: "" if isinstance(value, str) and pattern.fullmatch(value) else f"Must be {wanted}."


def whole_number(value: object) -> str:
    """Counts and bytes; true is none."""
    fine = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return "" if fine else "Must be a whole number of 1 or more."


def _yes_or_no(value: object) -> str:
    return "" if isinstance(value, bool) else "Must be true or false."


def _capabilities(value: object) -> str:
    fine = isinstance(value, list) and all(item in CAPABILITIES for item in value)
    return "" if fine else f"Must be a list of {', '.join(CAPABILITIES)}."


def _files(value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return "Must be a list of files with name, size and sha256."
    for item in value:
        if unknown := set(item) - {"name", "size", "sha256"}:
            return f"A file has no {sorted(unknown)[0]}."
        name = item.get("name")
        if not isinstance(name, str) or not name or name.startswith("/") or ".." in name.split("/"):
            return "A file's name must be a path inside the model's folder."
        if "size" in item and (problem := whole_number(item["size"])):
            return f"A file's size: {problem}"
        if "sha256" in item and not (isinstance(item["sha256"], str) and _SHA256.fullmatch(item["sha256"])):
            return "A file's sha256 must be 64 hexadecimal digits."
    return ""


check_id = matching(_ID, "lower-case letters, digits, dots and dashes, such as family/name")
check_date = matching(_DATE, "a date, such as 2026-11-21 or 2026-11")
_MOST_PATTERNS, _LONGEST_PATTERN = 64, 240


def harmless(text: str) -> str:
    """That it has nothing in it that a terminal would obey."""
    return "" if clean_line(text) == text else "Must not contain control characters."


def plain_text(value: object) -> str:
    """A line with something in it."""
    return check_text(value) or harmless(str(value)) or ("" if str(value).strip() else "Must not be empty.")


def patterns(value: object) -> str:
    """Names of files or patterns for them, which a source may be asked for."""
    if not isinstance(value, list) or not value or len(value) > _MOST_PATTERNS:
        return f"Must be a list of 1 to {_MOST_PATTERNS} names or patterns, such as '*.safetensors'."
    return next((problem for item in value if (problem := _pattern(item))), "")


def _pattern(value: object) -> str:
    if problem := plain_text(value):
        return problem
    text = str(value)
    leads_out = text.startswith("/") or "\\" in text or ".." in text.split("/")
    return "Each must mean files inside the model's folder." if leads_out or len(text) > _LONGEST_PATTERN else ""


_OWN: Mapping[str, Check] = {
    "capabilities": _capabilities,
    "family": check_text,
    "hugging_face_id": matching(_HUGGING_FACE, "an id of Hugging Face, such as org/name"),
    "licence": check_text,
    "gated": _yes_or_no,
    "parameters": matching(_COUNT, "a count such as 8.2B"),
    "active_parameters": matching(_COUNT, "a count such as 3B"),
    "dimensions": whole_number,
    "released": check_date,
    "retires": check_date,
    "source": check_url,
    "notes": check_text,
    "size": whole_number,  # bytes of all files, for the download manager
    "files": _files,
    "patterns": patterns,
}
_ELSEWHERE = {
    "license": "It is spelled licence here.",
    "api_key": "Keys never stand in a catalog; api_key_ref names one.",
    "context": "It is called context_length.",
    "supports_tools": "Write it as capabilities: [tools].",
    "supports_vision": "Write it as capabilities: [vision].",
    "path": "Where the files lie is said of a personal model.",
    "host": "Where the files lie is said of a personal model.",
}


def _column(name: str, value: Any) -> str:  # noqa: ANN401 - any value of YAML
    problem = check_field(MODEL_FIELDS[name], value)
    return problem if problem or not isinstance(value, str) else harmless(value)


MODELS = Kind(
    name="models",
    checks={**{name: partial(_column, name) for name in COLUMNS}, **_OWN},
    required=("name", "provider", "model_id"),
    elsewhere=_ELSEWHERE,
)


def check_entry(fields: Mapping[str, Marked], file: str, kind: Kind) -> list[Problem]:
    """What is wrong with the given fields; which must be there is for the caller."""
    problems = []
    for name, marked in fields.items():
        check = kind.checks.get(name)
        message = check(marked.plain) if check else unknown(name, tuple(kind.checks), kind.elsewhere)
        if message:
            problems.append(Problem(file=file, line=marked.line, field=name, message=message))
    return problems


def unknown(name: str, known: tuple[str, ...], elsewhere: Mapping[str, str]) -> str:
    """That there is no such field, and what was probably meant."""
    if name in elsewhere:
        return f"There is no such field. {elsewhere[name]}"
    close = get_close_matches(name, known, n=1)
    return f"There is no such field.{f' Did you mean {close[0]}?' if close else ''}"
