"""The limit on a host's own line, which the jobs that it downloads by itself share evenly (D6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class HostLines:
    """How many jobs each host has under way, and what each of them may take: a limit is for every host alike."""

    def __init__(self, bytes_per_s: int = 0) -> None:
        self.bytes_per_s = bytes_per_s  # 0: no limit
        self._jobs: Counter[str] = Counter()

    @contextmanager
    def joined(self, host: str) -> Iterator[None]:
        """One more job, while the context lasts."""
        self._jobs[host] += 1
        try:
            yield
        finally:
            self._jobs[host] -= 1

    def share(self, host: str) -> int:
        """Bytes per second of each of the host's jobs; 0 without a limit."""
        return max(1, self.bytes_per_s // max(1, self._jobs[host])) if self.bytes_per_s else 0
