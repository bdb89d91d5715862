"""An HTTP server that speaks the wire formats of the providers; the official clients keep it honest."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.providers import formats

KEY = "sk-planted-4f1c6b1e"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # names in lower case
    body: Any


@dataclass
class Script:
    """What the server says; a test sets it before it asks."""

    key: str = KEY  # "" lets everyone in
    models: list[str] = field(default_factory=lambda: ["tiny-1", "tiny-2"])
    aliases: list[str] = field(default_factory=list)  # found one by one, not in the list
    answer: list[str] = field(default_factory=lambda: ["Hello", ", ", "wörld"])
    reasoning: list[str] = field(default_factory=list)
    tool: tuple[str, dict[str, Any]] | None = None
    finish: str = "stop"  # or "length"
    hold: str = ""  # after the event with this word, wait for `go_on`
    stop_after: int | None = None  # pieces; then the connection breaks
    error_after: int | None = None  # pieces; then an error in the stream
    fail: tuple[int, Any, dict[str, str]] | None = None  # status, body, headers of every answer
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None  # anything at all


class FakeProvider:
    """Use as `with FakeProvider() as server`; `url` is where it is."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = Script()
        self.asked: list[Asked] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https" if tls else "http"
        self.hung_up = threading.Event()  # a client left in the middle of an answer
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def __enter__(self) -> FakeProvider:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FakeProvider
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self._serve(json.loads(self.rfile.read(length) or b"null"))

    def _serve(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.asked.append(Asked(method=self.command, path=self.path, headers=headers, body=body))
        script = self.owner.script
        try:
            if script.raw is not None:
                self.close_connection = True
                script.raw(self)
            elif script.fail is not None:
                self.reply(*script.fail)
            else:
                self._answer(formats.of(self.path, headers), body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.owner.hung_up.set()
            self.close_connection = True

    def _answer(self, wire: formats.Format | None, body: Any) -> None:
        script, path = self.owner.script, unquote(urlsplit(self.path).path)
        if wire is None:
            return self.reply(404, "<html>Not here</html>", {"Content-Type": "text/html"})
        if script.key and wire.key(self.headers) != script.key:
            return self.reply(*wire.wrong_key())
        if self.command == "GET":
            return self._list(wire, path)
        model = wire.model(path, body)
        if not wire.is_question(body, self.headers):
            return self.reply(*wire.bad_request())
        if model not in [*script.models, *script.aliases]:
            return self.reply(*wire.unknown(model))
        if wire.streams(path, body):
            return self._stream(wire, model)
        return self.reply(200, wire.whole(model, script), {})

    def _list(self, wire: formats.Format, path: str) -> None:
        script = self.owner.script
        one = wire.one(path)
        if not one:
            return self.reply(200, wire.listed(script.models), {})
        if one in [*script.models, *script.aliases]:
            return self.reply(200, wire.entry(one), {})
        return self.reply(*wire.unknown(one))

    def _stream(self, wire: formats.Format, model: str) -> None:
        script = self.owner.script
        self.send_response(200)
        self.send_header("Content-Type", wire.stream_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(wire.events(model, script)):
            if script.stop_after is not None and number > script.stop_after:
                self.close_connection = True
                return
            if script.error_after is not None and number > script.error_after:
                self.chunk(wire.streamed_error())
                break
            self.chunk(event)
            if script.hold and script.hold.encode() in event:
                self.owner.go_on.wait(30)
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        """A piece of a chunked answer; the empty one is the last."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def reply(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:  # told, or the client would ask on it again and find it broken off
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def listening(handle: Callable[[Any], None]) -> Iterator[str]:
    """A plain socket that does anything: for what no HTTP server does."""
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                handle(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        ended.set()
        server.close()
        thread.join(2)


def wait_until(true: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Poll until it is true; fail at the deadline."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.01)
