"""Are installed files still what was installed (D9)? Several are read at once, at the disk's speed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.files import digest

_AT_ONCE = max(2, min(8, os.cpu_count() or 2))


class _Stopped(Exception):
    """Nobody waits for the rest."""


class Condition(StrEnum):
    """What was found of a file."""

    FINE = "fine"
    MISSING = "missing"
    SHORT = "short"  # or too long: another size than was installed
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  # no hash was noted for it, its size is right


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One file: sizes in bytes, `path` relative to the models folder."""

    path: str
    condition: Condition
    size: int | None
    expected: int
    cause: str = ""


class Verification:
    """A check of files below `folder`; `run` blocks, `done` and `cancel` may be used from other threads."""

    def __init__(self, folder: Path, files: Iterable[Mapping[str, Any]]) -> None:
        self._folder = folder
        self._files = sorted(files, key=lambda file: -int(file["size"]))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done = 0
        self.total = sum(int(file["size"]) for file in self._files)

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self._done

    def cancel(self) -> None:
        """Stop soon; `run` gives what was checked."""
        self._stopped.set()

    def run(self, told: Callable[[Checked], None] = lambda checked: None) -> list[Checked]:
        """Check all, the largest first; `told` hears of each when it is known."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="verify") as pool:
            results = []
            for one in as_completed([pool.submit(self._check, file) for file in self._files]):
                if (checked := one.result()) is not None:
                    told(checked)
                    results.append(checked)
        return sorted(results, key=lambda checked: checked.path)

    def _check(self, file: Mapping[str, Any]) -> Checked | None:
        if self._stopped.is_set():
            return None
        path, expected = str(file["path"]), int(file["size"])
        size: int | None = None
        cause = ""
        try:
            size = (self._folder / path).stat().st_size
            condition = Condition.SHORT if size != expected else self._content(path, str(file.get("sha256", "")))
        except FileNotFoundError:
            condition = Condition.MISSING
        except OSError as error:
            condition, cause = Condition.UNREADABLE, str(error)
        except _Stopped:
            return None
        return Checked(path=path, condition=condition, size=size, expected=expected, cause=cause)

    def _content(self, path: str, sha256: str) -> Condition:
        if not sha256:
            return Condition.UNKNOWN
        return Condition.FINE if self.sha256(path) == sha256 else Condition.CHANGED

    def sha256(self, path: str) -> str:
        """Of one file, counted in `done`."""
        return digest.sha256(self._folder / path, each=self._advance)

    def _advance(self, piece: memoryview) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._done += len(piece)
