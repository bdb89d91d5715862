"""The options of commands that fill in a record, made from the one table of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from core.errors import InvalidInput
from core.registry.checks import JsonFault, read_object
from core.registry.forms import HEAD_FIELDS, MODEL_FIELDS, FieldSpec
from core.registry.values import LOCAL_HOST

F = TypeVar("F", bound=Callable[..., Any])

_TABLES = {"model": MODEL_FIELDS, "head": HEAD_FIELDS}
_NAMES = {
    "default_temperature": ("temperature", "default_temperature"),
    "default_top_p": ("top_p", "default_top_p"),
    "extra": ("metadata", "extra"),
    "tags": ("tag", "tags"),
    "api_key_ref": ("api_key_ref", "key"),
}
_TYPES: Mapping[str, Any] = {"int": click.INT, "float": click.FLOAT}


def model_options(*, leave_out: tuple[str, ...] = ()) -> Callable[[F], F]:
    """An option per field of a model; one that is not given is None."""
    return field_options("model", leave_out=leave_out)


def field_options(kind: str, *, leave_out: tuple[str, ...] = ()) -> Callable[[F], F]:
    """The same for any kind of record."""

    def decorate(function: F) -> F:
        for name, spec in reversed(list(_TABLES[kind].items())):
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
    if region := values.get("region"):
        values["region"] = region.lower()
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
        return click.option(*names, spec.name, multiple=True, callback=_words, metavar="WORD", help=text)
    if spec.kind == "object":
        return click.option(*names, spec.name, metavar="JSON", help=text)
    return click.option(*names, spec.name, type=_TYPES.get(spec.kind, click.STRING), help=text)


def _names(name: str) -> tuple[str, ...]:
    return _NAMES.get(name, (name.removeprefix("supports_"),))


def _help(spec: FieldSpec) -> str:
    """The field's own words, what may stand there, and the default."""
    parts = [spec.help or spec.label]
    if spec.choices:
        parts.append(", ".join(spec.choices))
    elif spec.range:
        parts.append(spec.range)
    default = f" [{spec.default}]" if spec.default not in ("", None, ()) and spec.kind != "choice" else ""
    return ": ".join(parts) + default


def _words(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """Given several times, or with commas; an empty one takes all away."""
    if not value:
        return None
    return [word.strip() for part in value for word in part.split(",") if word.strip()]


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        return read_object(text)
    except JsonFault as error:
        raise InvalidInput({name: f"Not JSON: {error}"}) from error


def absolute(path: str, host: str) -> str:
    """A path of this machine may be said relative to where the user stands."""
    if host != LOCAL_HOST:
        return path
    return str(Path(path).expanduser().absolute())
