"""Further engine flags that a user adds: which are refused and why, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from core.registry.values import DeployOptions

_FLAG = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
_SECRET = re.compile(r"(^|-)(api-key|hf-token|token|password|secret)$")


def flag_name(flag: str, aliases: Mapping[str, str]) -> str:
    """The long name without dashes: `-ngl`, `ngl` and `gpu_layers` are the same flag."""
    bare = flag.lstrip("-")
    return aliases.get(bare, bare.replace("_", "-"))


def named(extra: Mapping[str, str], aliases: Mapping[str, str]) -> dict[str, str]:
    """The extra flags by their long names."""
    return {flag_name(flag, aliases): value for flag, value in extra.items()}


def written(extra: Mapping[str, str], aliases: Mapping[str, str], *, join: bool = False) -> Iterator[str]:
    """The words of the command line; a value of "" gives a bare flag, `join` writes `--flag=value`."""
    for flag, value in named(extra, aliases).items():
        if join and value:
            yield f"--{flag}={value}"
        else:
            yield from (f"--{flag}", value) if value else (f"--{flag}",)


def problems_of(
    extra: Mapping[str, str], aliases: Mapping[str, str], *, ours: Mapping[str, str], gone: Mapping[str, str]
) -> dict[str, str]:
    """Problems by flag: secrets, flags that are set otherwise (`ours`), flags that the engine dropped (`gone`)."""
    found: dict[str, str] = {}
    for flag, value in extra.items():
        name = flag_name(flag, aliases)
        if not _FLAG.match(flag.lstrip("-")) or not (value + flag).isprintable():
            found[flag] = "is no name of a flag, or its value has control characters"
        elif _SECRET.search(name):
            found[flag] = "would show a secret to everybody on the host; the API key is made and passed in a file"
        elif name in ours:
            found[flag] = ours[name]
        elif name in gone:
            found[flag] = gone[name]
    return found


def check_common(options: DeployOptions) -> dict[str, str]:
    """Problems of the options that all engines share."""
    found: dict[str, str] = {}
    if options.max_model_len is not None and options.max_model_len < 1:
        found["max_model_len"] = "must be 1 or more tokens"
    if options.parallel is not None and not 1 <= options.parallel <= 4096:
        found["parallel"] = "must be from 1 to 4096 requests at the same time"
    if not 0 < options.gpu_memory_utilization <= 1:
        found["gpu_memory_utilization"] = "must be above 0 and at most 1"
    if options.tensor_parallel_size < 1:
        found["tensor_parallel_size"] = "must be 1 or more"
    return found
