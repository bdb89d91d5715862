"""A program to be killed: forks for each line of its input, and the child downloads as the worker does, or is one.

It has all imported already, so that a hundred deaths take seconds.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import resource
import sys
from pathlib import Path

import urllib3.util  # noqa: F401 - before the fork

from core.downloads import partial, room, run, side_by_side, sink, transfer
from core.downloads.sources.base import Listing
from core.downloads.values import Limits
from core.errors import ModelyardError

PART, SMALL, _PIECE = 100_000, 60_000, 16_384
_WORKER = ("core.downloads.worker", "core.db", "core.registry.store", "core.hosts.service", "alembic.command")


def shrink() -> None:
    """Small pieces, parts and notes, so that small files meet what large ones do."""
    for module in (partial, transfer, run, sink):
        vars(module)["SMALL"] = SMALL
    for module in (transfer, side_by_side):
        vars(module)["PIECE"] = _PIECE
    transfer._LEAST_PART = PART
    side_by_side._NOTE_STEP, side_by_side._LEAST_PIECE, side_by_side._GROW_S = _PIECE, _PIECE, 0.0
    room.SPARE = 0


def main() -> None:
    """Each line is {"listing", "folder", "most"} or {"settings"}; the child's pid, then how it ended, are the answers.

    With settings, as `launch` hands them over, it is the whole worker.
    """
    shrink()
    for line in sys.stdin:
        told = json.loads(line)
        if "settings" in told:
            for name in _WORKER:
                importlib.import_module(name)
        pid = os.fork()
        if pid == 0:
            _work(told["settings"]) if "settings" in told else _child(**told)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _work(settings: str) -> None:
    """As the process that `launch` starts."""
    from core.downloads import worker

    os.setsid()
    sys.stdin = io.StringIO(settings)
    worker.main()
    os._exit(0)


def _child(*, listing: dict[str, object], folder: str, most: int = 0) -> None:
    """Exit with 0 when all is there, with 9 and a file `error` when it failed; `most` bytes may a file have."""
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    place = Path(folder)
    download = run.DownloadRun(Listing.from_dict(listing), place, known={}, limits=Limits(first_wait_s=0.01))
    try:
        download.run()
        (place / "recorded").touch()
        download.tidy()
    except ModelyardError as error:
        (place / "error").write_text(json.dumps(error.as_dict()))
        os._exit(9)
    except BaseException as error:  # noqa: BLE001 - told to the test
        (place / "error").write_text(repr(error))
        os._exit(10)
    os._exit(0)


if __name__ == "__main__":
    main()
