"""Imports 10,000 records in a forked process, again and again, so that a test can kill it: imports are paid once.

Takes a registry to warm up with, and reads the paths of others from standard input. Writes `pid N`, `go` when it
begins to write, `batch` after each batch, `done` at the end of the import, `ended STATUS` when the process is gone.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.db import Database
from core.events import EventBus, Progress
from core.exchange.portable import incoming
from core.exchange.service import ExchangeService
from core.exchange.values import Imported, Preview
from core.registry.import_values import Decision, OnConflict, Outcome
from core.registry.store import Registry

COUNT = 10_000


def preview() -> Preview:
    """What a preview of the file on an empty registry gives; the import looks at everything again."""
    values = (
        {"name": f"m{number:05}", "provider": "vllm", "model_id": f"org/m{number}", "tags": ["imported"]}
        for number in range(COUNT)
    )
    records = [incoming("model", one, where="f.json", line=number) for number, one in enumerate(values, 1)]
    decisions = [Decision(incoming=one, outcome=Outcome.ADD, name=one.name) for one in records]
    return Preview(source="f.json", rule=OnConflict.SKIP, decisions=decisions)


async def run(path: Path, shown: Preview, say: Callable[[bytes], object]) -> None:
    """One import."""
    database = Database(path)
    await database.open()
    registry = Registry(database, EventBus(), user_id="me")
    say(b"go\n")
    async for event in ExchangeService(registry, EventBus()).apply(shown):
        if isinstance(event, Progress):
            say(b"batch\n")
        elif isinstance(event, Imported):
            assert event.counts["add"] + event.counts["unchanged"] == len(shown.decisions)
    await database.close()
    say(b"done\n")


def warm_up(template: Path, shown: Preview) -> None:
    """What a first import does once, such as configuring mappers, is not done again in every process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(template, folder))
        asyncio.run(run(path, replace(shown, decisions=shown.decisions[:1]), lambda _: None))


def main() -> None:
    """Fork for each line."""
    shown = preview()
    warm_up(Path(sys.argv[1]), shown)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio.run(run(Path(line.strip()), shown, partial(os.write, 1)))
                status = 0
            finally:
                os._exit(status)
        os.write(1, f"pid {pid}\n".encode())
        os.write(1, f"ended {os.waitpid(pid, 0)[1]}\n".encode())


if __name__ == "__main__":
    main()
