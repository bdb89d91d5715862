"""The program on a real pseudo-terminal: few bytes for each key, and everything again when that is needed (X9)."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.bench.measure import own_environment
from tests.bench.screens import FILLED, fill
from tests.bench.terminal import Recorded

_MODELS = 60
_TALL = 60  # rows, more than any terminal here


@pytest.fixture(scope="module")
def program() -> Iterator[Recorded]:
    """The screens over sixty models, the list shown."""
    with own_environment() as env:
        fill(env, _MODELS)
        with Recorded(FILLED[0], env) as program:
            program.until_shown(FILLED[1])
            program.until_quiet()
            yield program


_BREAKS_OFF = """
import asyncio, sys
from textual.drivers.linux_driver import LinuxDriver
from tui.terminal import DrawsChanges, Terminal

async def main():
    app = DrawsChanges()
    driver = Terminal(app)
    if sys.argv[1] == "while it is taken over":
        def breaks(self): raise SystemExit(7)
        LinuxDriver._disable_line_wrap = breaks
    driver.start_application_mode()
    raise SystemExit(7)

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["while it is taken over", "afterwards"])
def test_a_program_that_breaks_off_does_not_wait_for_keys(when: str) -> None:
    """The thread that reads the keys ends with the program, whichever way that goes."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _BREAKS_OFF, when],
            check=False,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=30,
        )
        assert done.returncode == 7
        assert (b"\x1b[?1049l" in _written(ours)) is (when == "while it is taken over"), "the terminal is back"
    finally:
        os.close(ours)
        os.close(theirs)


def _written(terminal: int) -> bytes:
    """All that a program that has ended wrote: one read gives no more than a part of it."""
    told = b""
    while select.select([terminal], [], [], 0.2)[0]:
        told += os.read(terminal, 100_000)
    return told


def _after(program: Recorded, keys: str) -> bytes:
    before = len(program.chunks)
    program.press(keys)
    _answered(program, before)
    return b"".join(data for _, data in program.chunks[before:])


def _answered(program: Recorded, before: int, *, within_s: float = 20.0) -> None:
    """Wait for the first of what it writes, and until it writes no more."""
    deadline = program.now + within_s
    while len(program.chunks) == before and program.now < deadline:
        program.watch(0.05)
    program.until_quiet(silence=0.25)


def _until_last(
    program: Recorded,
    shows: Callable[[list[str]], bool],
    *,
    first: int = 0,
    rows: int | None = None,
    within_s: float = 20.0,
) -> None:
    """Wait until the lines of the last frame are so."""
    deadline = program.now + within_s
    while not shows(last := _last_frame(program, first, rows=rows)):
        assert program.now < deadline, "\n".join(last)
        program.watch(0.1)


def _last_frame(program: Recorded, first: int, *, rows: int | None = None) -> list[str]:
    frames = program.frames(first=first, rows=rows)
    return frames[-1][1].split("\n") if frames else [""]


def _fills(rows: int, lines: list[str]) -> bool:
    """Whether the screens are drawn for so many rows, from the first to the last."""
    used = [line for line in lines[:rows] if line.strip()]
    is_whole = len(lines) > rows and "Help" in lines[rows - 1] and not "".join(lines[rows:]).strip()
    return is_whole and "Modelyard" in used[0] and "0000 model" in "".join(used)


def _until_whole(program: Recorded, first: int) -> None:
    """Wait until what came since then shows the same on an empty terminal."""
    _until_last(program, lambda lines: lines == _last_frame(program, 0), first=first)


def test_moving_the_cursor_costs_less_than_two_kilobytes(program: Recorded) -> None:
    for key in ("j", "j", "k"):
        sent = _after(program, key)
        assert 0 < len(sent) < 2000
        assert b"\xe2\x96\x8c" in sent


def test_a_key_writes_the_whole_screen_again(program: Recorded) -> None:
    first = len(program.chunks)
    assert len(_after(program, "\x0c")) > 2000
    _until_whole(program, first)


def test_another_size_and_the_same_again_are_drawn_whole(program: Recorded) -> None:
    for size in ((80, 24), (120, 40)):
        first = len(program.chunks)
        program.resize(*size)
        _answered(program, first)
        _until_last(program, partial(_fills, size[1]), first=first, rows=_TALL)


def test_after_a_stop_everything_is_written_again(program: Recorded) -> None:
    program.send(signal.SIGTSTP)
    program.until_quiet()
    first = len(program.chunks)
    program.send(signal.SIGCONT)
    _answered(program, first)
    _until_whole(program, first)


def test_a_line_that_takes_nothing_gets_the_last_frame_and_not_all_of_them(program: Recorded) -> None:
    """Nothing is read for as long as it takes the program to act on two hundred keys; it is not held up by that."""
    _after(program, "g")
    before = len(program.chunks)
    for key in "j" * (_MODELS - 1) + "k" * (_MODELS - 1) + "j" * (_MODELS - 1):
        program.press(key)
        program.wait(0.015)
    _until_last(program, lambda lines: f"▌ 00{_MODELS - 1} model" in "".join(lines))
    sent = sum(len(data) for _, data in program.chunks[before:])
    assert sent < 32_000, "the terminal's buffer, and a frame or two"


def test_opening_and_leaving_the_search_costs_little(program: Recorded) -> None:
    for key in ("/", "m", "\x7f", "\x1b"):
        assert 0 < len(_after(program, key)) < 2000
