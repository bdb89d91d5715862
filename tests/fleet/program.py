"""Runs the real program as a user does: a process of its own, words in, exit code and output out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.cli import forks

MODELYARD = (sys.executable, "-m", "tui")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended."""

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)

    @property
    def problem(self) -> Any:
        """The JSON document of an error on stderr, behind whatever else was told there."""
        return json.loads(self.stderr[self.stderr.index("{") :])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The NDJSON stream on stdout."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def modelyard(*words: str, stdin: str | None = None, timeout_s: float = 120, code: int | None = 0) -> Ran:
    """Run to the end; fails the test unless it ended with `code` (None: any)."""
    ended = forks.run(words, stdin=(stdin or "").encode(), env=os.environ, timeout=timeout_s)
    ran = Ran(words=words, code=ended.returncode, stdout=ended.stdout.decode(), stderr=ended.stderr.decode())
    assert code is None or ran.code == code, f"{words} ended with {ran.code}\n{ran.stdout}\n{ran.stderr}"
    return ran


def start(*words: str) -> subprocess.Popen[str]:
    """Run beside the test."""
    return subprocess.Popen(
        [*MODELYARD, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
