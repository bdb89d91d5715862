"""A planted secret of a download is searched for in all that it leaves: registry, logs, files, arguments (P8, D11)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from core.downloads.sources.secret_query import secrets_in, split_secret
from core.downloads.tokens import Tokens
from tests.cli.test_keys import Run, _holding, _watched_arguments, inside  # noqa: F401 - a fixture
from tests.downloads.test_jobs import end_all, job, until

PLANTED = "zq-planted-8f14e45fceea167a"
CONTENT = b"GGUF" + bytes(100_000)


class Echo:
    """Serves one file, and repeats what it was sent when it refuses: `answers` tells how often it does not."""

    def __init__(self) -> None:
        self.url = ""
        self.answers = 0
        self.asked: list[str] = []

    def refusal(self, request: str) -> bytes | None:
        """The secret begins shortly before what is shown of it ends."""
        self.asked.append(request)
        self.answers -= 1
        return None if self.answers >= 0 else f"{'x' * (292 - request.find(PLANTED))}{request}".encode()


@contextmanager
def echo() -> Iterator[Echo]:
    told = Echo()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = told.refusal(f"{self.path} {self.headers.get('Authorization', '')}")
            body = CONTENT if refused is None else refused
            self.send_response(200 if refused is None else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - named so by the library

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/model.gguf"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


def test_a_signed_address_works_and_its_secret_is_kept_nowhere(short_folder: Path, inside: Run) -> None:  # noqa: F811
    """P8: `?sig=…` reaches the server alone; a refusal that repeats it is blanked out; later it is asked for again."""
    arguments: set[str] = set()
    with echo() as server, _watched_arguments(arguments):
        server.answers = 1  # the look, not the worker
        address = f"{server.url}?name=x&sig={PLANTED}"
        ended = inside("download", "start", address, "--json")
        assert (ended.code, "[secret]" in ended.error()["cause"]) == (1, True)
        assert PLANTED[:11] not in ended.out + ended.err
        (failed,) = inside("download", "list", "--json").json()["downloads"]
        assert failed["source"] == server.url
        end_all(short_folder)  # with the worker goes what it held in memory
        inside("download", "retry", failed["id"])
        until(lambda: "held a secret" in job(failed["id"])["error"], "it asks for the secret")
        server.answers = 99
        assert inside("download", "start", address, "--json").json()["state"] == "done"
    assert {request.partition(" ")[0] for request in server.asked} == {f"/model.gguf?name=x&sig={PLANTED}"}
    folder = short_folder / "data" / "modelyard" / "models"
    assert (folder / "custom" / "model.gguf").read_bytes() == CONTENT
    [model] = json.loads((folder / "installed-models.json").read_text())["models"]
    assert model["source"] == server.url
    assert _holding(PLANTED[:11], short_folder) == []
    assert any("core.downloads.worker" in words for words in arguments)
    assert [words for words in arguments if PLANTED in words and "core.downloads" in words] == []


def test_a_token_that_a_server_repeats_is_kept_nowhere(short_folder: Path, inside: Run) -> None:  # noqa: F811
    """P8, D11: not in the job's error, which the worker writes, and not in part."""
    with echo() as server:
        server.answers = 1
        words = ("download", "start", server.url, "--token-stdin", "--json")
        ended = inside(*words, stdin=f"{PLANTED}\n")
        assert (ended.code, PLANTED[:11] in ended.out + ended.err) == (1, False)
        assert "[secret]" in inside("download", "list", "--json").out
    assert server.asked[-1] == f"/model.gguf Bearer {PLANTED}"
    assert _holding(PLANTED[:11], short_folder) == []


@pytest.mark.parametrize(
    ("query", "secrets"),
    [
        ("download=true&name=model.gguf", []),
        ("token=abcdef123", ["abcdef123"]),
        ("X-Amz-Date=1&X-Amz-Signature=ab%2Fcd12&X-Amz-Security-Token=zz", ["ab%2Fcd12", "zz", "ab/cd12"]),
        ("sv=2024&se=2026&sig=q%3D", ["q%3D", "q="]),
        ("Policy=p&Signature=s&Key-Pair-Id=i", ["p", "s"]),
        ("x=hf_abcdefghijklmnopqrstuvwxyz", ["hf_abcdefghijklmnopqrstuvwxyz"]),
    ],
)
def test_what_is_secret_in_an_address(query: str, secrets: list[str]) -> None:
    assert secrets_in(f"?{query}") == secrets
    whole = f"https://h/x.gguf?{query}"
    assert split_secret(whole) == (("https://h/x.gguf", f"?{query}") if secrets else (whole, ""))


async def test_only_the_user_may_connect_to_the_workers_socket(tmp_path: Path) -> None:
    """P8: from its first moment, whatever the umask says."""
    before = os.umask(0)
    try:
        async with Tokens().taken_at(tmp_path / "socket"):
            assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
    finally:
        os.umask(before)
