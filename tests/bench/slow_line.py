"""A line to a host that can be made longer while it is used: OpenSSH's ProxyCommand.

Used as `python -m tests.bench.slow_line HOST PORT FILE`; FILE holds the milliseconds that each direction takes.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PIECE = 1 << 16


def main() -> None:
    """Relay standard input and output until one side ends."""
    host, port, delay = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there = threading.Thread(
            target=_relay, args=(lambda: os.read(0, _PIECE), connection.sendall, delay), daemon=True
        )
        there.start()
        _relay(lambda: connection.recv(_PIECE), _write_all, delay)


def _relay(read: Callable[[], bytes], write: Callable[[bytes], object], delay: Path) -> None:
    """Pass on each piece, in order, once it is as old as the line is long."""
    pieces: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def take() -> None:
        while data := read():
            pieces.put((time.monotonic() + float(delay.read_text()) / 1000, data))
        pieces.put((0.0, b""))

    threading.Thread(target=take, daemon=True).start()
    while (piece := pieces.get())[1]:
        time.sleep(max(0.0, piece[0] - time.monotonic()))
        write(piece[1])


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
