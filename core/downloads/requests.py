"""Asks for parts of one file again and again: new addresses for expired ones, longer waits, an end to patience."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from core.downloads.http import Expired, Http, Reply, TryAgain, Version
from core.downloads.values import Address, Cancelled, Limits, RemoteFile
from core.errors import DownloadFailed, SourceLost, WrongBytes

if TYPE_CHECKING:
    from collections.abc import Callable


class Requests:
    """All that one transfer asks for; its threads share it."""

    def __init__(self, remote: RemoteFile, http: Http, limits: Limits) -> None:
        self._remote = remote
        self._http = http
        self._limits = limits
        self._lock = threading.Lock()
        self._address: Address | None = None
        self._open: set[Reply] = set()
        self._failures = 0
        self.stopped = threading.Event()

    def ask(self, start: int, end: int | None, known: Version | None) -> Reply:
        """An answer that holds [start, end), as soon as there is one; give it to `let_go` in the end.

        Raises:
            Cancelled: it was stopped meanwhile. DownloadFailed: there is none, or not in time.
        """
        return self._patiently(lambda: self._once(start, end, known))

    @property
    def name(self) -> str:
        """The file's, for messages."""
        return self._remote.name

    def refuse_other(self, reply: Reply, start: int, known: Version) -> None:
        """See that an answer goes on with the content that the first one began.

        Raises:
            WrongBytes: the file is another one by now.
        """
        if reply.start != start or not known.matches(reply.version):
            raise WrongBytes(
                f"{self._remote.name} changed at its source while it was fetched.",
                remedy="Start again: it will be fetched from the beginning.",
            )

    def moved(self) -> None:
        """A byte came: patience begins anew."""
        self._failures = 0

    def failed(self, error: TryAgain) -> None:
        """Wait, longer each time without a new byte.

        Raises:
            SourceLost: that was the last try.
        """
        with self._lock:
            self._failures += 1
            failures = self._failures
        if failures > self._limits.tries:
            raise SourceLost(
                f"{self._remote.name} could not be fetched: the line or the server failed {failures} times.",
                cause=str(error),
                remedy="Try again when the line is better: what has come is kept.",
            ) from error
        wait_s = min(self._limits.longest_wait_s, self._limits.first_wait_s * 2 ** (failures - 1))
        wait_s *= random.uniform(0.75, 1.25)  # noqa: S311 - so that parts don't come back together
        self.stopped.wait(wait_s if error.wait_s is None else min(error.wait_s, self._limits.longest_wait_s))

    def let_go(self, reply: Reply) -> None:
        """The connection is kept for the next one when the answer was read to its end."""
        with self._lock:
            self._open.discard(reply)
        reply.close()

    def stop(self) -> None:
        """Whoever asks, waits or reads ends soon."""
        self.stopped.set()
        with self._lock:
            for reply in self._open:
                reply.interrupt()

    def _patiently(self, ask: Callable[[], Reply]) -> Reply:
        while True:
            if self.stopped.is_set():
                raise Cancelled
            try:
                return ask()
            except TryAgain as error:
                self.failed(error)

    def _once(self, start: int, end: int | None, known: Version | None) -> Reply:
        with self._lock:
            self._address = address = self._address or self._remote.address()
        try:
            reply = self._http.open(address, start, end, known=known)
        except Expired as error:
            with self._lock:
                if self._address is address:
                    self._address = None
            raise TryAgain("the signed address has expired", wait_s=0.0) from error
        except DownloadFailed as error:
            raise type(error)(f"{self.name}: {error.message}", cause=error.cause, remedy=error.remedy) from error
        with self._lock:
            self._open.add(reply)
            if self.stopped.is_set():
                reply.interrupt()
        return reply
