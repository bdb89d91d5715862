"""What is told of copies to hosts: how far each is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.events import Event, Progress

if TYPE_CHECKING:
    from core.errors import ModelyardError


@dataclass(frozen=True, kw_only=True)
class CopyProgress(Progress):
    """How far the copy to a host is: bytes of all files in place or under way, bytes per second, seconds left.

    `state` is "queued", "checking", "sending", "verifying", "waiting" (for the line) or "paused"; `sent` counts bytes
    over the line.
    """

    host: str
    state: str
    sent: int = 0
    rate: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class CopyDone(Event):
    """All files are on the host, each with the hash it has here; `path` is the model's place there.

    `note` tells what could not be done besides.
    """

    host: str
    path: str
    files: int
    size: int
    sent: int
    registered: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class CopyFailed(Event):
    """The copy to a host ended with an error; files that arrived before it are whole."""

    host: str
    path: str
    error: str
    message: str
    cause: str
    remedy: str
    exit_code: int = 1

    @classmethod
    def of(cls, host: str, path: str, error: ModelyardError) -> CopyFailed:
        """The event for an error."""
        return cls(
            host=host,
            path=path,
            error=error.code,
            message=error.message,
            cause=error.cause,
            remedy=error.remedy,
            exit_code=error.exit_code,
        )
