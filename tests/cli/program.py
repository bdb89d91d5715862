"""Runs the real program as a user does, in a process of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte

from tests.cli import forks

COMMAND = (sys.executable, "-m", "tui")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as the one document that it must be."""
        return json.loads(self.out)

    def error(self) -> Any:
        """Standard error as the one document that it must be."""
        return json.loads(self.err)


def modelyard(
    *words: str, stdin: str = "", env: Mapping[str, str] | None = None, timeout: float = 60, fresh: bool = False
) -> Ended:
    """Run to the end; standard input is never the terminal.

    `fresh` starts the interpreter anew, where what others see of the process matters.
    """
    environ = {**os.environ, **(env or {})}
    begin = _interpreter if fresh or forks.differs_at_start(environ) else forks.run
    done = begin(words, stdin=stdin.encode(), env=environ, timeout=timeout)
    return Ended(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def _interpreter(
    words: Sequence[str], *, stdin: bytes, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], check=False, input=stdin, capture_output=True, env=env, timeout=timeout)


def done(*words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ended:
    """Run what has to succeed."""
    ended = modelyard(*words, stdin=stdin, env=env)
    assert ended.code == 0, ended.err
    return ended


def start(*words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Begin a run that the test will end."""
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *words], stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **(env or {})})


class Terminal:
    """The program on a pseudo-terminal; `errors` is a file that takes standard error instead."""

    def __init__(self, *words: str, env: Mapping[str, str] | None = None, errors: Path | None = None) -> None:
        self.seen = b""
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.pid, self.fd = os.forkpty()
        if self.pid == 0:
            try:
                if errors is not None:
                    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600), 2)
                os.execvpe(COMMAND[0], [*COMMAND, *words], {**os.environ, "TERM": "xterm-256color", **(env or {})})
            finally:
                os._exit(127)
        termios.tcsetwinsize(self.fd, (24, 80))

    def wait_for(self, text: str, *, times: int = 1, timeout: float = 30) -> str:
        """Read until `text` was written so often, or stands on the screen so often; everything so far."""
        deadline = time.monotonic() + timeout
        while self.seen.count(text.encode()) < times and self.screen.count(text) < times:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; seen: {self.seen!r}"
            if not self._read(left):
                raise AssertionError(f"ended before {text!r}; seen: {self.seen!r}")
        return self.seen.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What a person sees now."""
        return "\n".join(self._screen.display)

    def write(self, text: str) -> None:
        """Type."""
        os.write(self.fd, text.encode())

    def close(self, *, timeout: float = 30) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, timeout: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, timeout))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data
        self._stream.feed(data)
        return bool(data)
