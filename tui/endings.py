"""How the screens end when it is not the user who leaves: a signal, a terminal that is gone, a fault.

All of them give the terminal back and let the program tidy up. Textual's own report of a fault would print the
values of variables; the fault is handed to the caller instead, which saves it without secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

_PATIENCE_S = 8.0  # for an end in good order; a writer whose terminal is gone may be stuck for ever


def run_until_ended(app: App[Any]) -> int:
    """Run the app and return its exit code: 128 and the signal's number when SIGTERM or SIGHUP ended it.

    Raises:
        Exception: the fault that ended it.
    """
    setattr(app, "_print_error_renderables", lambda: None)  # noqa: B010 - a method of Textual
    with _quits_on_signals(app):
        app.run()
    code = app.return_code or 0
    if app._exception is not None and code < 128:
        raise app._exception
    return code


@contextmanager
def _quits_on_signals(app: App[Any]) -> Iterator[None]:
    def end(signum: int, _frame: object) -> None:
        if signum == signal.SIGHUP and not _terminal_is_there():
            _leave_terminal()
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # workers that will not begin any more
        code = 128 + signum
        signal.signal(signal.SIGALRM, partial(_unwind, code))
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise SystemExit(code) from None  # not up yet, or down already
        leave = partial(app.exit, return_code=code)
        loop.call_soon_threadsafe(app.call_after_refresh, leave)  # not amid a screen's making

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    heeded = {one: handler for one, handler in before.items() if handler is not signal.SIG_IGN}
    for one in heeded:  # not SIGHUP under nohup
        signal.signal(one, end)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in heeded.items():
            signal.signal(one, handler)


def _unwind(code: int, _signum: int, _frame: object) -> None:
    raise SystemExit(code)


def _terminal_is_there() -> bool:
    try:
        termios.tcgetattr(0)
    except termios.error:
        return False
    return True


def _leave_terminal() -> None:
    """Read and write nothing from now on: a terminal that hung up answers with errors."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
