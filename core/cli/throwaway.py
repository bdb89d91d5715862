"""Settings that last as long as one program: nothing of the user's is read, and nothing is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.settings import Settings

_PREFIX = "modelyard-demo-"
_LONGEST_BASE = 40  # characters
_ALIVE = "alive"  # locked for as long as the program that made the folder lives


@contextmanager
def throwaway_settings(*, models_dir: Path) -> Iterator[Settings]:
    """Everything in one private folder, removed at the end; servers end with this program, however it ends."""
    remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
    with _locked(folder):
        try:
            yield Settings(
                config_dir=folder / "config",
                data_dir=folder / "data",
                runtime_dir=folder / "run",
                models_dir=models_dir,
                db_path=folder / "data" / "registry.db",
                user_id="demo",
                ephemeral=True,
                catalog="none",
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind() -> None:
    """Remove the folders of programs that were killed before they could do it."""
    for folder in _base().glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """The folder for temporary files, where its path is short enough for the sockets that will lie below."""
    chosen = Path(tempfile.gettempdir())
    return chosen if len(str(chosen)) <= _LONGEST_BASE else Path("/tmp")  # noqa: S108


def _is_abandoned(folder: Path) -> bool:
    descriptor = os.open(folder / _ALIVE, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock first, then give the file its name: without it a folder counts as being made."""
    new = folder / f"{_ALIVE}-new"
    descriptor = os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        new.rename(folder / _ALIVE)
        yield
    finally:
        os.close(descriptor)
