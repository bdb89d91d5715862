"""A forward proxy as companies have one: plain requests by their whole address, TLS through a tunnel."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"


class Proxy:
    """Lets everybody through, or with `password` (as a header has it) those who give it; notes what it was shown."""

    def __init__(self, *, password: str = "") -> None:
        self.seen: list[bytes] = []
        self._password = password.encode()
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                owner._serve(self.request)

        self._server = _Server(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._server.server_address[:2])

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        head = _head(client)
        if not head:
            return
        self.seen.append(head)
        if self._password not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = head.split(b" ", 2)
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            with socket.create_connection((host, int(port)), 5) as there:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                self._pass_on(client, there)
        else:
            url = urlsplit(target.decode())
            with socket.create_connection((url.hostname or "", url.port or 80), 5) as there:
                path = f"{url.path}?{url.query}" if url.query else url.path
                alone = head.replace(
                    _HEAD_END, b"\r\nConnection: close" + _HEAD_END
                )  # the next may be for another host
                there.sendall(alone.replace(target, path.encode(), 1))
                self._pass_on(client, there)

    def _pass_on(self, client: socket.socket, there: socket.socket) -> None:
        """Both ways until one ends; what it can read is noted."""
        other = {client: there, there: client}
        while True:
            for one in select.select([client, there], [], [])[0]:
                piece = one.recv(1 << 16)
                if not piece:
                    return
                if one is client:
                    self.seen.append(piece)
                other[one].sendall(piece)


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True


def _head(client: socket.socket) -> bytes:
    head = b""
    while not head.endswith(_HEAD_END):
        piece = client.recv(1)
        if not piece:
            return b""
        head += piece
    return head
