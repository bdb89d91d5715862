"""The way to a file: through the proxies and with the authorities that the usual environment names (D4)."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from core.downloads.http import Http
from core.downloads.transfer import Transfer
from core.downloads.values import Fetched, Limits, RemoteFile
from core.errors import DownloadFailed, SourceLost
from tests.downloads.proxy import Proxy
from tests.downloads.server import FileServer
from tests.providers.certificates import server_context

CONTENT = random.Random(11).randbytes(200_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(first_wait_s=0.01, longest_wait_s=0.05, silence_s=2.0, connect_s=2.0, tries=2)
TOKEN = "Bearer hf_thisIsSecret"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=CONTENT).running() as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy().running() as proxy:
        yield proxy


def get(server: FileServer, folder: Path) -> Fetched:
    remote = RemoteFile.at(server.url("model.gguf"), sha256=SHA, Authorization=TOKEN)
    return Transfer(remote, folder / "model.gguf", limits=QUICK).run()


def _connections_to(server: FileServer) -> int:
    port = urlsplit(server.base).port
    there = psutil.Process().net_connections("tcp4")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status == "ESTABLISHED" for one in there)


def test_at_the_end_no_connection_is_left(server: FileServer, tmp_path: Path) -> None:
    http = Http(QUICK)
    remote = RemoteFile.at(server.url("model.gguf"), sha256=SHA)
    Transfer(remote, tmp_path / "model.gguf", limits=QUICK, http=http).run()
    assert _connections_to(server) == 1, "it is kept for the next file"
    http.close()
    assert _connections_to(server) == 0


@pytest.mark.parametrize("named", ["http://{}", "{}", "http://{}/"])
@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_by_the_proxy_however_it_is_named(
    server: FileServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, named: str
) -> None:
    monkeypatch.setenv(variable, named.format(proxy.address))
    assert get(server, tmp_path).sha256 == SHA
    assert proxy.seen[0].startswith(f"GET {server.url('model.gguf')} ".encode())
    assert server.requests[0].headers["Authorization"] == TOKEN


def test_past_the_proxy_where_no_proxy_says_so(
    server: FileServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(server, tmp_path).sha256 == SHA
    assert proxy.seen == []


def test_a_proxy_is_given_its_name_and_password(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "Basic " + base64.b64encode(b"anna:p@ss").decode()
    with Proxy(password=given).running() as proxy:
        monkeypatch.setenv("http_proxy", f"http://anna:p%40ss@{proxy.address}")
        assert get(server, tmp_path).sha256 == SHA


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_named_as_the_cause_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with Proxy(password="Basic").running() as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{proxy.address}")
        remote = RemoteFile.at(f"{scheme}://gpu.invalid/model.gguf", sha256=SHA)
        with pytest.raises(DownloadFailed) as error:
            Transfer(remote, tmp_path / "model.gguf", limits=QUICK).run()
    assert "proxy" in error.value.message
    assert "407" in error.value.cause
    assert "https_proxy" in error.value.remedy
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1", "http://", "http://[::1"])
def test_what_is_no_proxy_is_said(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(DownloadFailed) as error:
        get(server, tmp_path)
    assert "http_proxy" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_that_is_gone_is_tried_again_and_its_password_stays_secret(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://anna:verySecret@127.0.0.1:{port}")
    with pytest.raises(SourceLost) as error:
        get(server, tmp_path)
    assert "verySecret" not in f"{error.value.as_dict()}"


def test_an_authority_of_ones_own_is_refused_until_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = server_context(tmp_path)
    (tmp_path / "models").mkdir()
    with FileServer(model=CONTENT, tls=context).running() as server:
        with pytest.raises(DownloadFailed) as error:
            get(server, tmp_path / "models")
        assert "SSL_CERT_FILE" in error.value.remedy
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(server, tmp_path / "models").sha256 == SHA


def test_through_a_tunnel_the_proxy_sees_neither_file_nor_token(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
    with FileServer(model=CONTENT, tls=context).running() as server:
        assert get(server, tmp_path).sha256 == SHA
        assert server.requests[0].headers["Authorization"] == TOKEN
    seen = b"".join(proxy.seen)
    assert seen.startswith(b"CONNECT 127.0.0.1:")
    assert b"hf_thisIsSecret" not in seen
    assert b"model.gguf" not in seen
