"""Records as portable dictionaries and back: the names a person knows, nothing of this registry, no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from core.registry.checks import JsonFault, read_object
from core.registry.forms import FieldSpec, check_fields
from core.registry.import_values import Incoming
from core.registry.imports import FIELDS
from core.registry.journal import masked
from core.registry.records import Head, Model, Region
from core.registry.undo import without_masks
from core.registry.values import LOCAL_HOST

_TIMES = ("archived_at", "created_at")
_OURS = {"metadata": "extra", "code": "id", "key": "api_key_ref"}
MODEL_ORDER = (
    *("name", "provider", "model_id", "served_name", "task", "path", "host"),
    *("context_length", "max_output_tokens", "default_temperature", "default_top_p"),
    *("supports_streaming", "supports_tools", "supports_vision"),
    *("endpoint", "api_key_ref", "region", "head", "local_inference", "tags", "flags", "metadata", *_TIMES),
)
HEAD_ORDER = ("name", "region", "url", "api_key_ref", "description", "created_at")
REGION_ORDER = ("code", "name", "created_at")
_NOT_READ = frozenset(  # what `models list --json` says besides
    {"id", "user_id", "is_global", "catalog", "last_test", "updated_at", "status", "port", "url", "server_id"}
    | {"server_type", "builtin"}
)
_WHOLE = re.compile(r"[-+]?\d{1,18}")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def portable(record: Model | Head | Region, lost: list[str]) -> dict[str, Any]:
    """A record as it is exported; what looks like a secret is left out, and named in `lost`."""
    values = _values(record)
    shown = {}
    for name, value in values.items():
        safe = value
        if name in ("flags", "metadata", "endpoint", "url") and (hidden := masked(name, value)) != value:
            safe = without_masks(hidden)
            lost.append(f"{record.name}: {name}")
        if not _is_unicode(safe):
            safe = _mended(safe)
            lost.append(f"{record.name}: {name} (not Unicode)")
        shown[name] = safe
    return shown


def _is_unicode(value: object) -> bool:
    """Half a surrogate pair, which JSON's escapes let in, can be written in no file."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(value: Any) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _values(record: Model | Head | Region) -> dict[str, Any]:
    if isinstance(record, Region):
        return {"code": record.id, "name": record.name, "created_at": record.created_at.isoformat()}
    if isinstance(record, Head):
        return {name: _text_of_time(getattr(record, name)) for name in HEAD_ORDER}
    metadata = dict(record.extra)
    path = metadata.pop("model_path") if isinstance(metadata.get("model_path"), str) else ""
    own = {"path": path, "metadata": metadata, "host": record.host or LOCAL_HOST}
    return {name: own[name] if name in own else _text_of_time(getattr(record, name)) for name in MODEL_ORDER}


def _text_of_time(value: Any) -> Any:  # noqa: ANN401 - a column's value
    return value.isoformat() if isinstance(value, datetime) else value


def incoming(
    kind: str, value: object, *, where: str, line: int | None = None, notes: Iterable[str] = (), loose: bool = False
) -> Incoming:
    """A record of a document, checked by the rules of the forms; `loose` where every value is text."""
    if not isinstance(value, Mapping):
        problems = {kind: "Must be an object with fields."}
        return Incoming(kind=kind, name="", line=line, where=where, problems=problems)
    given, problems = _given(kind, value, loose)
    times = {name: given.pop(name) for name in _TIMES if name in given}
    problems |= check_fields(FIELDS[kind], given) | problems
    read = _times(times, problems)
    columns = {**_columns(given), **read} if not problems else {}
    name = given.get("id" if kind == "region" else "name")
    return Incoming(
        kind=kind,
        name=name if isinstance(name, str) else "",
        columns=columns,
        line=line,
        where=where,
        problems={_shown(name): text for name, text in problems.items()},
        notes=tuple(notes),
    )


def _given(kind: str, value: Mapping[Any, Any], loose: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """By our own names; absent and empty ones are left to the defaults."""
    specs = FIELDS[kind]
    given: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, one in value.items():
        ours = _OURS.get(str(name), str(name))
        if ours not in specs and ours in _NOT_READ:
            continue
        if one is None and ours != "archived_at":
            continue
        try:
            given[ours] = typed(specs[ours], one, loose) if ours in specs else one
        except JsonFault as fault:
            given[ours], problems[ours] = {}, str(fault)
    if loose:
        given = {name: one for name, one in given.items() if one != "" or name == "archived_at"}
    return given, problems


def typed(spec: FieldSpec, value: Any, loose: bool) -> Any:  # noqa: ANN401 - a field's value
    """Text as the field's own type, where it can be nothing else.

    Raises:
        JsonFault: it should be JSON.
    """
    if not isinstance(value, str) or (value == "" and not loose):
        return value
    text = value.strip()
    if spec.kind == "bool":
        return _WORDS.get(text.lower(), value)
    if spec.kind == "int":
        return int(text) if _WHOLE.fullmatch(text) else value
    if spec.kind == "float":
        return _number(text, value)
    if spec.kind == "object":
        return read_object(value)
    return _list(text) if spec.kind == "list" else value


def _number(text: str, value: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return value


def _list(text: str) -> Any:  # noqa: ANN401 - JSON
    """A JSON list, or words with commas or semicolons between them."""
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [word for part in text.split(";") for one in part.split(",") if (word := one.strip())]


def _columns(given: Mapping[str, Any]) -> dict[str, Any]:
    """A form's values as columns: the path is kept in the metadata (N2)."""
    columns = dict(given)
    if path := columns.pop("path", ""):
        columns["extra"] = {**columns.get("extra", {}), "model_path": path}
    if "tags" in columns:
        columns["tags"] = list(columns["tags"])
    return columns


def _times(times: Mapping[str, object], problems: dict[str, str]) -> dict[str, datetime | None]:
    read: dict[str, datetime | None] = {}
    for name, value in times.items():
        if value in (None, ""):
            read |= {name: None} if name == "archived_at" else {}
            continue
        try:
            at = datetime.fromisoformat(str(value))
            read[name] = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            problems[name] = "Must be a time: 2026-01-31T12:00:00+00:00."
    return read


def _shown(name: str) -> str:
    return "metadata" if name == "extra" else name
