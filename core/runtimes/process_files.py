"""The folder of one server that runs as a process: what is in it, who is alive, how its log is kept and read.

    server.json   what was asked, the real command and environment (0600)
    state.json    what the supervisor says, replaced atomically
    log, log.1 …  one line each, its first byte "1" (stdout) or "2" (stderr)
    secrets/      files that the engine reads (0600)
    stop          seconds that the engine is given to end, while it is being stopped
    lock          held by the supervisor as long as it lives

Only the standard library: the supervisor imports it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

SERVER, STATE, LOG, SECRETS, STOP, LOCK = "server.json", "state.json", "log", "secrets", "stop", "lock"
TAGS = {b"1": "stdout", b"2": "stderr"}

_BLOCK = 64 * 1024
_UNITS = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def now() -> str:
    """The present, as it is kept in state.json."""
    return datetime.now(UTC).isoformat()


def boot_id() -> str:
    """Another one after each start of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identity(pid: int) -> str | None:
    """Of a living process: "pid:starttime", which no later process with the same number has; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else f"{pid}:{fields[19]}"


def is_alive(known: str | None) -> TypeGuard[str]:
    """Whether the process with this identity still runs."""
    return known is not None and identity(pid_of(known)) == known


def is_supervised(state: Mapping[str, Any]) -> bool:
    """Whether the supervisor that wrote this state still lives, in this run of the machine."""
    return state.get("boot") == boot_id() and is_alive(state.get("supervisor"))


def pid_of(known: str) -> int:
    """The number in an identity."""
    return int(known.partition(":")[0])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a file by a new one that only its owner reads."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write_private(fresh, json.dumps(values).encode())
    fresh.replace(path)


def write_private(path: Path, content: bytes) -> None:
    """A file of mode 0600, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def parse_size(text: str) -> int:
    """Bytes of a size as Docker writes it: "20m", "512k", "1g", "1000"."""
    unit = text[-1:].lower()
    return int(text[:-1]) * _UNITS[unit] if unit in _UNITS else int(text)


class RotatingLog:
    """The log of a server: `log`, and the older `log.1`, `log.2` …, each up to `max_bytes` and a line.

    A full disk loses lines, never the server.
    """

    def __init__(self, folder: Path, *, max_bytes: int, max_files: int) -> None:
        self._path = folder / LOG
        self._max_bytes = max_bytes
        self._max_files = max(1, max_files)
        self._file = self._open()

    def write(self, tag: bytes, lines: Sequence[bytes]) -> None:
        """Append lines of one stream."""
        with suppress(OSError):
            waiting, size = [], self._file.tell()
            for line in lines:
                waiting.append(b"%b%b\n" % (tag, line))
                size += len(waiting[-1])
                if size >= self._max_bytes:
                    self._file.write(b"".join(waiting))
                    self._rotate()
                    waiting, size = [], 0
            self._file.write(b"".join(waiting))

    def _open(self) -> BinaryIO:
        return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def _rotate(self) -> None:
        for number in range(self._max_files - 2, -1, -1):
            with suppress(FileNotFoundError):
                _numbered(self._path, number).replace(_numbered(self._path, number + 1))
        if self._max_files == 1:
            self._path.unlink()
        self._file.close()
        self._file = self._open()


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


class LogReader:
    """Reads a server's log from its last lines on and keeps its place, over rotations."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self._file: BinaryIO | None = None
        self._held = b""

    def last(self, count: int | None) -> list[tuple[str, str]]:
        """The last `count` lines of all files (None: all); `more` goes on from there."""
        self._reopen()
        lines: list[bytes] = []
        for number in range(64):
            path = _numbered(self._path, number)
            missing = None if count is None else count - len(lines)
            if missing == 0 or not path.exists():
                break
            lines = self._last_of(path, missing, is_newest=number == 0) + lines
        return [_decode(line) for line in lines]

    def more(self) -> list[tuple[str, str]]:
        """The lines written since; after a rotation first the rest of the old file."""
        lines = self._rest()
        while self._rotated():
            self._reopen(at_start=True)
            lines += self._rest()
        return [_decode(line) for line in lines]

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _last_of(self, path: Path, count: int | None, *, is_newest: bool) -> list[bytes]:
        with suppress(FileNotFoundError), path.open("rb") as file:
            end = self._file.tell() if is_newest and self._file is not None else file.seek(0, os.SEEK_END)
            return _lines_before(file, end, count)
        return []

    def _rest(self) -> list[bytes]:
        if self._file is None:
            self._reopen(at_start=True)
        if self._file is None:
            return []
        *lines, self._held = (self._held + self._file.read()).split(b"\n")
        return lines

    def _rotated(self) -> bool:
        if self._file is None:
            return False
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _reopen(self, *, at_start: bool = False) -> None:
        self.close()
        self._held = b""
        self._file = None
        with suppress(FileNotFoundError):
            self._file = self._path.open("rb")
            if not at_start:
                self._to_last_end(self._file)

    def _to_last_end(self, file: BinaryIO) -> None:
        """Stand after the last whole line."""
        size = file.seek(0, os.SEEK_END)
        back = min(size, 2 * _BLOCK)
        file.seek(size - back)
        file.seek(size - back + file.read(back).rfind(b"\n") + 1)


def _lines_before(file: BinaryIO, end: int, count: int | None) -> list[bytes]:
    data = b""
    for block in _blocks_backwards(file, end):
        data = block + data
        if count is not None and data.count(b"\n") > count:
            break
    lines = data.split(b"\n")[:-1]
    return lines if count is None else lines[max(0, len(lines) - count) :]


def _blocks_backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        yield file.read(end - start)
        end = start


def _decode(line: bytes) -> tuple[str, str]:
    return TAGS.get(line[:1], "stdout"), line[1:].decode(errors="replace")
