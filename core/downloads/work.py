"""What the worker knows of a job under way, whatever its kind."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Protocol

from core.downloads.values import Cancelled


class Work(Protocol):
    """One attempt at a job."""

    @property
    def received(self) -> int:
        """Bytes that were moved or read this time: what a speed is made of."""

    @property
    def files_done(self) -> int:
        """How many files are done with."""

    def told(self, *, files: bool) -> dict[str, Any]:
        """Columns of the job as it is now; `files` asks for those that tell of each file, too."""

    def cancel(self) -> None:
        """Stop soon; what has come is kept, and `run` raises `Cancelled`."""

    def tidy(self) -> None:
        """Leave nothing beside the files of a job that ended well, once they are written down elsewhere; blocks."""

    async def run(self) -> dict[str, Any]:
        """The columns of a job that is done.

        Raises:
            ModelyardError: why it ended. Cancelled: somebody asked.
        """


class AsyncWork:
    """A work that is a task: cancelling the one cancels the other."""

    def __init__(self) -> None:
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._stopped = False

    def cancel(self) -> None:
        """Stop soon."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    def tidy(self) -> None:
        """Nothing is left beside."""

    async def run(self) -> dict[str, Any]:
        """See `Work.run`."""
        if self._stopped:
            raise Cancelled
        self._task = asyncio.create_task(self._run())
        try:
            return await self._task
        except asyncio.CancelledError:
            if self._stopped:
                raise Cancelled from None
            raise

    @abstractmethod
    async def _run(self) -> dict[str, Any]: ...
