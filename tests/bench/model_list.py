"""The model list at scale, beside a list of 100 rows in memory: python -m tests.bench.model_list --records 100000.

Both run as programs on a pseudo-terminal and get the same keys. A key press counts until the frame that shows the
search field and the rows as they then stay; the line that counts them may follow. The time on the processors, card and
counts included, tells how fast a machine is that has nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyte

from core.db import Database
from core.events import EventBus
from core.registry.store import Registry
from tests.bench.measure import own_environment, show
from tests.bench.terminal import _BEGIN, _END, _FOREIGN_TO_PYTE, Recorded

OURS = (sys.executable, "-m", "tui")
IN_MEMORY = (sys.executable, "-m", "tests.bench.memory_list")
WORDS = ("qwen", "instruct 7b", "team-4", "0042", "zz", "mistral-small-24b-chat")
_FAMILIES = ("qwen3", "llama-3.3", "mistral-small", "gemma-3", "deepseek-r1", "phi-4", "glm-4.5", "kimi-k2", "zephyr")
_CLEAR, _DOWN, _PAGE_DOWN, _HOME, _END_KEY = "\x15", "\x1b[B", "\x1b[6~", "\x1b[H", "\x1b[F"
_FIELD_CELLS = 60
_CHUNK = 5_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2, help="times that all words are typed")
    parser.add_argument("--silence", type=float, default=0.25, help="seconds without output that end a key press")
    chosen = parser.parse_args()
    with own_environment() as env:
        filled = _fill(env, chosen.records)
        ours = _measure(OURS, env, chosen.rounds, chosen.silence)
        base = _measure(IN_MEMORY, env, chosen.rounds, chosen.silence)
    figures = {name: _beside(ours[name], base[name]) for name in ours}
    show({"records": chosen.records, "fill": filled, "figures": figures})


# The registry


def _fill(env: Mapping[str, str], count: int) -> dict[str, float]:
    path = Path(env["XDG_DATA_HOME"]) / "modelyard" / "registry.db"
    began = time.perf_counter()
    asyncio.run(_insert(path, count))
    return {"seconds": round(time.perf_counter() - began, 1), "megabytes": round(path.stat().st_size / 1e6, 1)}


async def _insert(path: Path, count: int) -> None:
    database = Database(path)
    await database.open()
    Registry(database, EventBus(), user_id="root")  # keeps the search index
    rows = list(_model(0))
    marks = ", ".join("?" * len(rows))

    def work(session: Any) -> None:
        connection = session.connection()
        sql = f"INSERT INTO models ({', '.join(dict(rows))}) VALUES ({marks})"
        for start in range(0, count, _CHUNK):
            values = [tuple(dict(_model(n)).values()) for n in range(start, min(count, start + _CHUNK))]
            connection.exec_driver_sql(sql, values)

    await database.write(work)
    await database.close()


def _model(number: int) -> Iterator[tuple[str, object]]:
    """A record; the names are spread over families, sizes and kinds, as in a real registry."""
    mixed = number * 2654435761 % 2**32
    size, kind = ("7b", "8b", "24b", "32b", "70b")[mixed // 16 % 5], ("instruct", "chat", "base")[mixed // 128 % 3]
    family = _FAMILIES[mixed % len(_FAMILIES)]
    name = f"{family}-{size}-{kind}-{number:07}"
    at = f"2026-{1 + number % 12:02}-{1 + number % 28:02} 00:00:00.{number % 1_000_000:06}"
    yield from {
        **{"id": f"{number:012x}", "user_id": os.environ.get("USER", "root"), "name": name, "served_name": name},
        **{"provider": ("vllm", "ollama", "llamacpp", "openai")[mixed // 1024 % 4], "model_id": f"{family}/{size}"},
        **{"task": "generate", "context_length": 4096 << mixed % 6, "max_output_tokens": 2048},
        **{"default_temperature": 1.0, "default_top_p": 1.0, "supports_streaming": 1, "supports_tools": number % 2},
        **{"supports_vision": int(number % 17 == 0), "is_global": 0, "endpoint": "", "api_key_ref": ""},
        **{"region": ("us", "eu", "de", "cn")[mixed // 4096 % 4], "head": "", "local_inference": 0, "catalog": ""},
        **{"host": "local", "tags": json.dumps([f"team-{number % 50}"]), "flags": "{}"},
        **{"metadata": json.dumps({"model_path": f"/srv/models/{name}"}), "created_at": at, "updated_at": at},
    }.items()


# The programs


@dataclass
class Screen:
    """A program's screen as it was after each whole frame, fed while it runs but outside of what is timed."""

    program: Recorded
    _fed: int = 0
    _screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(120, 40))
    _amid: bool = False

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self._screen)

    def frames(self) -> list[tuple[float, tuple[str, ...], int]]:
        """Since the last time: when each frame was whole, what it showed without the counts, and its bytes."""
        found = []
        for at, data in self.program.chunks[self._fed :]:
            self._stream.feed(_FOREIGN_TO_PYTE.sub(b"", data))
            if _BEGIN in data or _END in data:
                self._amid = data.rfind(_BEGIN) > data.rfind(_END)
            if not self._amid:
                found.append((at, self._shown(), len(data)))
        self._fed = len(self.program.chunks)
        return found

    def _shown(self) -> tuple[str, ...]:
        lines = self._screen.display
        return (lines[1][:_FIELD_CELLS], *(line[:_FIELD_CELLS] for line in lines[3:-1]))

    def press(self, key: str, silence: float) -> tuple[float, int, float]:
        """Milliseconds until what stays is shown, bytes until silence, and milliseconds of processor until then."""
        self.frames()
        used = _processor_ms(self.program)
        before, pressed = len(self.program.chunks), self.program.press(key)
        self.program.until_quiet(silence=silence)
        used = _processor_ms(self.program) - used
        frames = self.frames()
        sent = sum(len(data) for _, data in self.program.chunks[before:])
        if not frames:
            return math.nan, 0, used
        return (next(at for at, shown, _ in frames if shown == frames[-1][1]) - pressed) * 1000, sent, used


def _measure(argv: Sequence[str], env: Mapping[str, str], rounds: int, silence: float) -> dict[str, list[float]]:
    with Recorded(argv, {**env, "USER": "root"}) as program:
        opened = program.until_shown("Showing") * 1000
        resident = [_resident_mb(program)]
        screen = Screen(program)
        figures: dict[str, list[float]] = {"opening_ms": [opened]}
        _keys(figures, "cursor", screen, [_DOWN] * 20 * rounds, silence)
        _keys(figures, "page", screen, [_PAGE_DOWN] * 5 * rounds, silence)
        _keys(figures, "ends", screen, [_END_KEY, _HOME] * 3 * rounds, silence)
        screen.press("/", silence)
        for word in WORDS * rounds:
            _keys(figures, "search", screen, [*word], silence)
            _keys(figures, "search_cleared", screen, [_CLEAR], silence)
        resident.append(_resident_mb(program))
        return {**figures, "resident_mb": resident}


def _keys(figures: dict[str, list[float]], name: str, screen: Screen, keys: Sequence[str], silence: float) -> None:
    for key in keys:
        taken, sent, used = screen.press(key, silence)
        if not math.isnan(taken):
            figures.setdefault(f"{name}_ms", []).append(taken)
        figures.setdefault(f"{name}_bytes", []).append(sent)
        figures.setdefault(f"{name}_processor_ms", []).append(used)


def _processor_ms(program: Recorded) -> float:
    """What the program had of the processors so far, in steps of about 10 ms: its mean says more than the clock."""
    fields = Path(f"/proc/{program._pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _resident_mb(program: Recorded) -> float:
    status = Path(f"/proc/{program._pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _beside(ours: Sequence[float], base: Sequence[float]) -> dict[str, object]:
    mine, other = _summary(ours), _summary(base)
    return {
        "list": mine,
        "in_memory_100": other,
        "times_base_median": round(mine["median"] / (other["median"] or 1), 2),
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    p95 = ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]
    return {
        "median": round(statistics.median(ordered), 1),
        "mean": round(statistics.fmean(ordered), 1),
        "p95": round(p95, 1),
        "most": round(ordered[-1], 1),
        "n": len(ordered),
    }


if __name__ == "__main__":
    main()
