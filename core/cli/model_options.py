"""The options of `models add` and `models edit`, made from the one table of a model's fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from core.errors import InvalidInput
from core.registry.forms import MODEL_FIELDS, FieldSpec
from core.registry.values import LOCAL_HOST

F = TypeVar("F", bound=Callable[..., Any])

_SHORT = {"default_temperature": "temperature", "default_top_p": "top_p", "extra": "metadata", "tags": "tag"}
_TYPES: Mapping[str, Any] = {"int": click.INT, "float": click.FLOAT}


def model_options(*, leave_out: tuple[str, ...] = ()) -> Callable[[F], F]:
    """An option per field; one that is not given is None."""

    def decorate(function: F) -> F:
        for name, spec in reversed(list(MODEL_FIELDS.items())):
            if name not in leave_out:
                function = _option(spec)(function)
        return function

    return decorate


def field_values(options: Mapping[str, Any], *, host: str = LOCAL_HOST) -> dict[str, Any]:
    """The fields that were given, as the registry wants them; `host` is where a path lies unless it is given too.

    Raises:
        InvalidInput: a value is not the JSON that it should be.
    """
    values = {name: value for name, value in options.items() if value is not None}
    for name in ("flags", "extra"):
        if name in values:
            values[name] = _object(name, values[name])
    if path := values.get("path"):
        values["path"] = absolute(path, values.get("host", host))
    return values


def _option(spec: FieldSpec) -> Callable[[F], F]:
    names = [f"--{name.replace('_', '-')}" for name in _names(spec.name)]
    text = _help(spec)
    if spec.kind == "bool":
        pairs = "/".join((names[0], f"--no-{names[0][2:]}"))
        return click.option(pairs, spec.name, default=None, help=text)
    if spec.kind == "choice":
        return click.option(*names, spec.name, metavar="WORD", help=text)
    if spec.kind == "list":
        return click.option(*names, spec.name, multiple=True, callback=_none_if_empty, metavar="WORD", help=text)
    if spec.kind == "object":
        return click.option(*names, spec.name, metavar="JSON", help=text)
    return click.option(*names, spec.name, type=_TYPES.get(spec.kind, click.STRING), help=text)


def _names(name: str) -> tuple[str, ...]:
    if name.startswith("supports_"):
        return (name.removeprefix("supports_"),)
    return (_SHORT[name], name) if name in _SHORT and name != "tags" else (_SHORT.get(name, name),)


def _help(spec: FieldSpec) -> str:
    """The field's own words, what may stand there, and the default."""
    parts = [spec.help or spec.label]
    if spec.choices:
        parts.append(", ".join(spec.choices))
    elif spec.kind == "float":
        parts.append(f"{spec.low:g} to {spec.high:g}")
    default = f" [{spec.default}]" if spec.default not in ("", None, ()) and spec.kind != "choice" else ""
    return ": ".join(parts) + default


def _none_if_empty(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    return list(value) or None


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput({name: f"Not JSON: {error}."}) from error
    if not isinstance(value, dict):
        raise InvalidInput({name: "Must be a JSON object."})
    return value


def absolute(path: str, host: str) -> str:
    """A path of this machine may be said relative to where the user stands."""
    if host != LOCAL_HOST:
        return path
    return str(Path(path).expanduser().absolute())
