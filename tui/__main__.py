"""The command `modelyard`: without words on a terminal the screens, with words the command line. Dispatch only."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.settings import Settings

_FRAMES = "120"  # a second at most: rows that are there wait 8 ms for the next one, not 17
_YIELD_S = 0.001  # what reads and writes in threads gives way to the screens so soon, not after Python's 0.005


def main() -> None:
    """Run, and leave with the exit code; until the core is open, looking for garbage would only slow the imports."""
    gc.disable()
    sys.exit(_dispatch(sys.argv[1:]))


def _dispatch(words: list[str]) -> int:
    if words or "_MODELYARD_COMPLETE" in os.environ:
        from core.cli.main import main as command_line

        return command_line(words, screens=_screens)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write(
            "error: The screens need a terminal.\n"
            "cause: standard input or output is something else\n"
            "remedy: Give a command; modelyard --help lists them.\n"
        )
        return 2
    return _open()


def _open() -> int:
    from core.cli.diagnostics import guarded
    from core.settings import Settings

    return guarded(lambda: _screens(Settings.load(), None), json=False)


def _screens(settings: Settings, chat_with: str | None) -> int:
    os.environ.setdefault("TEXTUAL_FPS", _FRAMES)
    from tui.app import run_screens

    sys.setswitchinterval(_YIELD_S)
    if not sys.stderr.isatty():
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # where Textual draws: `2>file` takes messages alone
    return run_screens(settings, chat_with=chat_with)


if __name__ == "__main__":
    main()
