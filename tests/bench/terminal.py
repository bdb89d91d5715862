"""A full-screen program seen from outside: when it shows what, and how many bytes that costs the line.

Only time-stamped bytes are recorded while it runs; the emulator (pyte, slow) replays them afterwards, so that it
never delays the program. Output between the marks of a synchronized update counts as one frame, at its end. The
questions that terminals answer are answered, since programs that get no answer wait for their time-outs.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyte

_BEGIN, _END = b"\x1b[?2026h", b"\x1b[?2026l"
_ANSWERS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"\x1b\[0?c"), b"\x1b[?62;22c"),
    (re.compile(rb"\x1b\[>0?c"), b"\x1b[>0;276;0c"),
    (re.compile(rb"\x1b\[6n"), b"\x1b[1;1R"),
    (re.compile(rb"\x1b\[\?2026\$p"), b"\x1b[?2026;2$y"),
    (re.compile(rb"\x1b\[\?2048\$p"), b"\x1b[?2048;0$y"),
)
_OF_ANOTHER_TERMINAL = ("COLUMNS", "LINES")
_FOREIGN_TO_PYTE = re.compile(rb"\x1b\[[<=>][0-9;:]*[a-zA-Z]|\x1b[P_^X].*?\x1b\\", re.DOTALL)
_BEGUN = re.compile(rb"\x1b(?:\[[0-9;:<=>?$]*|[P_^X][^\x1b]*\x1b?)?\Z")


def _whole_sequences(data: bytes) -> tuple[bytes, bytes]:
    """What can be understood now, and the beginning of a sequence whose rest is still to come."""
    begun = _BEGUN.search(data)
    cut = begun.start() if begun else len(data)
    return data[:cut], data[cut:]


@dataclass
class Recorded:
    """A program on a pseudo-terminal, and what it wrote when (seconds since its start)."""

    argv: Sequence[str]
    env: Mapping[str, str]
    columns: int = 120
    rows: int = 40
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    _began: float = 0.0
    _fd: int = -1
    _pid: int = 0

    def __enter__(self) -> Recorded:
        self._began = time.perf_counter()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                termios.tcsetwinsize(0, (self.rows, self.columns))
                env = {name: value for name, value in self.env.items() if name not in _OF_ANOTHER_TERMINAL}
                os.execvpe(self.argv[0], [*self.argv], {**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"})
            finally:
                os._exit(127)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        deadline = time.perf_counter() + 10
        while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
            if time.perf_counter() > deadline:
                os.kill(self._pid, signal.SIGKILL)
            self._read(0.05)
        os.close(self._fd)

    @property
    def now(self) -> float:
        """Seconds since the program was started."""
        return time.perf_counter() - self._began

    def press(self, keys: str) -> float:
        """Type, and say when."""
        os.write(self._fd, keys.encode())
        return self.now

    def wait(self, seconds: float) -> None:
        """Read nothing for so long, as a line that is too slow."""
        time.sleep(seconds)

    def watch(self, seconds: float) -> bytes:
        """Read for so long; what came in that time."""
        until, first = self.now + seconds, len(self.chunks)
        while (left := until - self.now) > 0:
            self._read(left)
        return b"".join(data for _, data in self.chunks[first:])

    def until_quiet(self, *, silence: float = 0.4, limit: float = 30.0) -> None:
        """Read until nothing came for `silence` seconds.

        Raises:
            TimeoutError: it went on for `limit` seconds.
        """
        until = self.now + limit
        while self._read(silence):
            if self.now > until:
                raise TimeoutError(f"{self.argv} is not quiet after {limit} s")

    def until_shown(self, text: str, *, limit: float = 30.0) -> float:
        """When the first whole frame with `text` was there; reads until it is.

        Raises:
            TimeoutError: it was not shown in `limit` seconds.
        """
        while self.now < limit:
            self.until_quiet(silence=0.2, limit=limit)
            for at, screen in self.frames():
                if text in screen:
                    return at
        raise TimeoutError(f"{self.argv} did not show {text!r} in {limit} s")

    def send(self, signum: int) -> None:
        """A signal to the program."""
        os.kill(self._pid, signum)

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the terminal; what comes from now on is for that one."""
        self.columns, self.rows = columns, rows
        termios.tcsetwinsize(self._fd, (rows, columns))

    def frames(self, *, first: int = 0, rows: int | None = None) -> list[tuple[float, str]]:
        """Every whole frame that a terminal would show that is empty before chunk `first`: when, and its text.

        With more `rows` than the terminal has, what is drawn for a larger one is seen as such.
        """
        screen = pyte.Screen(self.columns, rows or self.rows)
        stream = pyte.ByteStream(screen)
        frames: list[tuple[float, str]] = []
        amid, begun = False, b""
        for at, chunk in self.chunks[first:]:
            data, begun = _whole_sequences(begun + chunk)
            stream.feed(_FOREIGN_TO_PYTE.sub(b"", data))
            amid = data.rfind(_BEGIN) > data.rfind(_END) if _BEGIN in data or _END in data else amid
            if not amid:
                frames.append((at, "\n".join(screen.display)))
        return frames

    def _read(self, wait: float) -> bool:
        if not select.select([self._fd], [], [], wait)[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the program has closed its side
            time.sleep(min(wait, 0.01))
            return False
        self.chunks.append((self.now, data))
        for question, answer in _ANSWERS:
            if question.search(data):
                os.write(self._fd, answer)
        return True
