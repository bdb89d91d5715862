"""The screens' first frame, beside an empty Textual app's, and the bytes of each key: python -m tests.bench.screens."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping
from functools import partial

from tests.bench.measure import in_turns, own_environment, show, summary
from tests.bench.terminal import Recorded

_EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("ready to be seen")
Empty().run()
"""
EMPTY = ((sys.executable, "-c", _EMPTY), "ready to be seen")
OURS = ((sys.executable, "-m", "tui"), "Models")
FILLED = ((sys.executable, "-m", "tui"), "0000 model")
SIZES = ((80, 24), (120, 40))
KEYS = {
    "cursor down": "\x1b[B",
    "cursor up": "\x1b[A",
    "page down": "\x1b[6~",
    "open the search": "/",
    "type a letter": "0",
    "type another": "1",
    "delete it": "\x7f",
    "leave the search": "\x1b",
    "clear it": "\x1b",
    "to the servers": "2",
    "to the hosts": "3",
    "to the models": "1",
    "to the hosts again": "3",
    "to the models again": "1",
    "open the help": "?",
    "close the help": "\x1b",
    "open a form": "a",
    "close the form": "\x1b",
    "open the palette": "\x10",
    "close the palette": "\x1b",
    "redraw": "\x0c",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", type=int, default=200, help="rows in the list")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds of watching an idle screen")
    chosen = parser.parse_args()
    with own_environment() as env:
        fill(env, chosen.models)
        programs = {"empty Textual app": EMPTY, "screens": OURS, "screens with rows": FILLED}
        first = {name: partial(_first_frame_ms, *program, env=env) for name, program in programs.items()}
        show(
            {
                "first_frame": summary(in_turns(first, rounds=chosen.rounds), unit="ms", base="empty Textual app"),
                "line": {f"{w}x{h}": _line(env, w, h, idle_s=chosen.idle) for w, h in SIZES},
            }
        )


def fill(env: Mapping[str, str], count: int) -> None:
    """A registry with rows, made through the registry itself."""
    script = (
        "import asyncio\n"
        "from core.app import Modelyard\nfrom core.settings import Settings\n"
        "async def fill():\n"
        "    async with Modelyard.open(Settings.load()) as yard:\n"
        f"        for number in range({count}):\n"
        "            values = {'name': f'{number:04} model', 'provider': 'vllm', 'model_id': 'org/m'}\n"
        "            await yard.registry.add_model(values)\n"
        "asyncio.run(fill())\n"
    )
    subprocess.run([sys.executable, "-c", script], env=env, check=True)


def _first_frame_ms(argv: tuple[str, ...], text: str, *, env: Mapping[str, str]) -> float:
    with Recorded(argv, env) as program:
        return program.until_shown(text) * 1000


def _line(env: Mapping[str, str], columns: int, rows: int, *, idle_s: float) -> dict[str, object]:
    """Bytes that go to the terminal: at the start, while nothing happens, and for each key."""
    with Recorded(FILLED[0], env, columns, rows) as program:
        program.until_shown(FILLED[1])
        program.until_quiet()
        start = sum(len(data) for _, data in program.chunks)
        idle = len(program.watch(idle_s)) / idle_s
        keys = {name: _key(program, keys) for name, keys in KEYS.items()}
    median = statistics.median(int(figures["bytes"]) for figures in keys.values())
    return {"start_bytes": start, "idle_bytes_per_second": idle, "median_bytes_per_key": median, "keys": keys}


def _key(program: Recorded, keys: str) -> dict[str, float]:
    """What one key costs: bytes until silence, milliseconds until the first and the last of them."""
    before = len(program.chunks)
    pressed = program.press(keys)
    program.until_quiet(silence=0.6)
    answer = program.chunks[before:]
    first, last = ((at - pressed) * 1000 for at in (answer[0][0], answer[-1][0])) if answer else (0.0, 0.0)
    return {"bytes": sum(len(data) for _, data in answer), "first_ms": round(first, 1), "last_ms": round(last, 1)}


if __name__ == "__main__":
    main()
