"""Where the bytes of a part go: to the disk, as fast as the limit on bandwidth lets them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from core.downloads.partial import FULL, SMALL, Partial, no_room
from core.files.uncached import BLOCK, UncachedFile

if TYPE_CHECKING:
    import threading

    from core.downloads.bandwidth import Bandwidth

_LEAST, _MOST = 64 << 10, 1 << 30  # bytes
_WRITE = 32 << 10  # bytes; for more at once the kernel looks for large pages, which took up to ten times as long


class Sink:
    """An open part of `size` bytes; threads share it."""

    def __init__(
        self, partial: Partial, size: int, *, stopped: threading.Event, bandwidth: Bandwidth | None = None
    ) -> None:
        self._partial = partial
        self._size = size
        self._stopped = stopped
        self._bandwidth = bandwidth
        self.descriptor = partial.open(size)
        self._uncached = UncachedFile(partial.path) if size > SMALL else None

    @property
    def most(self) -> int:
        """Bytes to bring at once, in whole blocks: below a limit so few that progress is seen."""
        if self._bandwidth is None or not self._bandwidth.bytes_per_s:
            return _MOST
        return max(_LEAST, self._bandwidth.piece // BLOCK * BLOCK)

    def write(self, piece: memoryview, at: int) -> None:
        """All of a piece.

        Raises:
            DiskFull: there is no room for it.
        """
        if self._bandwidth is not None:
            self._bandwidth.take(len(piece), self._stopped)
        try:
            while piece:
                written = self._uncached.write(piece, at) if self._uncached is not None else 0
                written = written or os.pwrite(self.descriptor, piece[:_WRITE], at)
                piece, at = piece[written:], at + written
        except OSError as error:
            if error.errno in FULL:
                raise no_room(self._partial.target, self._size) from error
            raise

    def close(self) -> None:
        """The descriptor is gone."""
        if self._uncached is not None:
            self._uncached.close()
        os.close(self.descriptor)
