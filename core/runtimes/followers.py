"""A long answer read by a thread of its own and handed to the loop in batches, with back pressure."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")
Item_co = TypeVar("Item_co", covariant=True)

_BACKLOG = 64


class Decoder(Protocol[Item_co]):
    """Turns the bytes of a long answer into items."""

    def feed(self, piece: bytes, /) -> Sequence[Item_co]:
        """The items that this piece completes."""

    def finish(self) -> Sequence[Item_co]:
        """What is left at the end."""


class Follower(Generic[T]):
    """One answer of the engine and the thread that reads it; at most 64 batches wait for the loop."""

    def __init__(self, response: Response, decoder: Decoder[T]) -> None:
        self._response = response
        self._decoder = decoder
        self._socket = _endless_socket(response)
        self._closed = threading.Event()
        self._slots = threading.Semaphore(_BACKLOG)
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Sequence[T] | BaseException | None] = asyncio.Queue()
        self._thread = threading.Thread(target=self._read, name="docker-follower", daemon=True)

    async def batches(self) -> AsyncIterator[Sequence[T]]:
        """What was read, as it comes; raises what the thread met."""
        self._thread.start()
        while (batch := await self._queue.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            self._slots.release()
            yield batch

    def close(self) -> None:
        """End the thread at once: its read returns, its wait for the loop too."""
        self._closed.set()
        self._slots.release()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is None:
            self._response.close()

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for piece in self._response.iter_content(chunk_size=None):
                if not self._pass_on(self._decoder.feed(piece)):
                    return
            self._pass_on(self._decoder.finish())
        except Exception as error:  # noqa: BLE001 - handed to the loop, which translates it
            end = error
        finally:
            self._response.close()
        self._put(end)

    def _pass_on(self, items: Sequence[T]) -> bool:
        if items:
            self._slots.acquire()
            if not self._closed.is_set():
                self._put(items)
        return not self._closed.is_set()

    def _put(self, item: Sequence[T] | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it everyone who could listen
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


def _endless_socket(response: Response) -> socket.socket:
    """The socket below an answer, its read limit lifted: a follower may hear nothing for days."""
    raw: Any = response.raw
    found: socket.socket = raw._fp.fp.raw._sock
    found.settimeout(None)
    return found
