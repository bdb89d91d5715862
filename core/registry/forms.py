"""The rules for a model's fields (P4), in one place for the screen, the command line and the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.registry.values import Provider


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field: `kind` is "text", "int", "float", "bool", "choice", "list" or "object"; ranges include both ends."""

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    default: Any = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""


_CONTEXT_LIMIT = 100_000_000  # tokens
_TASKS = ("generate", "embed", "rerank", "classify")
_FIELDS = (
    FieldSpec(name="name", label="Name", required=True, help="What you call it; unique among your models"),
    FieldSpec(
        name="provider", label="Provider", kind="choice", required=True, choices=tuple(Provider), help="Who serves it"
    ),
    FieldSpec(name="model_id", label="Model id", required=True, help="What a person reads: org/name, not a path"),
    FieldSpec(name="path", label="Path", help="File or folder on the host that the engine loads from"),
    FieldSpec(name="host", label="Host", default="local", help="Where the path lies"),
    FieldSpec(name="served_name", label="Served name", help="What clients send as model; by default the name"),
    FieldSpec(
        name="task",
        label="Task",
        kind="choice",
        default="generate",
        choices=("generate", "embed", "rerank", "classify"),
    ),
    FieldSpec(
        name="context_length",
        label="Context length",
        kind="int",
        default=4096,
        low=1,
        high=_CONTEXT_LIMIT,
        help="Tokens",
    ),
    FieldSpec(
        name="max_output_tokens",
        label="Max output",
        kind="int",
        default=2048,
        low=1,
        high=_CONTEXT_LIMIT,
        help="Tokens",
    ),
    FieldSpec(name="default_temperature", label="Temperature", kind="float", default=1.0, low=0.0, high=2.0),
    FieldSpec(name="default_top_p", label="Top-p", kind="float", default=1.0, low=0.0, high=1.0),
    FieldSpec(name="supports_streaming", label="Streaming", kind="bool", default=True),
    FieldSpec(name="supports_tools", label="Tools", kind="bool", default=False),
    FieldSpec(name="supports_vision", label="Vision", kind="bool", default=False),
    FieldSpec(name="endpoint", label="Endpoint", help="URL of a server that runs already"),
    FieldSpec(name="api_key_ref", label="API key", help="The name of a stored key, never the key itself"),
    FieldSpec(name="tags", label="Tags", kind="list", default=()),
    FieldSpec(name="flags", label="Flags", kind="object", default=None, help="Engine flags for every deploy"),
    FieldSpec(name="extra", label="Metadata", kind="object", default=None),
)
MODEL_FIELDS: Mapping[str, FieldSpec] = {spec.name: spec for spec in _FIELDS}
_TEXT_LIMIT = 1024


def check_model(values: Mapping[str, Any], *, partial: bool = False) -> dict[str, str]:
    """Messages by field, empty when all is well; `partial` checks only what is given (an edit)."""
    problems = {name: f"There is no field {name}." for name in values if name not in MODEL_FIELDS}
    for name, spec in MODEL_FIELDS.items():
        if name in values:
            problem = check_field(spec, values[name])
        else:
            problem = "Required." if spec.required and not partial else ""
        if problem:
            problems[name] = problem
    return problems


def check_field(spec: FieldSpec, value: object) -> str:
    """What is wrong with one value, or "": the words that stand beside the field."""
    if spec.required and (value is None or not str(value).strip()):
        return "Required."
    return _CHECKS[spec.kind](spec, value)


def _check_bool(_spec: FieldSpec, value: object) -> str:
    return "" if isinstance(value, bool) else "Must be true or false."


def _check_choice(spec: FieldSpec, value: object) -> str:
    return "" if value in spec.choices else f"Must be one of {', '.join(spec.choices)}."


def _check_list(_spec: FieldSpec, value: object) -> str:
    fine = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return "" if fine else "Must be a list of words."


def _check_object(_spec: FieldSpec, value: object) -> str:
    return "" if value is None or isinstance(value, Mapping) else "Must be a JSON object."


def _check_text(_spec: FieldSpec, value: object) -> str:
    if not isinstance(value, str):
        return "Must be text."
    if len(value) > _TEXT_LIMIT:
        return f"Must be at most {_TEXT_LIMIT} characters."
    return "Must not contain a NUL character." if "\x00" in value else ""


def _check_number(spec: FieldSpec, value: object) -> str:
    whole = spec.kind == "int"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return "Must be a whole number." if whole else "Must be a number."
    low, high = spec.low or 0, spec.high or 0
    if low <= value <= high:
        return ""
    return f"Must be between {low:,g} and {high:,g}." if high < _CONTEXT_LIMIT else f"Must be {low:g} or more."


_CHECKS = {
    "text": _check_text,
    "int": _check_number,
    "float": _check_number,
    "bool": _check_bool,
    "choice": _check_choice,
    "list": _check_list,
    "object": _check_object,
}
