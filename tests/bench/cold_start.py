"""How long commands take from their start to their end, beside `python -c pass`: python -m tests.bench.cold_start."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from tests.bench.measure import in_turns, own_environment, run_ms, show, summary

COMMANDS = {
    "python": ("-c", "pass"),
    "python importing click": ("-c", "import click"),
    "--help": ("-m", "tui", "--help"),
    "--version": ("-m", "tui", "--version"),
    "models --help": ("-m", "tui", "models", "--help"),
    "deploy --help": ("-m", "tui", "deploy", "--help"),
    "models list --json": ("-m", "tui", "models", "list", "--json"),
    "servers list --cached --json": ("-m", "tui", "servers", "list", "--cached", "--json"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with own_environment() as env:
        measurements = {name: partial(run_ms, sys.executable, *words, env=env) for name, words in COMMANDS.items()}
        show({"cold_start": summary(in_turns(measurements, rounds=rounds, warm_up=2), unit="ms", base="python")})


if __name__ == "__main__":
    main()
