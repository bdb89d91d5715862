"""A server that is not what is measured: nginx where it is installed, else several processes that send from the cache.

A folder below `resolve/COMMIT` is a repository as the Hub shows one, so that `hf download` fetches it as well.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "nginx" if shutil.which("nginx") else "os.sendfile"

_NGINX = """
worker_processes 2; daemon off; pid {work}/pid; error_log stderr crit; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/json;
  client_body_temp_path {work}/1; proxy_temp_path {work}/2; fastcgi_temp_path {work}/3;
  uwsgi_temp_path {work}/4; scgi_temp_path {work}/5;
  server {{ listen 127.0.0.1:{port} backlog=512; root {root}; add_header X-Repo-Commit {commit}; }}
}}
"""


@contextmanager
def serving(root: Path, work: Path) -> Iterator[str]:
    """The base address of a server for the files below `root`; `work` is a folder for its own."""
    port = _free_port()
    process = _nginx(root, work, port) if NAME == "nginx" else _python(root, port)
    try:
        _answers(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _nginx(root: Path, work: Path, port: int) -> subprocess.Popen[bytes]:
    user = "user root;" if os.geteuid() == 0 else ""
    told = _NGINX.format(work=work, root=root, port=port, commit=COMMIT, user=user)
    (work / "nginx.conf").write_text(told)
    command = ["nginx", "-p", str(work), "-c", str(work / "nginx.conf")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def _python(root: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.bench.file_server", str(root), str(port)]
    return subprocess.Popen(command, start_new_session=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
        else:
            return


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_port = True
    request_queue_size = 512

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def handle_error(self, *args: object) -> None:
        del args


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    root: Path

    def do_GET(self) -> None:
        path = self.root / self.path.partition("?")[0].strip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size, asked = path.stat().st_size, self.headers.get("Range", "").removeprefix("bytes=").split("-")
        at, end = (int(asked[0]), int(asked[1] or size - 1) + 1) if asked[0] else (0, size)
        self.send_response(206 if asked[0] else 200)
        headers = {"Content-Length": end - at, "ETag": f'"{size:x}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if asked[0]:
            headers["Content-Range"] = f"bytes {at}-{end - 1}/{size}"
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        with path.open("rb") as file:
            while at < end and self.command == "GET":
                at += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *args: object) -> None:
        del args


def main() -> None:
    """Serve with two processes that share the port."""
    _Handler.root = Path(sys.argv[1])
    server = _Server(("127.0.0.1", int(sys.argv[2])), _Handler)
    if os.fork() == 0:
        server.server_close()
        server = _Server(("127.0.0.1", int(sys.argv[2])), _Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
