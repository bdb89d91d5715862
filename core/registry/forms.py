"""The rules for the fields of models, heads and regions (P4, R1 to R3): one place for screen, command and registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.registry import checks
from core.registry.values import Provider


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field; ranges include both ends.

    `kind` is "text", "int", "float", "bool", "choice", "list", "object", "url", or the name of something that is
    chosen from what there is: "host", "region", "head", "key".
    """

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    default: Any = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""

    @property
    def range(self) -> str:
        """`0 to 2`, `1 or more`; "" where any value goes."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:g} to {self.high:g}" if self.high < _CONTEXT_LIMIT else f"{self.low:g} or more"

    @property
    def sentence(self) -> str:
        """What stands there, what may stand there, and the default."""
        default = ""
        if self.kind == "bool":
            default = f"default {'yes' if self.default else 'no'}"
        elif self.default not in ("", None, ()):
            default = f"default {self.default}"
        parts = [self.help, self.range, default, "required" if self.required else ""]
        return "; ".join(part for part in parts if part)


_CONTEXT_LIMIT = 100_000_000  # tokens


def _tokens(name: str, label: str, default: int, text: str) -> FieldSpec:
    return FieldSpec(name=name, label=label, kind="int", default=default, low=1, high=_CONTEXT_LIMIT, help=text)


def _share(name: str, label: str, high: float, text: str) -> FieldSpec:
    return FieldSpec(name=name, label=label, kind="float", default=1.0, low=0.0, high=high, help=text)


def _switch(name: str, label: str, text: str, *, default: bool = False) -> FieldSpec:
    return FieldSpec(name=name, label=label, kind="bool", default=default, help=text)


def _by_name(*specs: FieldSpec) -> Mapping[str, FieldSpec]:
    return {spec.name: spec for spec in specs}


def _region(text: str) -> FieldSpec:
    return FieldSpec(name="region", label="Region", kind="region", help=text)


_KEY = FieldSpec(name="api_key_ref", label="API key", kind="key", help="The name of a stored key, never the key itself")

MODEL_FIELDS = _by_name(
    FieldSpec(name="name", label="Name", required=True, help="What you call it; unique among your models"),
    FieldSpec(
        name="provider", label="Provider", kind="choice", required=True, choices=tuple(Provider), help="Who serves it"
    ),
    FieldSpec(name="model_id", label="Model id", required=True, help="What a person reads: org/name, not a path"),
    FieldSpec(name="path", label="Path", help="File or folder on the host that the engine loads from"),
    FieldSpec(name="host", label="Host", kind="host", default="local", help="Where the path lies"),
    FieldSpec(name="served_name", label="Served name", help="What clients send as model; by default the name"),
    FieldSpec(
        name="task",
        label="Task",
        kind="choice",
        default="generate",
        choices=("generate", "embed", "rerank", "classify"),
        help="What it does",
    ),
    _tokens("context_length", "Context length", 4096, "Tokens of prompt and answer"),
    _tokens("max_output_tokens", "Max output", 2048, "Tokens of one answer"),
    _share("default_temperature", "Temperature", 2.0, "How freely it answers"),
    _share("default_top_p", "Top-p", 1.0, "Share of the likeliest words it picks from"),
    _switch("supports_streaming", "Streaming", "Answers word by word", default=True),
    _switch("supports_tools", "Tools", "Calls tools"),
    _switch("supports_vision", "Vision", "Sees images"),
    FieldSpec(name="endpoint", label="Endpoint", kind="url", help="URL of a server that runs already"),
    _KEY,
    _region("Where it is served: de, eu, us …"),
    FieldSpec(name="head", label="Head", kind="head", help="The gateway that is its first way in"),
    _switch("local_inference", "Local inference", "Prompts stay on this machine"),
    FieldSpec(name="tags", label="Tags", kind="list", default=(), help="Words to find it by, commas between"),
    FieldSpec(name="flags", label="Flags", kind="object", default=None, help="Engine flags of every deploy, in JSON"),
    FieldSpec(name="extra", label="Metadata", kind="object", default=None, help="Whatever you want to note, in JSON"),
)
HEAD_FIELDS = _by_name(
    FieldSpec(name="name", label="Name", required=True, help="What you call it; unique among the heads"),
    _region("Where it stands: de, eu, us …"),
    FieldSpec(name="url", label="URL", kind="url", required=True, help="Its OpenAI-compatible address: https://…/v1"),
    _KEY,
    FieldSpec(name="description", label="Description", help="What it is for"),
)
REGION_FIELDS = _by_name(
    FieldSpec(name="id", label="Code", kind="region", required=True, help="Lower case, such as us-east-1"),
    FieldSpec(name="name", label="Name", required=True, help="What people call it"),
)


def check_model(values: Mapping[str, Any], *, partial: bool = False) -> dict[str, str]:
    """Messages by field, empty when all is well; `partial` checks only what is given (an edit)."""
    return {**check_together(values), **check_fields(MODEL_FIELDS, values, partial=partial)}


def check_together(values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with fields that are fine each by itself."""
    endpoint = values.get("endpoint")
    if values.get("local_inference") is True and endpoint and not checks.is_this_machine(endpoint):
        return {"endpoint": "Local inference is on: only an address of this machine, such as http://127.0.0.1:8000."}
    return {}


def check_fields(specs: Mapping[str, FieldSpec], values: Mapping[str, Any], *, partial: bool = False) -> dict[str, str]:
    """The same for the fields of any record."""
    problems = {name: f"There is no field {name}." for name in values if name not in specs}
    for name, spec in specs.items():
        if name in values:
            problem = check_field(spec, values[name])
        else:
            problem = "Required." if spec.required and not partial else ""
        if problem:
            problems[name] = problem
    return problems


def check_field(spec: FieldSpec, value: object) -> str:
    """What is wrong with one value, or "": the words that stand beside the field."""
    empty = value is None or (isinstance(value, str) and not value.strip())
    if spec.required and empty:
        return "Required."
    if value == "" and spec.kind in _MAY_BE_EMPTY:
        return ""
    return _CHECKS[spec.kind](spec, value)


def _check_bool(_spec: FieldSpec, value: object) -> str:
    return "" if isinstance(value, bool) else "Must be true or false."


def _check_choice(spec: FieldSpec, value: object) -> str:
    return "" if value in spec.choices else f"Must be one of {', '.join(spec.choices)}."


def _check_number(spec: FieldSpec, value: object) -> str:
    whole = spec.kind == "int"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return "Must be a whole number." if whole else "Must be a number."
    low, high = spec.low or 0, spec.high or 0
    if low <= value <= high:
        return ""
    return f"Must be between {low:,g} and {high:,g}." if high < _CONTEXT_LIMIT else f"Must be {low:g} or more."


def _plain(check: Callable[[object], str]) -> Callable[[FieldSpec, object], str]:
    return lambda _spec, value: check(value)


_MAY_BE_EMPTY = frozenset({"url", "region", "head", "key", "host"})
_CHECKS: Mapping[str, Callable[[FieldSpec, object], str]] = {
    "text": _plain(checks.check_text),
    "int": _check_number,
    "float": _check_number,
    "bool": _check_bool,
    "choice": _check_choice,
    "list": _plain(checks.check_words),
    "object": _plain(checks.check_object),
    "url": _plain(checks.check_url),
    "region": _plain(checks.check_region),
    "head": _plain(checks.check_text),
    "host": _plain(checks.check_text),
    "key": _plain(checks.check_key_name),
}
