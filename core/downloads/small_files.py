"""The small files of a download: those that come at once, whole and right, many side by side in one thread.

All else is left to the careful way, which knows what to do about it: a server that refuses or is busy, a line that
breaks, a signed address that expired, other bytes than were announced.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from typing import TYPE_CHECKING

from core.downloads.addresses import MOST_REDIRECTS, REDIRECTS, redirected
from core.downloads.many_gets import Get, ManyGets
from core.downloads.values import Cancelled
from core.errors import DownloadFailed

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.sources.base import SourceFile
    from core.downloads.values import Address, Limits

_AT_ONCE, _AT_ONCE_BYTES = 16, 16 << 20  # that are under way, so that little memory is taken
_AHEAD_S = 0.5  # below a limit: so much of it may be under way, as the kernel holds what waits for its turn
_CAREFUL = 4  # files left to the careful way before it is seen how they fare: a server that is gone is asked no more
_PAGE = 64 << 10  # bytes that a redirect or a refusal may come with
_LOOK_S = 0.1


class Coming:
    """One file under way, or waiting for its name."""

    def __init__(self, file: SourceFile, stopped: threading.Event) -> None:
        self.file = file
        self.received = 0  # bytes
        self.redirects = 0
        self.is_left = False  # to the careful way, which begins anew
        self._stopped = stopped

    @property
    def done(self) -> int:
        """Bytes that are there."""
        return 0 if self.is_left else min(self.received, self.file.size or 0)

    def cancel(self) -> None:
        """This and all others stop soon."""
        self._stopped.set()


class SmallFiles:
    """`run` blocks. `begin` is told of each file and gives its address; `keep` of each body, and may find it wrong.

    `carefully` begins on one that is left to it.
    """

    def __init__(
        self,
        files: Iterable[SourceFile],
        *,
        begin: Callable[[Coming], Address],
        keep: Callable[[SourceFile, bytearray], bool],
        carefully: Callable[[SourceFile], Future[None]],
        limits: Limits,
        bandwidth: Bandwidth | None,
    ) -> None:
        self._todo = deque(files)
        self._begin = begin
        self._keep = keep
        self._carefully = carefully
        self._limits = limits
        self._bandwidth = bandwidth
        self._stopped = threading.Event()
        self._coming: dict[Get, Coming] = {}
        self._left: set[Future[None]] = set()

    def run(self) -> None:
        """Until all are there, or the first has failed.

        Raises:
            DownloadFailed, FileProblem: what the careful way or `keep` found. Cancelled.
        """
        if not self._todo:
            return
        with closing(ManyGets(self._limits, passes=self._passes)) as gets:
            while self._todo or gets or self._left:
                self._look_after_those_left(0 if gets else _LOOK_S)
                while self._has_room(gets):
                    file = self._todo.popleft()
                    coming = Coming(file, self._stopped)
                    self._ask(gets, coming, self._begin(coming))
                for get in gets.ended(_LOOK_S):
                    self._take(gets, get)
                if self._stopped.is_set():
                    raise Cancelled

    def _has_room(self, gets: ManyGets) -> bool:
        if not self._todo or len(self._left) >= _CAREFUL:
            return False
        size = sum(file.size or 0 for file in (self._todo[0], *(coming.file for coming in self._coming.values())))
        limit = self._bandwidth.bytes_per_s if self._bandwidth else 0
        most = min(_AT_ONCE_BYTES, limit * _AHEAD_S) if limit else _AT_ONCE_BYTES
        return not gets or (size <= most and len(gets) < _AT_ONCE)

    def _look_after_those_left(self, longest_s: float) -> None:
        if self._left:
            done, self._left = wait(self._left, longest_s, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()

    def _ask(self, gets: ManyGets, coming: Coming, address: Address) -> None:
        piece = self._bandwidth.piece if self._bandwidth else _AT_ONCE_BYTES
        get = Get(address=address, most=max(_PAGE, coming.file.size or 0), piece=piece)
        try:
            gets.begin(get)
        except (DownloadFailed, ValueError):
            self._leave(coming)
        else:
            self._coming[get] = coming

    def _take(self, gets: ManyGets, get: Get) -> None:
        coming = self._coming.pop(get)
        if get.status == 200 and len(get.body) == coming.file.size and self._keep(coming.file, get.body):
            return
        if get.status in REDIRECTS and get.leads_to and coming.redirects < MOST_REDIRECTS:
            self._follow(gets, get, coming)
        else:
            self._leave(coming)

    def _follow(self, gets: ManyGets, get: Get, coming: Coming) -> None:
        coming.redirects += 1
        coming.received = 0
        try:
            address = redirected(get.address, get.leads_to)
        except DownloadFailed:
            self._leave(coming)
        else:
            self._ask(gets, coming, address)

    def _leave(self, coming: Coming) -> None:
        coming.is_left = True
        if not self._stopped.is_set():
            self._left.add(self._carefully(coming.file))

    def _passes(self, get: Get, count: int) -> bool:
        if self._bandwidth is not None:
            self._bandwidth.take(count, self._stopped)
        self._coming[get].received += count
        return not self._stopped.is_set()
