"""Whether a port of this machine is free, asked before a server is started on it."""

from __future__ import annotations

import errno
import socket

from core.errors import EngineRefused, PortTaken

_CAUSES = {
    errno.EADDRINUSE: (
        "port already in use: another program on this machine listens on it",
        "Stop the other program, or choose another port.",
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no network interface with this address",
        "Bind to 127.0.0.1 or to an address of this machine.",
    ),
    errno.EACCES: ("ports below 1024 need more rights", "Choose a port above 1023."),
}


def check_port(bind: str, port: int, *, server: str) -> None:
    """Nothing when a server can listen there; port 0 always is free.

    Raises:
        EngineRefused: it can't, with the reason as its cause.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bind, port))
    except OSError as error:
        raise refused(error, bind, port, server=server) from error


def refused(error: OSError, bind: str, port: int, *, server: str) -> EngineRefused:
    """Why a server can't listen there."""
    cause, remedy = _CAUSES.get(error.errno or 0, (str(error), "Choose another address or port."))
    kind = PortTaken if error.errno == errno.EADDRINUSE else EngineRefused
    return kind(f"Could not start {server} on {bind}:{port}: {cause}", cause=cause, remedy=remedy)
