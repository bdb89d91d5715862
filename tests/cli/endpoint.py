"""An OpenAI-compatible endpoint that asks for a key, notes which one it got, and repeats it when it refuses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

MODEL = "tiny"


class Endpoint:
    """What it was sent, and the key that it accepts."""

    def __init__(self, accepts: str) -> None:
        self.accepts = accepts
        self.got: list[str] = []
        self.url = ""

    def answer(self, path: str, authorization: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        key = authorization.removeprefix("Bearer ")
        self.got.append(key)
        if key != self.accepts:
            said = {"message": f"Incorrect API key provided: {key}.", "code": "invalid_api_key"}
            return 401, "application/json", json.dumps({"error": said})
        if path.endswith("/models"):
            return 200, "application/json", json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        pieces: list[dict[str, object]] = [{"delta": {"role": "assistant", "content": "Hello."}, "index": 0}]
        pieces.append({"delta": {}, "index": 0, "finish_reason": "stop"})
        events = [f"data: {json.dumps({'id': 'x', 'choices': [piece]})}\n\n" for piece in pieces]
        return 200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"])


@contextmanager
def endpoint(accepts: str) -> Iterator[Endpoint]:
    """Serve until the context ends."""
    served = Endpoint(accepts)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, body = served.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer  # noqa: N815 - named so by the library

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
