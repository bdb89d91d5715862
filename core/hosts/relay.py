"""A TCP port on this machine's loopback that leads somewhere else while a context lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from core.errors import NotAllowed

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_CHUNK = 256 * 1024


@asynccontextmanager
async def relay(dial: Callable[[], Awaitable[Streams]], *, local_port: int = 0) -> AsyncIterator[int]:
    """Listen on 127.0.0.1 and connect each client with what `dial` reaches; yields the port.

    Raises:
        NotAllowed: the port is taken.
    """
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(dial, (reader, writer)))
        running.add(task)
        task.add_done_callback(running.discard)

    try:
        server = await asyncio.start_server(accept, "127.0.0.1", local_port)
    except OSError as error:
        raise NotAllowed(
            f"Port {local_port} of this machine can't be used: {error.strerror}",
            remedy="Choose another port, or leave it out to have a free one.",
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _serve(dial: Callable[[], Awaitable[Streams]], client: Streams) -> None:
    with contextlib.closing(client[1]), contextlib.suppress(OSError):
        far = await dial()
        with contextlib.closing(far[1]):
            await asyncio.gather(_pump(client[0], far[1]), _pump(far[0], client[1]))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
