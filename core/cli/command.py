"""Makes a click command of an async function: opens the facade, hands over the output, heeds the signals.

The heavy half of the program is imported when a command runs, not when it is looked up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from core.cli.program import CONTEXT, json_option, wants_json

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from core.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[..., Awaitable[int | None]]


def command(name: str) -> Callable[[Work], click.Command]:
    """`async def f(yard, out, *, options)` as a command; what it returns is the exit code, None is 0."""

    def decorate(function: Work) -> click.Command:
        return _command(name, function, partial(_with_yard, function))

    return decorate


def bare_command(name: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """`def f(out, *, options)` as a command that opens what it needs itself."""

    def decorate(function: Callable[..., int | None]) -> click.Command:
        return _command(name, function, partial(_with_output, function))

    return decorate


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM and SIGHUP cancel it like Ctrl-C, so that what has to be tidied up is.

    Raises:
        Terminated: one of these signals came. KeyboardInterrupt: Ctrl-C came.
    """
    import asyncio

    with asyncio.Runner() as runner:
        return runner.run(_heeding_signals(work))


async def _heeding_signals(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    from core.cli.diagnostics import Terminated

    task = asyncio.current_task()
    assert task is not None
    received: list[int] = []
    asyncio.get_running_loop().set_exception_handler(partial(_keep_lost, task))
    with _signals(task, received):
        try:
            return await work
        except asyncio.CancelledError:
            if received:
                raise Terminated(received[0]) from None
            raise


def _keep_lost(task: asyncio.Task[Any], _loop: object, context: dict[str, Any]) -> None:
    """An error in a callback that nobody waits for: saved, unless it comes of being cancelled."""
    error = context.get("exception")
    if error is None or task.cancelling() or task.done():
        return
    from core.cli.crash import save

    save(error)


@contextmanager
def _signals(task: asyncio.Task[Any], received: list[int]) -> Iterator[None]:
    import asyncio
    import signal

    def end(signum: int) -> None:
        received.append(signum)
        task.cancel()

    loop = asyncio.get_running_loop()
    before = _heeded()
    for one in before:
        loop.add_signal_handler(one, end, one)
    try:
        yield
    finally:
        for one, handler in before.items():
            loop.remove_signal_handler(one)
            signal.signal(one, handler)


def _heeded() -> dict[int, Any]:
    """The signals that end the program in good order, and how they are handled now; not SIGHUP under nohup."""
    import signal

    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    return {int(one): handler for one, handler in handlers.items() if handler is not signal.SIG_IGN}


@contextmanager
def signals_raise() -> Iterator[None]:
    """Outside of `run` too, SIGTERM and SIGHUP unwind the program instead of ending it on the spot."""
    import signal

    from core.cli.diagnostics import Terminated

    def end(signum: int, _frame: object) -> None:
        raise Terminated(signum)

    before = _heeded()
    for one in before:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _command(name: str, function: Callable[..., Any], callback: Callable[..., int | None]) -> click.Command:
    parameters = [*reversed(getattr(function, "__click_params__", [])), json_option()]
    text = (function.__doc__ or "").strip()
    return click.Command(name, callback=callback, params=parameters, help=text, context_settings=CONTEXT)


def _with_yard(function: Work, **options: object) -> int | None:
    from core.cli.output import Output
    from core.settings import Settings

    out = Output(json=wants_json(click.get_current_context()))
    return run(_open(Settings.load(), partial(function, out=out, **options), may_ask=not out.json))


async def _open(settings: Settings, work: Work, *, may_ask: bool) -> int | None:
    from core.app import Modelyard
    from core.cli.hidden import ask_passphrase

    async with Modelyard.open(settings) as yard:
        if may_ask:
            yard.keys.ask_with(ask_passphrase)
        return await work(yard)


def _with_output(function: Callable[..., int | None], **options: object) -> int | None:
    import gc

    from core.cli.output import Output

    gc.enable()  # the screens and the commands that open the core leave that to it
    return function(Output(json=wants_json(click.get_current_context())), **options)
