"""The way of small files: through the proxies and with the authorities that the usual environment names (D4)."""

from __future__ import annotations

import base64
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.downloads.many_gets import Get, ManyGets
from core.downloads.values import Address
from core.errors import DownloadFailed
from tests.downloads.many import CONTENTS, MANY, ODD, QUICK, TOKEN, assert_all_there, run_of, serving
from tests.downloads.proxy import Proxy
from tests.downloads.server import FileServer
from tests.providers.certificates import server_context


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


def test_by_a_proxy_with_its_password(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(password="Basic " + base64.b64encode(b"anna:p@ss").decode()).running() as proxy:
        monkeypatch.setenv("http_proxy", f"http://anna:p%40ss@{proxy.address}")
        run_of(server, tmp_path).run()
    assert_all_there(tmp_path)
    assert len(proxy.seen) >= MANY - 1


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_that_refuses_is_named(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with Proxy(password="Basic").running() as proxy:
        monkeypatch.setenv(variable, f"http://{proxy.address}")
        with pytest.raises(DownloadFailed) as error:
            run_of(server, tmp_path).run()
    assert "407" in error.value.cause
    assert server.requests == []


def test_what_is_no_proxy_is_said(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(DownloadFailed) as error:
        run_of(server, tmp_path).run()
    assert "http_proxy" in error.value.remedy
    assert server.requests == []


def test_past_the_proxy_where_no_proxy_says_so(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy().running() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        run_of(server, tmp_path).run()
    assert_all_there(tmp_path)
    assert proxy.seen == []


def test_an_authority_of_ones_own_and_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = server_context(tmp_path)
    folder = tmp_path / "models"
    with serving(tls=context) as server, Proxy().running() as proxy:
        with pytest.raises(DownloadFailed) as error:
            run_of(server, folder).run()
        assert "SSL_CERT_FILE" in error.value.remedy
        assert server.requests == [], "nothing is told to a host that nobody vouches for"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
        run_of(server, folder).run()
        assert_all_there(folder)
        assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    seen = b"".join(proxy.seen)
    assert seen.startswith(b"CONNECT 127.0.0.1:")
    assert TOKEN.encode() not in seen


def test_a_folder_of_authorities_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_DIR", str(_hashed(certificate, tmp_path / "authorities")))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with serving(tls=context) as server:
        run_of(server, tmp_path / "models").run()
        assert len(server.requests) == MANY
    assert_all_there(tmp_path / "models")


def test_authorities_of_the_system_count_beside_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it: SSL_CERT_FILE stands for the system's file, and not for its folder."""
    context, certificate = server_context(tmp_path)
    folder = _hashed(certificate, tmp_path / "authorities")
    paths = ssl.get_default_verify_paths()._replace(capath=str(folder))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(paths.cafile))
    with serving(tls=context) as server, closing(ManyGets(QUICK, passes=lambda get, count: True)) as gets:
        get = Get(address=Address(url=server.url(ODD)), most=1 << 16)
        gets.begin(get)
        while not gets.ended(0.1):
            pass
    assert get.body == CONTENTS[ODD]


def _hashed(certificate: Path, folder: Path) -> Path:
    """A folder as OpenSSL looks certificates up in."""
    folder.mkdir()
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash", "-in", str(certificate)],
        check=True,
        capture_output=True,
        text=True,
    )
    (folder / f"{told.stdout.strip()}.0").write_bytes(certificate.read_bytes())
    return folder


def test_a_token_that_no_header_can_hold_goes_nowhere(server: FileServer, tmp_path: Path) -> None:
    run = run_of(server, tmp_path)
    run._token = "hf_x\r\nX-Injected: 1"
    with pytest.raises((DownloadFailed, ValueError)):
        run.run()
    assert server.requests == []
