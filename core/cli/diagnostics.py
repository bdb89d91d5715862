"""Owns standard error and the exit codes: every way in which a command can end passes through `guarded`.

Imports are deferred: `--help` passes through here too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.errors import ModelyardError
    from core.findings import Finding

FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141


_going_on: list[str] = []  # jobs that this command began, which its end does not end


class Terminated(SystemExit):
    """A signal asked the program to end; the exit code is 128 and its number. Passes through event loops."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


def notice(text: str) -> None:
    """One harmless line for people."""
    from core.text import clean_line

    _write(clean_line(text))


def goes_on(*jobs: str) -> None:
    """What the document of an interruption has to name, so that a script can go on from there: ids of jobs."""
    _going_on.extend(jobs)


def findings(found: list[Finding], *, all_of_them: bool = True) -> None:
    """The findings of a dry run, the worst last."""
    from core.findings import Severity

    order = list(Severity)
    for finding in sorted(found, key=lambda one: order.index(one.severity)):
        if all_of_them or order.index(finding.severity) >= order.index(Severity.WARNING):
            remedy = f" → {finding.remedy}" if finding.remedy else ""
            notice(f"{finding.severity:<7} {finding.check}: {finding.reason}{remedy}")


def quiet_pipe(action: Callable[[], int]) -> int:
    """Run `action`; a reader that has gone away ends it without a word."""
    try:
        code = action()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit's flush is quiet too
        return PIPE_CLOSED
    return code


def guarded(action: Callable[[], int], *, json: bool) -> int:
    """Run a command and turn however it ends into words on standard error and an exit code."""
    try:
        return quiet_pipe(action)
    except (KeyboardInterrupt, EOFError):
        _tell(json, "Interrupted", "interrupted")
        return INTERRUPTED
    except Terminated as end:
        _tell(json, "Interrupted", f"ended by signal {end.signum}")
        return 128 + end.signum
    except Exception as error:  # noqa: BLE001 - the last resort: nothing reaches a user as a raw traceback
        return _explain(error, json=json)


def _explain(error: Exception, *, json: bool) -> int:
    from core.errors import ModelyardError

    if isinstance(error, ModelyardError):
        return report(error, json=json)
    if click := sys.modules.get("click"):
        if isinstance(error, click.Abort):
            _tell(json, "Interrupted", "interrupted")
            return INTERRUPTED
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            return _no_command(error, json=json)
        if isinstance(error, click.ClickException):
            return report(_usage(error), json=json)
    return report(_unexpected(error), json=json)


def report(error: ModelyardError, *, json: bool) -> int:
    """Say what happened, why, and what to do; returns the exit code."""
    if json:
        _write_json(error.as_dict())
        return error.exit_code
    notice(f"error: {error.message}")
    for label, text in (("cause", error.cause), ("remedy", error.remedy)):
        if text:
            notice(f"{label}: {text}")
    return error.exit_code


def _no_command(error: Exception, *, json: bool) -> int:
    """A group without a command shows its help, as an error: a script that does it has forgotten something."""
    if json:
        _tell(json, "UsageError", "A command is missing.")
    else:
        _write(error.format_message())  # type: ignore[attr-defined]
    return USAGE


def _usage(error: Exception) -> ModelyardError:
    from core.errors import UsageError

    context = getattr(error, "ctx", None)
    path = context.command_path if context else "modelyard"
    return UsageError(error.format_message(), remedy=f"{path} --help")  # type: ignore[attr-defined]


def _unexpected(error: Exception) -> ModelyardError:
    from core.cli.crash import save, without_secrets
    from core.errors import ModelyardError

    saved = save(error)
    return ModelyardError(
        f"Modelyard met an error that it does not know: {type(error).__name__}",
        cause=without_secrets(str(error).partition("\n")[0])[:300],
        remedy=f"Please report it; the details are in {saved}" if saved else "Please report it.",
    )


def _tell(json: bool, code: str, text: str) -> None:
    if json:
        jobs = _going_on if code == "Interrupted" else []
        remedy = f"It goes on without this command: modelyard download show {jobs[0]}" if jobs else ""
        told: dict[str, object] = {"error": code, "message": text, "cause": "", "remedy": remedy}
        _write_json({**told, "jobs": jobs} if jobs else told)
    else:
        _write(text)


def _write_json(document: dict[str, object]) -> None:
    from json import dumps

    _write(dumps(document, default=str))


def _write(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody listens; the exit code still tells


class Reporter:
    """Progress for people: one line that is rewritten on a terminal, a line per news elsewhere, silent with JSON."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._terminal = sys.stderr.isatty()
        self._last = ""
        self._open = False

    def step(self, text: str) -> None:
        """News that replace the ones before."""
        from core.text import clean_line

        line = clean_line(text)
        if self._silent or line == self._last:
            return
        self._last = line
        if self._terminal:
            self._open = True
            _raw(f"\r\x1b[K{line[: _columns() - 1]}")
        else:
            _write(line)

    def note(self, text: str) -> None:
        """News that stay; what stands there already as a line of its own is not said twice."""
        if not self._silent and (self._terminal or text != self._last):
            self.end()
            notice(text)

    def end(self) -> None:
        """Clear the rewritten line."""
        if self._open:
            _raw("\r\x1b[K")
            self._open = False


def _raw(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
