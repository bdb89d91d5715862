"""Programs that begin at once: forked from one process that has everything imported.

The start of the interpreter and its imports cost half a second of processor time each, and are the same each
time. Each program is still a process of its own, with its words, environment, streams and exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TextIO, cast

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = (
    *("alembic.command", "click", "cryptography.fernet", "docker", "httpx", "psutil", "sqlmodel", "yaml"),
    *("sqlalchemy.dialects.sqlite", "core.app", "core.db", "core.hosts.service", "core.hosts.doctor"),
)
_ROOMS = (
    "analytics",
    "catalog",
    "chat",
    "cli",
    "connections",
    "deploy",
    "downloads",
    "exchange",
    "files",
    "keys",
    "registry",
)
_READS_ITS_ENVIRONMENT = frozenset({"huggingface_hub", "keyring"})  # as it is imported: each program does it itself
_AT_START = ("PYTHONPATH", "PYTHONIOENCODING", "LC_ALL", "LANG")  # what an interpreter heeds only as it starts
_ENVIRONMENT = dict(os.environ)  # before any test changes it


def differs_at_start(env: Mapping[str, str]) -> bool:
    """Whether a program with this environment must have an interpreter of its own."""
    return any(env.get(name) != _ENVIRONMENT.get(name) for name in _AT_START)


class Nursery:
    """The process that forks; ends with this one."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forks", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=_ROOT,
            env=_ENVIRONMENT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        atexit.register(self._end)

    def begin(self, words: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> socket.socket:
        """Start the program on these three streams; what is returned tells its process id, then its exit code."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = os.memfd_create("request")
        with os.fdopen(request, "w+", encoding="ascii") as file, theirs, self._asking:
            json.dump({"words": words, "env": dict(env), "cwd": str(Path.cwd())}, file)
            file.flush()
            socket.send_fds(self._ours, [b"run"], [request, theirs.fileno(), *streams])
        return ours

    def _end(self) -> None:
        self._ours.close()
        self._process.wait()


@cache
def _nursery() -> Nursery:
    return Nursery()


def run(
    words: Sequence[str], *, stdin: bytes, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run` of the program would: to its end, and until nobody writes to its streams any more."""
    (read_in, write_in), (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe(), os.pipe()
    program = _nursery().begin(words, env, (read_in, write_out, write_err))
    for end in (read_in, write_out, write_err):
        os.close(end)
    pid = int(program.recv(64))
    late = threading.Event()

    def kill() -> None:
        late.set()
        os.kill(pid, signal.SIGKILL)

    clock = threading.Timer(timeout, kill)
    clock.start()
    told: dict[int, bytes] = {}
    workers = [threading.Thread(target=_feed, args=(write_in, stdin))]
    workers += [threading.Thread(target=_drain, args=(end, told)) for end in (read_out, read_err)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    code = int(program.recv(64))
    clock.cancel()
    program.close()
    assert not late.is_set(), f"{list(words)} did not end within {timeout:g} s: {told}"
    return subprocess.CompletedProcess(list(words), code, told[read_out], told[read_err])


def _feed(end: int, data: bytes) -> None:
    try:
        with open(end, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass  # as subprocess.run does: the program did not want it


def _drain(end: int, told: dict[int, bytes]) -> None:
    with open(end, "rb") as file:
        told[end] = file.read()


# In the other process


def _serve(asked: socket.socket) -> None:
    """Fork a program for each request until nobody can ask any more."""
    while True:
        _, descriptors, _, _ = socket.recv_fds(asked, 8, 5)
        if not descriptors:
            return
        if os.fork() == 0:
            asked.close()
            _keep(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while _one_has_ended():
            pass


def _one_has_ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _keep(request: int, told: int, *streams: int) -> None:
    """Fork once more, wait for the program and tell its end: a killed program can't."""
    with socket.socket(fileno=told) as teller:
        pid = os.fork()
        if pid == 0:
            teller.detach()
            os.close(told)
            _become(request, streams)
        for stream in streams:
            os.close(stream)
        teller.send(str(pid).encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        teller.send(str(code).encode())
    os._exit(0)


def _become(request: int, streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with os.fdopen(request, encoding="ascii") as file:
        file.seek(0)
        asked = json.load(file)
    sys.stdin = _stream(sys.stdin, 0, "r")
    sys.stdout = _stream(sys.stdout, 1, "w")
    sys.stderr = _stream(sys.stderr, 2, "w", buffering=1)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["modelyard", *asked["words"]]
    os._exit(_run_to_the_end())


def _stream(like: TextIO, number: int, mode: str, *, buffering: int = -1) -> TextIO:
    """A new one: what is known of the old one, as whether it can be sought, is not true of this descriptor."""
    return cast("TextIO", open(number, mode, buffering, encoding=like.encoding, errors=like.errors, closefd=False))


def _run_to_the_end() -> int:
    code = 1
    try:
        runpy.run_module("tui", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def _import_everything() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)
    for room in _ROOMS:
        for module in pkgutil.iter_modules([str(_ROOT / "core" / room)], f"core.{room}."):
            importlib.import_module(module.name)
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    loaded = _READS_ITS_ENVIRONMENT & set(sys.modules)
    assert not loaded, f"would take its environment from here: {loaded}"


if __name__ == "__main__":
    _import_everything()
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
