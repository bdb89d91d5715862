"""Programs and waiting, as the test hosts need them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class FleetError(RuntimeError):
    """The test hosts could not be made or did not do as told."""


def run(*argv: str | Path, check: bool = True, stdin: str | None = None, timeout_s: float = 60.0) -> str:
    """Standard output of a program.

    Raises:
        FleetError: it ended with another status than 0 and `check` is set.
    """
    done = attempt(argv, stdin=stdin, timeout_s=timeout_s)
    if check and done.returncode != 0:
        raise FleetError(f"{' '.join(map(str, argv))}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def attempt(
    argv: Sequence[str | Path], *, stdin: str | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """How a program ended, whatever its status."""
    return subprocess.run(
        [str(part) for part in argv],
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )


def wait_until(ready: Callable[[], bool], *, what: str, timeout_s: float = 30.0, details: Path | None = None) -> None:
    """Ask `ready` again and again until it is true.

    Raises:
        FleetError: the time ran out; it quotes the end of the file `details`.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise FleetError(f"{what}: not within {timeout_s:.0f} s{_tail(details)}")
        time.sleep(0.02)


def _tail(path: Path | None) -> str:
    if path is None or not path.exists():
        return ""
    lines = path.read_text(errors="replace").splitlines()[-15:]
    return "\n" + "\n".join(lines)
