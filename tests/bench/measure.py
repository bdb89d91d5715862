"""What all measurements share: run side by side, in turns, and report medians and their ratios as JSON.

The machines that measure are noisy, so absolute figures mean little: every figure comes with one measured beside it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

Measurement = Callable[[], float]


def in_turns(measurements: Mapping[str, Measurement], *, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Each measurement once a round, so that a busy moment touches all of them alike."""
    results: dict[str, list[float]] = {name: [] for name in measurements}
    for number in range(warm_up + rounds):
        for name, measure in measurements.items():
            value = measure()
            if number >= warm_up:
                results[name].append(value)
    return results


def summary(results: Mapping[str, Sequence[float]], *, unit: str, base: str | None = None) -> dict[str, object]:
    """Median, least and most of each; with `base` also how many times the median of that one."""
    medians = {name: statistics.median(values) for name, values in results.items()}
    figures: dict[str, object] = {}
    for name, values in results.items():
        figure = {"median": medians[name], "least": min(values), "most": max(values)}
        if base is not None:
            figure["times_base"] = medians[name] / medians[base]
        figures[name] = {key: round(value, 3) for key, value in figure.items()}
    return {"unit": unit, "base": base, "rounds": min(map(len, results.values())), "figures": figures}


def run_ms(*argv: str, env: Mapping[str, str]) -> float:
    """Milliseconds of a program from its start to its end; its output goes nowhere."""
    began = time.perf_counter()
    subprocess.run(argv, env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


@contextmanager
def own_environment() -> Iterator[dict[str, str]]:
    """Fresh folders of a user who has nothing, and byte code that is kept as it is for every user."""
    with TemporaryDirectory(prefix="my-", dir="/tmp") as name:
        folders = {"HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data", "XDG_RUNTIME_DIR": "run"}
        for folder in folders.values():
            (Path(name) / folder).mkdir(mode=0o700)
        env = {**os.environ, **{variable: str(Path(name) / folder) for variable, folder in folders.items()}}
        for variable in ("PYTHONDONTWRITEBYTECODE", "MODELS_DIR", "MODELS_DB_PATH", "DOCKER_HOST"):
            env.pop(variable, None)
        yield env


def show(document: Mapping[str, object]) -> None:
    """Print the one JSON document of a script."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
