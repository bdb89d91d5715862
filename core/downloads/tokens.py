"""A private channel to the worker: a token is held in its memory, never in the registry, argv or environment (D11)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from core.downloads.sources.secret_query import secrets_in
from core.errors import InvalidInput, ModelyardError
from core.keys.values import check_value
from core.redaction import remember
from core.settings import Settings

_PATIENCE_S = 15.0
_START_AGAIN_S = 2.0
_LONGEST = 64 * 1024


def usable(token: str) -> str:
    """The token, which no message can repeat from now on, nor what is secret in an address's query; "" is none.

    Raises:
        InvalidInput: no header can hold it.
    """
    if token:
        for secret in (token, *secrets_in(token)):
            remember(secret)
        check_value(token)
    return token


def channel(settings: Settings) -> Path:
    """The worker's socket: one per registry, in the folder that is the user's alone."""
    digest = sha256(os.fsencode(settings.db_path)).hexdigest()[:10]
    return settings.runtime_dir / f"worker-{digest}.sock"


class Tokens:
    """The tokens that were handed over, by the id of the job that they are for."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}
        self._is_open = False
        self.taken = 0  # how many so far: the job of the newest one may not be there yet

    def of(self, job_id: str) -> str:
        """The token for a job, or ""."""
        return self._held.get(job_id, "")

    def forget(self, job_id: str) -> None:
        """The job is over."""
        self._held.pop(job_id, None)

    @asynccontextmanager
    async def taken_at(self, path: Path) -> AsyncIterator[None]:
        """Listen while the context lasts; only this user may connect."""
        server = await asyncio.start_unix_server(self._take, sock=_private(path), limit=_LONGEST)
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            server.close()
            os.unlink(path)  # noqa: PTH108 - one call, no wait

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError, ConnectionError, InvalidInput):
            told = json.loads(await reader.readline())
            if self._is_open:  # else it would be lost with a worker that is ending
                self._held[str(told["job"])] = usable(str(told["token"]))
                self.taken += 1
                writer.write(b"ok\n")
                await writer.drain()
        writer.close()


def _private(path: Path) -> socket.socket:
    """A socket that only this user may connect to, from its first moment."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    return listener


async def hand_over(settings: Settings, job_id: str, token: str) -> None:
    """Give the worker, which may be starting, or ending, the token for a job; its job is expected soon.

    Raises:
        ModelyardError: it does not take it.
    """
    from core.downloads.launch import start_worker

    time = asyncio.get_running_loop().time
    deadline, start_at = time() + _PATIENCE_S, time() + _START_AGAIN_S
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_unix_connection(channel(settings))
            writer.write(json.dumps({"job": job_id, "token": token}).encode() + b"\n")
            answer = await reader.readline()
            writer.close()
            if answer == b"ok\n":
                return
        if time() > deadline:
            raise ModelyardError(
                "The program that does the downloads does not answer.",
                remedy=f"Look at {settings.data_dir / 'worker.log'}, then try again.",
            )
        await asyncio.sleep(0.05)
        if time() > start_at:  # the one that was there has ended meanwhile
            start_at = time() + _START_AGAIN_S
            await asyncio.to_thread(start_worker, settings)
