"""Every way in which an endpoint can't be reached is told apart, with a remedy; the key goes nowhere else."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from core.providers import network
from core.providers.errors import Fault, ProviderError
from core.providers.lines import lines
from core.providers.places import wire_of
from tests.providers.asking import ask, caller
from tests.providers.certificates import server_context
from tests.providers.server import KEY, FakeProvider, listening


async def _fault(url: str, provider: str = "vllm", **more: Any) -> ProviderError:
    async with caller(url, provider, **more) as one:
        with pytest.raises(ProviderError) as error:
            await one.models()
    assert error.value.remedy
    assert KEY not in f"{error.value.as_dict()}"
    return error.value


# TLS


async def test_a_certificate_of_ones_own_is_refused_until_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = server_context(tmp_path)
    with FakeProvider(tls=context) as server:
        error = await _fault(server.url)
        assert error.fault is Fault.TLS
        assert "signed itself" in error.cause
        assert "SSL_CERT_FILE" in error.remedy
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await ask(server, "vllm")).text == "Hello, wörld"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"expired": True}, "has expired"), ({"name": "elsewhere.example"}, "not for this address")],
    ids=["expired", "another name"],
)
async def test_what_is_wrong_with_a_certificate_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], said: str
) -> None:
    context, certificate = server_context(tmp_path, **wrong)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with FakeProvider(tls=context) as server:
        error = await _fault(server.url)
        assert error.fault is Fault.TLS
        assert said in error.cause
        assert server.asked == []


async def test_tls_where_there_is_none_and_none_where_there_is(tmp_path: Path) -> None:
    with FakeProvider() as server:
        error = await _fault(server.url.replace("http:", "https:"))
        assert error.fault is Fault.TLS
        assert "http://" in error.remedy
    context, _ = server_context(tmp_path)
    with FakeProvider(tls=context) as server:
        error = await _fault(server.url.replace("https:", "http:"))
        assert error.fault in {Fault.NOT_AN_API, Fault.BROKEN_OFF}


# Addresses


async def test_a_name_that_does_not_exist() -> None:
    assert (await _fault("http://no-such-host.invalid:8000")).fault is Fault.NAME


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    error = await _fault(f"http://127.0.0.1:{port}")
    assert error.fault is Fault.REFUSED
    assert f"127.0.0.1:{port}" in error.message


async def test_a_proxy_that_is_not_there_is_the_proxys_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:secret@127.0.0.1:{port}")
        error = await _fault(f"{scheme}://gpu.invalid")
        assert error.fault is Fault.PROXY
        assert f"127.0.0.1:{port}" in error.cause
        assert "secret" not in f"{error.as_dict()}"
    monkeypatch.setenv("no_proxy", "gpu.invalid")
    assert (await _fault("http://gpu.invalid")).fault is Fault.NAME


async def test_what_goes_to_this_machine_goes_past_the_proxy(
    server: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await ask(server, "vllm")).text == "Hello, wörld"


async def test_a_proxy_that_refuses_to_go_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(_says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert (await _fault("https://gpu.invalid")).fault is Fault.PROXY


@pytest.mark.parametrize("url", ["gpu:8000", "ftp://gpu/v1", "http://", "http://[::1", "http://gpu:99999", "/v1"])
def test_what_is_no_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ProviderError) as error:
        network.check_address(url)
    assert error.value.fault is Fault.BAD_ADDRESS


async def test_connecting_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CONNECT_TIMEOUT_S", 0.2)
    with socket.socket() as full:  # a queue of connections that nobody takes
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        error = await _fault(f"http://127.0.0.1:{address[1]}", silence_s=2)
        for one in waiting:
            one.close()
    assert error.fault is Fault.TIMEOUT


# Hostile answers


def _says(content: bytes) -> Any:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(content)

    return handle


def _http(body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Fault.NOT_AN_API),
        (b"", Fault.BROKEN_OFF),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{", Fault.BROKEN_OFF),
        (_http(b"<html>Welcome</html>", "text/html"), Fault.NOT_AN_API),
        (_http(b"\x1b]0;owned\x07not json"), Fault.NOT_AN_API),
        (_http(b"[" * 200_000), Fault.NOT_AN_API),
        (_http(b'{"data": ' + b"9" * 5000 + b"}"), Fault.NOT_AN_API),
        (_http(b"\xff\xfe\x00"), Fault.NOT_AN_API),
        (_http(b"x", more="Content-Encoding: gzip\r\n"), Fault.NOT_AN_API),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", Fault.REDIRECTED),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>", Fault.NOT_FOUND),
    ],
)
async def test_what_is_no_list_is_told_apart(answer: bytes, fault: Fault) -> None:
    with listening(_says(answer)) as url:
        error = await _fault(url)
    assert error.fault is fault
    assert "\x1b" not in error.cause


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'{"data": {"a": 1}}', b'{"data": [1, null, {"id": 7}]}'])
@pytest.mark.parametrize("provider", ["vllm", "anthropic", "google", "ollama"])
async def test_a_list_of_another_shape_is_an_empty_list(body: bytes, provider: str) -> None:
    with listening(_says(_http(body))) as url:
        async with caller(url, provider) as one:
            assert await one.models() == ()


_SSE = "text/event-stream"


@pytest.mark.parametrize(
    ("body", "kind", "fault"),
    [
        (b"data: {broken\n\n", _SSE, Fault.NOT_AN_API),
        (b": ping\n\n: ping\n\n", _SSE, Fault.NOT_AN_API),
        (b"data: null\n\ndata: 3\n\ndata: []\n\n", _SSE, Fault.NOT_AN_API),
        (b'data: {"choices": [null, 7, {"delta": "x"}]}\n\ndata: {"choices": 5}\n\n', _SSE, Fault.NOT_AN_API),
        (b'{"choices": []}', "application/json", Fault.NOT_AN_API),
        (b"<html>", "text/html", Fault.NOT_AN_API),
        (b'data: {"error": "oh"}\n\n', _SSE, Fault.SERVER_ERROR),
        (b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n', _SSE, Fault.BROKEN_OFF),
    ],
)
async def test_what_is_no_answer_is_told_apart(body: bytes, kind: str, fault: Fault) -> None:
    with listening(_says(_http(body, kind))) as url, pytest.raises(ProviderError) as error:
        await ask(url, "vllm")
    assert error.value.fault is fault


def _floods(piece: bytes, kind: str) -> Any:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n"
        try:
            connection.sendall(head.encode())
            while True:
                connection.sendall(piece)
        except OSError:
            return

    return handle


@pytest.mark.parametrize("provider", ["vllm", "anthropic", "google", "ollama"])
@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: x\n" * 5000], ids=["one line", "one event"])
async def test_an_endless_answer_ends_within_bounds(provider: str, piece: bytes) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        with listening(_floods(piece, _SSE)) as url, pytest.raises(ProviderError) as error:
            await ask(url, provider)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.value.fault in {Fault.TOO_LARGE, Fault.NOT_AN_API}
    assert most < 64 * 1024**2


async def test_an_endless_list_ends_within_bounds() -> None:
    with listening(_floods(b'{"id": "x"},' * 5000, "application/json")) as url:
        assert (await _fault(url)).fault is Fault.TOO_LARGE


async def test_signs_of_life_without_a_word_are_silence() -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {_SSE}\r\n\r\n".encode())
        try:
            for _ in range(100):
                connection.sendall(b": still here\n\n")
                time.sleep(0.05)
        except OSError:
            return

    began = time.monotonic()
    with listening(handle) as url, pytest.raises(ProviderError) as error:
        await ask(url, "vllm", silence_s=0.3)
    assert error.value.fault is Fault.SILENT
    assert time.monotonic() - began < 3


async def test_an_answer_that_never_begins_is_silence() -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.recv(1)  # until the client leaves

    with listening(handle) as url:
        assert (await _fault(url, silence_s=0.3)).fault is Fault.SILENT


async def test_events_are_the_same_however_they_are_cut() -> None:
    content = "data: a\r\n\r\nötwo\n\nlast".encode()
    for size in (1, 2, 3, 7, 100):

        async def pieces(size: int = size) -> Any:
            for start in range(0, len(content), size):
                yield content[start : start + size]

        assert [line async for line in lines(pieces())] == ["data: a", "", "ötwo", "", "last"]


# Base addresses


@pytest.mark.parametrize(
    ("provider", "endpoint", "base"),
    [
        ("vllm", "http://gpu:8000", "http://gpu:8000/v1"),
        ("vllm", "http://gpu:8000/", "http://gpu:8000/v1"),
        ("vllm", "http://gpu:8000/v1/", "http://gpu:8000/v1"),
        ("vllm", "http://gpu:8000/v1/chat/completions", "http://gpu:8000/v1"),
        ("local", "https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("local", "https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("local", "https://api.perplexity.ai/chat/completions", "https://api.perplexity.ai"),
        ("openai", "https://api.openai.com/v1/models", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com"),
        ("anthropic", "https://proxy/anthropic", "https://proxy/anthropic"),
        ("google", "https://generativelanguage.googleapis.com/v1beta", "https://generativelanguage.googleapis.com"),
        ("ollama", "http://gpu:11434/v1", "http://gpu:11434"),
        ("ollama", "http://gpu:11434/api/chat", "http://gpu:11434"),
    ],
)
def test_an_endpoint_can_be_written_in_many_ways(provider: str, endpoint: str, base: str) -> None:
    assert wire_of(provider).base(endpoint) == base
