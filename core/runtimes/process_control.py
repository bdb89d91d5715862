"""Starts the supervisor of a server and ends it; blocking, and safe against numbers of processes used again."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from core.errors import EngineRefused, EngineUnavailable
from core.runtimes import process_files as files
from core.runtimes import process_supervisor
from core.runtimes.ports import check_port, refused

_START_LIMIT_S = 30.0
_KILL_GRACE_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]
_CAME_UP = {process_supervisor.UP, process_supervisor.ALREADY}


def is_supervised(folder: Path) -> bool:
    """Whether the server in this folder runs, or will be started again."""
    return files.is_supervised(files.read_json(folder / files.STATE))


def start(folder: Path, *, ephemeral: bool) -> int | None:
    """Start the server of a folder unless it runs; an ephemeral one lives as long as the pipe that is returned.

    Raises:
        EngineRefused: its port is taken, or its program can't be started.
    """
    if is_supervised(folder):
        return None
    spec = files.read_json(folder / files.SERVER)["spec"]
    check_port(spec["bind"], spec["port"], server=spec["name"])
    (folder / files.STOP).unlink(missing_ok=True)
    held, leash = os.pipe() if ephemeral else (None, None)
    try:
        words = _launch(folder, held)
    finally:
        if held is not None:
            os.close(held)
    if words in _CAME_UP:
        return leash
    if leash is not None:
        os.close(leash)
    if words == process_supervisor.TAKEN:
        taken = OSError(errno.EADDRINUSE, "a server that starts will listen there")
        raise refused(taken, spec["bind"], spec["port"], server=spec["name"])
    raise EngineRefused(
        f"Could not start {spec['name']}",
        cause=words.decode(errors="replace") or "Its supervisor ended at once.",
        remedy="Check that the engine's program runs on this machine.",
    )


def _launch(folder: Path, held: int | None) -> bytes:
    """What the supervisor says when the engine was started."""
    passed = () if held is None else (held,)
    command = [sys.executable, "-S", "-P", "-m", process_supervisor.__name__, str(folder.resolve())]
    try:
        done = subprocess.run(
            [*command, *map(str, passed)],
            env={"PYTHONPATH": str(_ROOT), "PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=passed,
            timeout=_START_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return b"It did not answer in time."
    return done.stdout or done.stderr


def stop(folder: Path, timeout_s: float) -> None:
    """SIGTERM, wait, SIGKILL; nothing when it doesn't run.

    Raises:
        EngineUnavailable: another user's, or it can't be killed.
    """
    known = files.read_json(folder / files.STATE).get("supervisor")
    if not known:
        return
    try:
        handle = os.pidfd_open(files.pid_of(known))
    except ProcessLookupError:
        return
    try:
        if is_supervised(folder):  # asked after the handle was taken: it is this process or none
            _end(folder, handle, timeout_s)
    finally:
        os.close(handle)


def _end(folder: Path, handle: int, timeout_s: float) -> None:
    files.write_private(folder / files.STOP, str(timeout_s).encode())
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if _gone_within(handle, timeout_s + _KILL_GRACE_S):
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EngineUnavailable(
            f"Could not stop the server in {folder}", cause="Another user started it.", remedy="Stop it as that user."
        ) from error
    if not _gone_within(handle, _KILL_GRACE_S):
        raise EngineUnavailable(
            f"Could not stop the server in {folder}",
            cause="The kernel does not end it: it waits for a device or a network disk.",
            remedy="Look at its state with `ps`; a GPU that hangs may need a restart of the machine.",
        )


def _gone_within(handle: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
