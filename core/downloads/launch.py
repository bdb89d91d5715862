"""Starts the worker, which outlives the program and the terminal that started it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from core.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_LOG_LIMIT = 1 << 20


def start_worker(settings: Settings) -> None:
    """Start one unless it runs; the one too many ends by itself, so that nobody has to look first."""
    if is_running(settings):
        return
    log = settings.data_dir / "worker.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.unlink()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "core.downloads.worker"],
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(descriptor)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(settings), default=str).encode())
    process.stdin.close()


def read_settings(text: str) -> Settings:
    """The settings of the program that started the worker."""
    values = json.loads(text)
    paths = {name: Path(values[name]) for name in ("config_dir", "data_dir", "runtime_dir", "models_dir", "db_path")}
    return Settings(**{**values, **paths})


def is_running(settings: Settings) -> bool:
    """Whether a worker has the registry's queue now."""
    with the_only_one(settings) as held:
        return not held


@contextmanager
def the_only_one(settings: Settings) -> Iterator[bool]:
    """Hold the queue: True for one process at a time; the kernel lets go of it when that one dies."""
    path = settings.db_path.with_suffix(".worker")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
