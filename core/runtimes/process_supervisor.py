"""Keeps one server running as a process, without the program that started it.

Started as `python -m core.runtimes.process_supervisor FOLDER [LEASH]`; ends when the server is stopped, when it
ends and is not to be restarted, or (LEASH: a pipe's file descriptor) when the program at the other end is gone.
The engine has a process group of its own that never outlives its supervisor: the kernel kills its leader, a
watching shell its group, even when the supervisor is killed itself.

Only the standard library and two modules like that, so that it starts in a moment and stays small.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from core.runtimes import process_files as files
from core.runtimes.lines import LineSplitter

UP, ALREADY, TAKEN = b"up", b"already running", b"port taken"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FIRST_WAIT_S, _LONGEST_WAIT_S, _GOOD_RUN_S = 0.1, 60.0, 10.0
_DRAIN_S = 1.0
_LEASH_STOP_S = 10.0
_GROUP_GRACE_S, _GROUP_LOOK_S = 2.0, 0.05
_PIECE = 64 * 1024
_GUARD = 'group=0; while read -r line; do group=$line; done; [ "$group" = 0 ] || kill -s KILL -- "-$group"'


class Supervisor:
    """One server: starts it, keeps its log, starts it again, ends it."""

    def __init__(self, folder: Path, *, leash: int | None) -> None:
        self._folder = folder
        self._server = files.read_json(folder / files.SERVER)
        self._spec: dict[str, Any] = self._server["spec"]
        self._leash = leash
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._log = files.RotatingLog(
            folder, max_bytes=files.parse_size(self._spec["log_max_size"]), max_files=self._spec["log_max_files"]
        )
        self._state: dict[str, Any] = {"supervisor": files.identity(os.getpid()), "boot": files.boot_id()}
        self._stop_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._child: subprocess.Popen[bytes] | None = None
        self._guard = self._start_guard()

    def run(self, report: Callable[[bytes], None]) -> None:
        """Until the end of the server; `report` is told once whether it came up."""
        self._listen()
        wait_s, restarts = _FIRST_WAIT_S, 0
        while True:
            began = time.monotonic()
            try:
                self._start()
            except (OSError, subprocess.SubprocessError) as error:
                self._note(phase="exited", exit_code=127, error=str(error), finished_at=files.now())
                report(str(error).encode())
                return
            self._note(phase="up", child=files.identity(self._pid), restarts=restarts, started_at=files.now())
            report(UP)
            code = self._watch()
            ends = self._stop_at is not None or not self._spec["restart"]
            phase = "exited" if ends else "restarting"
            self._note(phase=phase, child=None, exit_code=code, finished_at=files.now())
            if ends:
                return
            wait_s = _FIRST_WAIT_S if time.monotonic() - began > _GOOD_RUN_S else wait_s
            if self._pause(wait_s):
                self._note(phase="exited")
                return
            wait_s, restarts = min(2 * wait_s, _LONGEST_WAIT_S), restarts + 1

    @property
    def _pid(self) -> int:
        return self._child.pid if self._child else 0

    def _note(self, **changes: object) -> None:
        self._state |= changes
        with suppress(OSError):
            files.write_json(self._folder / files.STATE, self._state)

    def _listen(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._asked_to_stop())
        for ignored in (signal.SIGHUP, signal.SIGINT):  # by a handler: SIG_IGN would pass on to the engine
            signal.signal(ignored, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, _PIECE))
        if self._leash is not None:
            self._selector.register(self._leash, selectors.EVENT_READ, self._leash_moved)

    def _start_guard(self) -> IO[bytes]:
        """A shell that kills the group that it was last told when we are gone."""
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        guard = subprocess.Popen(["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True, cwd="/")
        self._guard_pid = guard.pid
        assert guard.stdin is not None
        return guard.stdin

    def _tell_guard(self, group: int) -> None:
        with suppress(BrokenPipeError):
            self._guard.write(b"%d\n" % group)
            self._guard.flush()

    def _start(self) -> None:
        me = os.getpid()

        def tie() -> None:
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != me:
                os._exit(1)

        self._child = subprocess.Popen(
            self._server["argv"],
            env=self._server["env"],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=tie,  # noqa: PLW1509 - this program has one thread
        )
        self._tell_guard(self._child.pid)
        for pipe, tag in ((self._child.stdout, b"1"), (self._child.stderr, b"2")):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, self._pump(pipe, tag))

    def _pump(self, pipe: IO[bytes], tag: bytes) -> Callable[[], None]:
        splitter = LineSplitter()

        def pump() -> None:
            try:
                piece = os.read(pipe.fileno(), _PIECE)
            except BlockingIOError:
                return
            self._log.write(tag, splitter.feed(piece) if piece else splitter.finish())
            if not piece:
                self._selector.unregister(pipe)
                pipe.close()

        return pump

    def _watch(self) -> int:
        """Serve the child until it ends; its exit status as a shell gives it."""
        assert self._child is not None
        if self._stop_at is not None:
            self._child.send_signal(signal.SIGTERM)
        while self._child.poll() is None:
            left_s = self._until_kill()
            if left_s == 0:
                self._kill_group()
            self._turn(left_s or (None if left_s is None else _DRAIN_S))
        self._let_group_end()
        self._kill_group()
        self._kill_orphans()
        self._drain()
        self._tell_guard(0)
        code = self._child.returncode
        return 128 - code if code < 0 else code

    def _turn(self, limit_s: float | None) -> None:
        for key, _ in self._selector.select(limit_s):
            key.data()

    def _until_kill(self) -> float | None:
        return None if self._stop_at is None else max(0.0, self._stop_at - time.monotonic())

    def _drain(self) -> None:
        """Read what the dead left in the pipes."""
        deadline = time.monotonic() + _DRAIN_S
        pipes = [pipe for pipe in (self._child.stdout, self._child.stderr) if pipe] if self._child else []
        while any(not pipe.closed for pipe in pipes) and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        for pipe in pipes:
            if not pipe.closed:
                self._selector.unregister(pipe)
                pipe.close()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next start; True when it was stopped meanwhile."""
        deadline = time.monotonic() + seconds
        while self._stop_at is None and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        return self._stop_at is not None

    def _leash_moved(self) -> None:
        assert self._leash is not None
        if not os.read(self._leash, 1):
            self._selector.unregister(self._leash)
            self._end(min(_LEASH_STOP_S, float(self._spec["stop_timeout_s"])))

    def _asked_to_stop(self) -> None:
        try:
            seconds = float((self._folder / files.STOP).read_text())
        except (OSError, ValueError):
            seconds = float(self._spec["stop_timeout_s"])
        self._end(seconds)

    def _end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._stop_at = deadline if self._stop_at is None else min(self._stop_at, deadline)
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)

    def _let_group_end(self) -> None:
        """What the engine started is asked to end and may clean up, its shared memory above all."""
        deadline = time.monotonic() + _GROUP_GRACE_S
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGTERM)
        while self._until_kill() != 0 and _group_lives(self._pid) and time.monotonic() < deadline:
            self._turn(_GROUP_LOOK_S)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _kill_orphans(self) -> None:
        """What left the group and lost its parents became our child."""
        me = os.getpid()
        with suppress(OSError):
            for pid in map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split()):
                if pid != self._guard_pid:
                    os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _hold(lock: Path) -> int | None:
    """The lock of a folder, None when another supervisor has it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return descriptor


def _group_lives(group: int) -> bool:
    """Whether a process of the group is left, after collecting those that have ended and became ours."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _supervise(folder: Path, leash: int | None, answer: int) -> None:
    def report(words: bytes) -> None:
        nonlocal answer
        if answer >= 0:
            os.write(answer, words)
            os.close(answer)
            answer = -1

    os.setsid()
    os.chdir("/")
    with Path(os.devnull).open("r+b", buffering=0) as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)
    if _hold(folder / files.LOCK) is None:
        report(ALREADY)
        return
    try:
        with _claim(folder) as claim:
            if claim is None:
                report(TAKEN)
            else:
                Supervisor(folder, leash=leash).run(report)
    except Exception as error:  # noqa: BLE001 - there is nobody else to tell
        report(repr(error).encode())


@contextmanager
def _claim(folder: Path) -> Iterator[socket.socket | None]:
    """A name in the kernel for the address of this server, None where another one has it that may not listen yet."""
    spec = files.read_json(folder / files.SERVER)["spec"]
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            if spec["port"]:
                claim.bind(f"\0modelyard {spec['bind']}:{spec['port']}")
        except OSError:
            yield None
        else:
            yield claim


def main(arguments: list[str]) -> int:
    """Fork away; say "up" on stdout, or why not, once the engine was started."""
    folder = Path(arguments[0])
    leash = int(arguments[1]) if len(arguments) > 1 else None
    heard, answer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(heard)
            _supervise(folder, leash, answer)
        finally:
            os._exit(0)
    os.close(answer)
    with os.fdopen(heard, "rb") as pipe:
        words = pipe.read()
    os.write(1, words)
    return 0 if words in {UP, ALREADY} else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
