"""Where a command line begins: the plainest requests are answered before anything is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.cli.commands import PROGRAM, root_help, version_line

if TYPE_CHECKING:
    from core.settings import Settings

    Screens = Callable[..., int]  # (settings, *, chat_with=None) -> exit code

_COMPLETE = f"_{PROGRAM.upper()}_COMPLETE"
_PLAIN: dict[tuple[str, ...], Callable[[], str]] = {
    ("--help",): root_help,
    ("-h",): root_help,
    ("help",): root_help,
    ("--version",): version_line,
}


def main(words: Sequence[str], *, screens: Callable[[Settings, str | None], int] | None = None) -> int:
    """Run one command and return its exit code; `screens` opens the screens, for the commands that end in them."""
    from core.cli.diagnostics import guarded, quiet_pipe

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    plain = _PLAIN.get(tuple(words))
    if plain and _COMPLETE not in os.environ:
        return quiet_pipe(lambda: _print(plain()))
    return guarded(lambda: _run(list(words), screens), json="--json" in words)


def _print(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return 0


def _run(words: list[str], screens: Callable[[Settings, str | None], int] | None) -> int:
    import click

    from core.cli.program import program

    _refuse_other_encodings(words)
    root = program()
    if _COMPLETE in os.environ:
        root.main(words, PROGRAM)
    try:
        with root.make_context(PROGRAM, words, obj=screens) as context:
            code = root.invoke(context)
    except click.exceptions.Exit as end:  # after --help
        return end.exit_code
    return code if isinstance(code, int) else 0


def _refuse_other_encodings(words: list[str]) -> None:
    """Bytes that are no text could be neither stored nor shown."""
    from core.errors import UsageError

    for number, word in enumerate(words, 1):
        if any("\ud800" <= char <= "\udfff" for char in word):
            raise UsageError(f"Word {number} of the command is not UTF-8 text: {word}", remedy=f"{PROGRAM} --help")
