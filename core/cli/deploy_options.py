"""The options of `plan`, `deploy` and `update` (P11), and the value that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click

from core.registry.values import DeployOptions, EngineName, RuntimeName

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).lower().removesuffix("b").removesuffix("i")
        number, unit = (text[:-1], text[-1:]) if text[-1:] in "kmgt" else (text, "")
        try:
            amount = int(float(number) * _UNITS[unit])
        except ValueError:
            self.fail(f"{value!r} is not a size such as 512m or 8g.", param, ctx)
        return amount


class _Pair(click.ParamType[tuple[str, str]]):
    name = "key=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, _, text = str(value).partition("=")
        key = key.strip().lstrip("-")
        if not key:
            self.fail(f"{value!r} is not KEY=VALUE.", param, ctx)
        return key, text


def _uuids(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return () if value == "none" else tuple(part.strip() for part in value.split(",") if part.strip())


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--engine", type=click.Choice([*map(str, EngineName)]), help="By default the one that fits the files."
    ),
    click.option(
        "--runtime", type=click.Choice([*map(str, RuntimeName)]), help="A container, or a process of this machine."
    ),
    click.option("--image", help="The engine's image; for a process, the engine's program."),
    click.option("--gpus", callback=_uuids, metavar="UUID,…", help="The GPUs to use; none for the CPU."),
    click.option("--port", type=click.IntRange(1, 65535), help="By default a free one from 8000 on."),
    click.option("--bind", metavar="ADDRESS", help="127.0.0.1 (a tunnel reaches it) or 0.0.0.0. [127.0.0.1]"),
    click.option("--max-model-len", type=click.IntRange(min=1), help="Tokens of context."),
    click.option("--gpu-memory-utilization", type=click.FloatRange(0, 1), help="Share of each GPU's memory. [0.8]"),
    click.option("--tensor-parallel-size", type=click.IntRange(min=1), help="GPUs to split the model over. [1]"),
    click.option("--dtype", help="auto, float16, bfloat16 or float32. [auto]"),
    click.option("--trust-remote-code/--no-trust-remote-code", default=None, help="Run code that the model brings."),
    click.option("--parallel", type=click.IntRange(min=1), help="Requests at a time (llama.cpp)."),
    click.option("--api-key/--no-api-key", default=None, help="Whether clients need a key. [--api-key]"),
    click.option("--memory-limit", type=_Size(), help="Of the container, such as 16g."),
    click.option("--cpus", type=click.FloatRange(min=0.01), help="CPUs that the container may use."),
    click.option("--option", "extra", type=_Pair(), multiple=True, metavar="KEY=VALUE", help="A further engine flag."),
)


def deploy_options(function: F) -> F:
    """Add the options; one that is not given is None (`extra`: empty)."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen(options: Mapping[str, Any], base: DeployOptions | None = None) -> DeployOptions:
    """What was given, over `base`."""
    before = base or DeployOptions()
    given = {name: value for name, value in options.items() if value is not None}
    given["extra"] = {**before.extra, **dict(given["extra"])}
    for name, kind in (("engine", EngineName), ("runtime", RuntimeName)):
        if name in given:
            given[name] = kind(given[name])
    return replace(before, **given)
