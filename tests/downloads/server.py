"""An HTTP server with files and, on demand, everything that goes wrong with one."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(kw_only=True)
class Fault:
    """What one answer does instead: each field is a fault of its own."""

    status: int = 0  # answered without a body
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the line is closed
    flip: int | None = None  # this byte of the file is another one
    stall_s: float = 0.0  # before the first byte


@dataclass(kw_only=True)
class Served:
    """One file as the server has it now; `fault` may answer a request (its number, the first byte) with a fault."""

    content: bytes
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    length: bool = True
    redirect: str = ""
    slow_s: float = 0.0  # after each `piece`
    piece: int = 1 << 16  # bytes sent at once
    fault: Callable[[int, int], Fault | None] = lambda number, start: None


@dataclass(frozen=True)
class Request:
    """One that came."""

    path: str
    headers: dict[str, str]


class FileServer:
    """Serves `files` by name at an address of this machine; notes `requests` and the bytes of bodies that it sent.

    With `model`, that is the content of `model.gguf`.
    """

    def __init__(
        self, address: str = "127.0.0.1", *, model: bytes | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.files: dict[str, Served] = {} if model is None else {"model.gguf": Served(content=model)}
        self.requests: list[Request] = []
        self.sent = 0
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # as real servers do: a kept line would wait 40 ms for each body

            def do_GET(self) -> None:
                owner.answer(self)

            def do_HEAD(self) -> None:
                owner.answer(self)

            def log_message(self, *args: Any) -> None:
                del args

        self._server = _QuietServer((address, 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @property
    def base(self) -> str:
        address, port = self._server.server_address[:2]
        return f"{self._scheme}://{address!s}:{port}"

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.partition("?")[0].strip("/")
        with self._lock:
            self.requests.append(Request(handler.path, dict(handler.headers.items())))
            number = self._counts[name] = self._counts.get(name, 0) + 1
        served = self.files.get(name)
        if served is None:
            _empty(handler, 404, {})
        elif served.redirect:
            _empty(handler, 302, {"Location": served.redirect})
        else:
            self._give(handler, served, number)

    def _give(self, handler: BaseHTTPRequestHandler, served: Served, number: int) -> None:
        asked = _RANGE.fullmatch(handler.headers.get("Range", ""))
        fault = served.fault(number, int(asked[1]) if asked else 0) or Fault()
        condition = handler.headers.get("If-Range", "")
        whole = not served.ranges or asked is None or (condition and condition not in {served.etag, served.modified})
        size = len(served.content)
        start = 0 if whole or asked is None else int(asked[1])
        end = size if whole or asked is None or not asked[2] else min(size, int(asked[2]) + 1)
        time.sleep(fault.stall_s)
        if fault.status:
            _empty(handler, fault.status, fault.headers)
        elif asked and not whole and start >= size:
            _empty(handler, 416, {"Content-Range": f"bytes */{size}"})
        else:
            self._head(handler, served, None if whole else (start, end), size, fault)
            if handler.command == "GET":
                self._body(handler, served, start, end, fault)

    def _head(
        self,
        handler: BaseHTTPRequestHandler,
        served: Served,
        part: tuple[int, int] | None,
        size: int,
        fault: Fault,
    ) -> None:
        handler.send_response(200 if part is None else 206)
        headers = {"ETag": served.etag, "Last-Modified": served.modified}
        if part is not None:
            headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
        if served.length:
            headers["Content-Length"] = str(part[1] - part[0] if part else size)
        else:
            handler.close_connection = True
        for key, value in {**headers, **fault.headers}.items():
            if value:
                handler.send_header(key, value)
        handler.end_headers()

    def _body(self, handler: BaseHTTPRequestHandler, served: Served, start: int, end: int, fault: Fault) -> None:
        content = bytearray(served.content[start:end])
        if fault.flip is not None and start <= fault.flip < end:
            content[fault.flip - start] ^= 0xFF
        if fault.cut_after is not None and fault.cut_after < len(content):
            content = content[: fault.cut_after]
            handler.close_connection = True
        for at in range(0, len(content), served.piece):
            piece = bytes(content[at : at + served.piece])
            try:
                handler.wfile.write(piece)
            except OSError:
                handler.close_connection = True
                return
            with self._lock:
                self.sent += len(piece)
            if served.slow_s:
                time.sleep(served.slow_s)


class _QuietServer(ThreadingHTTPServer):
    request_queue_size = 128  # as real servers have it: of more than that at once, some would come a second later

    def handle_error(self, *args: Any) -> None:
        """A client that hangs up is no news."""


def _empty(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for key, value in {**headers, "Content-Length": "0"}.items():
        handler.send_header(key, value)
    handler.end_headers()
