"""The SDK is paid for by those who use it; the supervisor of a process stays small."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"docker", "requests", "urllib3", "psutil"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("core.runtimes.docker", HEAVY),
        ("core.runtimes.process", HEAVY),
        ("core.runtimes.process_supervisor", HEAVY | {"asyncio", "dataclasses", "core.errors", "core.runtimes.base"}),
    ],
)
def test_importing_stays_light(module: str, absent: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    assert module in loaded
    assert set(loaded) & absent == set()
