"""Keys from environment variables and from the files that `NAME_FILE` names."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import KeyProblem, Refused
from core.keys.values import KeySource, variables_of

_LARGEST = 64 * 1024  # bytes


@dataclass(frozen=True)
class Found:
    """A value and where it was; the value is in no `repr`."""

    value: str
    source: KeySource
    detail: str

    def __repr__(self) -> str:
        return f"Found({self.source}, {self.detail})"


def find(name: str) -> Found | None:
    """The key of this name from the environment: a variable, else the file that one names.

    Raises:
        Refused: others can read the file. KeyProblem: it can't be used.
    """
    variables = variables_of(name)
    for variable in variables:
        if value := os.environ.get(variable, ""):
            return Found(value, KeySource.ENVIRONMENT, variable)
    for variable in variables:
        if path := os.environ.get(f"{variable}_FILE", ""):
            return Found(read_private(Path(path), f"{variable}_FILE"), KeySource.FILE, f"{variable}_FILE = {path}")
    return None


def where(name: str) -> tuple[KeySource, str] | None:
    """Where `find` would look, without reading a file."""
    variables = variables_of(name)
    for variable in variables:
        if os.environ.get(variable):
            return KeySource.ENVIRONMENT, variable
    for variable in variables:
        if path := os.environ.get(f"{variable}_FILE"):
            return KeySource.FILE, f"{variable}_FILE = {path}"
    return None


def read_private(path: Path, variable: str) -> str:
    """A secret from a file that nobody else can read, without the line break at its end.

    Raises:
        Refused: others can read it, or it is someone else's. KeyProblem: it is missing, empty or no text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _problem(path, variable, error.strerror or str(error)) from error
    with os.fdopen(descriptor, "rb") as file:
        _refuse_open_to_others(os.fstat(descriptor), path, variable)
        content = file.read(_LARGEST + 1)
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _problem(path, variable, "it is not UTF-8 text") from None  # the error holds the content
    if not text or len(content) > _LARGEST:
        raise _problem(path, variable, "it is empty" if not text else f"it has more than {_LARGEST} bytes")
    return text


def _refuse_open_to_others(found: os.stat_result, path: Path, variable: str) -> None:
    shown = shlex.quote(str(path))
    if not stat.S_ISREG(found.st_mode):
        raise _problem(path, variable, "it is not a regular file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise Refused(
            f"The file of {variable} belongs to another user: {path}",
            remedy=f"sudo chown {os.geteuid()} {shown}",
        )
    if found.st_mode & 0o077:
        raise Refused(
            f"The file of {variable} can be read or changed by other users of this machine: {path}",
            cause=f"mode {stat.filemode(found.st_mode)}",
            remedy=f"chmod 600 {shown}",
        )


def _problem(path: Path, variable: str, cause: str) -> KeyProblem:
    return KeyProblem(
        f"The file of {variable} can't be used: {path}", cause=cause, remedy=f"Mend the file, or unset {variable}."
    )
