"""The Downloads screen at scale: python -m tests.bench.files_list --models 10000 --jobs 1000.

The program runs on a pseudo-terminal over a folder of installed models, the built-in catalog and a queue of jobs, and
gets keys as a person would press them. A key counts until the frame that shows what then stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.db import Database
from core.events import EventBus
from core.files import installed
from core.registry.jobs import Job
from core.registry.store import Registry
from tests.bench.measure import own_environment, show
from tests.bench.model_list import _CLEAR, _DOWN, _END_KEY, _HOME, _PAGE_DOWN, Screen, _keys, _resident_mb, _summary
from tests.bench.terminal import Recorded

OURS = (sys.executable, "-m", "tui")
WORDS = ("qwen", "0042", "org7 instruct", "zz", "gguf")
_FAMILIES = ("qwen3", "llama-3.3", "mistral-small", "gemma-3", "flux", "sdxl", "phi-4", "glm-4.5")
_RIGHT, _LEFT = "\x1b[C", "\x1b[D"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=2, help="times that all words are typed")
    parser.add_argument("--silence", type=float, default=0.25, help="seconds without output that end a key press")
    chosen = parser.parse_args()
    with own_environment() as env:
        env["USER"] = "root"
        began = time.perf_counter()
        _fill(env, chosen.models, chosen.jobs)
        filled = round(time.perf_counter() - began, 1)
        figures = {name: _summary(values) for name, values in _measure(env, chosen).items()}
    show({"models": chosen.models, "jobs": chosen.jobs, "fill_seconds": filled, "figures": figures})


# What there is


def _fill(env: Mapping[str, str], models: int, jobs: int) -> None:
    data = Path(env["XDG_DATA_HOME"]) / "modelyard"
    folder = data / "models"
    folder.mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    told = [_model(folder, number) for number in range(models)]
    (folder / installed.NAME).write_text(json.dumps({"version": 1, "models": told}, indent=1), encoding="utf-8")
    asyncio.run(_queue(data / "registry.db", jobs))


def _model(folder: Path, number: int) -> dict[str, Any]:
    """A folder of three files, or one file; the files are there, and empty but for their size."""
    mixed = number * 2654435761 % 2**32
    name = f"org{mixed % 40}/{_FAMILIES[mixed // 64 % len(_FAMILIES)]}-{mixed // 1024 % 90}b-instruct-{number:05}"
    names = ("config.json", "model.safetensors", "tokenizer.json") if number % 2 else ("model.gguf",)
    files = []
    for file in names:
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        files.append({"path": f"{name}/{file}", "size": mixed % (40 << 30), "sha256": f"{number:064x}"})
    at = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat()
    texts = {"path": name, "title": name, "source": f"hf:{name}@{number:040x}", "licence": "apache-2.0"}
    return {**texts, "revision": f"{number:040x}", "installed_at": at, "files": files}


async def _queue(path: Path, count: int) -> None:
    database = Database(path)
    await database.open()
    Registry(database, EventBus(), user_id="root")
    jobs = list(_jobs(count))

    def work(session: Any) -> None:
        session.add_all(jobs)

    await database.write(work)
    await database.close()


def _jobs(count: int) -> Iterator[Job]:
    """Over or paused, so that no worker is started: its processor time would be measured as ours."""
    chance = random.Random(5)
    for number in range(count):
        state = chance.choice(("done", "failed", "cancelled", "paused"))
        files = [{"path": f"model-{part:05}.safetensors", "size": 4 << 30, "sha256": "0" * 64} for part in range(8)]
        yield Job(
            user_id="root",
            title=f"org{number % 40}/model-{number:04}",
            state=state,
            wanted="pause" if state == "paused" else "run",
            kind=("download", "copy", "verify")[number % 3],
            host="local" if number % 3 != 1 else f"gpu{number % 7}",
            folder=f"/srv/models/{number}",
            bytes_total=32 << 30,
            bytes_done=chance.randrange(32 << 30),
            spec={"listing": {"source": f"hf:org/{number}", "files": files}, "files": files},
            error="The disk is full." if state == "failed" else "",
        )


# The keys


def _measure(env: Mapping[str, str], chosen: argparse.Namespace) -> dict[str, list[float]]:
    silence = chosen.silence
    with Recorded(OURS, env) as program:
        program.until_shown("Showing")
        pressed = program.press("6")
        figures: dict[str, list[float]] = {}
        figures["opening_ms"] = [(program.until_shown(f"Showing {chosen.models:,}") - pressed) * 1000]
        program.until_quiet(silence=1.0)
        screen = Screen(program)
        for name, keys in (("to_jobs", [_RIGHT]), ("to_catalog", [_RIGHT]), ("to_installed", [_RIGHT])):
            _keys(figures, name, screen, keys, silence)
        for _ in range(chosen.rounds):
            for name, key in (("to_jobs", _RIGHT), ("to_catalog", _RIGHT), ("to_installed", _RIGHT)):
                _keys(figures, name, screen, [key], silence)
        for place, key in (("installed", ""), ("jobs", _RIGHT), ("catalog", _RIGHT)):
            screen.press(key, silence) if key else None
            _drive(figures, place, screen, chosen)
        figures["resident_mb"] = [_resident_mb(program)]
        return figures


def _drive(figures: dict[str, list[float]], place: str, screen: Screen, chosen: argparse.Namespace) -> None:
    silence, rounds = chosen.silence, chosen.rounds
    _keys(figures, f"{place}_cursor", screen, [_DOWN] * 10 * rounds, silence)
    _keys(figures, f"{place}_page", screen, [_PAGE_DOWN] * 5 * rounds, silence)
    _keys(figures, f"{place}_ends", screen, [_END_KEY, _HOME] * 3, silence)
    _keys(figures, f"{place}_mark", screen, [" "] * 6 + ["*", "*"], silence)
    screen.press("\x1b", silence)
    screen.press("/", silence)
    for word in WORDS * rounds:
        _keys(figures, f"{place}_search", screen, [*word], silence)
        _keys(figures, f"{place}_search_cleared", screen, [_CLEAR], silence)
    screen.press("\r", silence)


if __name__ == "__main__":
    main()
