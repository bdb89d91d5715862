"""Killed with -9 at a hundred random moments of importing 10,000 records: each batch is there wholly or not at all."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.db import Database
from core.exchange.service import BATCH
from tests.unit.import_victim import COUNT

KILLS = 100
WORKERS = 2
LONGEST = 3.0  # new batches before the kill
DEADLINE_S = 60.0


class Victim:
    """A process that imports into one registry until it is killed."""

    def __init__(self, template: Path) -> None:
        command = [sys.executable, "-m", "tests.unit.import_victim", str(template)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._seen = b""
        self._batch_s = 0.05

    def line(self, timeout: float = DEADLINE_S) -> str:
        """The next line; "" when none came in time."""
        while b"\n" not in self._seen:
            if not select.select([self._out], [], [], timeout)[0]:
                return ""
            data = os.read(self._out, 4096)
            assert data, "it is gone"
            self._seen += data
        line, _, self._seen = self._seen.partition(b"\n")
        return line.decode()

    def killed(self, path: Path, after: float) -> bool:
        """Import, and kill it `after` so many batches and a fraction of one; False when it was done before that."""
        os.write(self._in, f"{path}\n".encode())
        pid = next(line for line in (self.line(), self.line()) if line.startswith("pid"))
        begun = time.monotonic()
        for _ in range(int(after)):
            if self.line() == "done":
                assert self.line() == "ended 0"
                return False
            self._batch_s, begun = time.monotonic() - begun, time.monotonic()
        self.line(after % 1 * self._batch_s)
        os.kill(int(pid.split()[1]), signal.SIGKILL)
        return self._end() == f"ended {signal.SIGKILL.value}"

    def _end(self) -> str:
        while not (line := self.line()).startswith("ended"):
            assert line in ("batch", "done"), line
        return line

    def close(self) -> None:
        """No more imports."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(DEADLINE_S) == 0


def _whole(path: Path) -> int:
    """How many records are there, in a file that is consistent and holds whole batches only."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count, last = connection.execute("SELECT count(*), max(name) FROM models").fetchone()
        logged = connection.execute("SELECT count(*), count(DISTINCT record_id) FROM changes").fetchone()
    finally:
        connection.close()
    assert count % BATCH == 0
    assert last == (f"m{count - 1:05}" if count else None)
    assert logged == (count, count)
    return int(count)


def _kill_often(seed: int, kills: int, template: Path, folder: Path) -> tuple[list[int], int]:
    """What was there after each kill, and how often an import was completed by another one after kills."""
    chance, victim = random.Random(seed), Victim(template)
    left: list[int] = []
    path, completed, there = folder / f"{seed}.db", 0, 0
    shutil.copy(template, path)
    while len(left) < kills:
        if victim.killed(path, there / BATCH + chance.uniform(0, LONGEST)):
            there = _whole(path)
            left.append(there)
            continue
        assert _whole(path) == COUNT
        completed, there = completed + 1, 0
        for part in ("", "-wal", "-shm"):
            path.with_name(path.name + part).unlink(missing_ok=True)
        shutil.copy(template, path)
    assert not victim.killed(path, COUNT)
    assert _whole(path) == COUNT
    victim.close()
    return left, completed + 1


@pytest.mark.timeout(600)
async def test_a_killed_import_leaves_whole_batches_and_is_completed_by_another(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    database = Database(template)
    await database.open()
    await database.close()
    seeds = [random.randrange(10**6) for _ in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        runs = [pool.submit(_kill_often, seed, KILLS // WORKERS, template, tmp_path) for seed in seeds]
        ended = [run.result() for run in runs]
    left = [count for counts, _ in ended for count in counts]
    assert len(left) == KILLS, seeds
    assert len(set(left)) > 10, (seeds, left)
    assert min(completed for _, completed in ended) >= 1
