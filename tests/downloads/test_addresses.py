"""Odd addresses and odd answers (D4, D6): both ways of a file ask for the same, and a token goes nowhere else."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest

from core.downloads.addresses import redirected
from core.downloads.http import Http
from core.downloads.many_gets import Get, ManyGets
from core.downloads.values import Address, Limits
from core.errors import DownloadFailed
from tests.downloads.server import Fault, FileServer, Served

LIMITS = Limits(silence_s=2.0, connect_s=2.0, tries=1)
TOKEN = {"Authorization": "Bearer hf_thisIsSecret"}
CONTENT = b"content" * 100


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=CONTENT).running() as server:
        yield server


def quickly(url: str, **headers: str) -> Get:
    """By libcurl."""
    get = Get(address=Address(url=url, headers=headers), most=1 << 16)
    gets = ManyGets(LIMITS, passes=lambda get, count: True)
    try:
        gets.begin(get)
        while not gets.ended(0.1):
            assert gets
    finally:
        gets.close()
    return get


def carefully(url: str, **headers: str) -> bytes:
    """By urllib3."""
    http = Http(LIMITS)
    try:
        reply = http.open(Address(url=url, headers=headers), 0, None, known=None)
        buffer = memoryview(bytearray(1 << 16))
        count = reply.read_into(buffer)
        reply.close()
        return bytes(buffer[:count])
    finally:
        http.close()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "?x=1",
        "/a b",
        "/a b?c=d e",
        "/\u00fc/\u4f60.bin?x=\u00fc",
        "/a%2Fb%2fc",
        "/a%zz",
        "/a/%2e%2e/b",
        "/a/../b/./c",
        "/a#fragment",
        "/[x]|y^`{z}",
        "/a\\b",
        "/~a'(b)*!$,;:@&=+%7E",
        "/a\tb",
    ],
)
def test_both_ways_ask_for_the_same(server: FileServer, path: str) -> None:
    quickly(server.base + path, **TOKEN)
    with pytest.raises(DownloadFailed):
        carefully(server.base + path, **TOKEN)
    quick, careful = server.requests
    assert quick.path == careful.path
    assert quick.headers == {name: value for name, value in careful.headers.items() if name != "Range"}


def test_a_name_and_a_password_in_an_address_are_told_to_nobody(server: FileServer) -> None:
    url = server.url("model.gguf").replace("://", "://anna:secret@")
    assert bytes(quickly(url).body) == carefully(url) == CONTENT
    assert [request.headers.get("Authorization") for request in server.requests] == [None, None]


@pytest.mark.parametrize("url", ["http://[::1/", "http://[bad]/", "http://h:99999/", "http:/h/a", "http:///a", "h\x00"])
def test_what_is_no_address_is_refused_by_both(url: str) -> None:
    with pytest.raises(ValueError):
        quickly(url)
    with pytest.raises(DownloadFailed, match="address"):
        carefully(url)


HERE = Address(url="https://here.example/a/b?signed=1", headers=TOKEN)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/c", "https://here.example/c"),
        ("c d", "https://here.example/a/c%20d"),
        ("https://HERE.example:443/c", "https://here.example:443/c"),
        ("https://anna:secret@here.example/c#x", "https://here.example/c"),
    ],
)
def test_a_redirect_within_a_host_keeps_the_token(location: str, leads_to: str) -> None:
    assert redirected(HERE, location) == Address(url=leads_to, headers=TOKEN)


@pytest.mark.parametrize(
    "location",
    [
        "https://there.example/c",
        "//there.example/c",
        "https://here.example:8443/c",
        "https://there.example\\@here.example/c",
        "https://there.example\\.here.example/c",
        "https://here.example@there.example/c",
        "https://there.example#@here.example/c",
        "https://here.example.there.example/c",
    ],
)
def test_a_redirect_to_another_host_takes_no_token_along(location: str) -> None:
    assert redirected(HERE, location).headers == {}


@pytest.mark.parametrize(
    "location",
    ["", "https://[bad/", "https://h:99999/", "https://h:x/", "mailto:anna", "http://here.example/", "ftp://h/x"],
)
def test_a_redirect_to_nowhere_or_to_what_is_not_safe_is_refused(location: str) -> None:
    with pytest.raises(DownloadFailed) as error:
        redirected(Address(url="https://anna:secret@here.example/a?signed=1"), location)
    assert "https://here.example/a redirects" in error.value.message
    assert "secret" not in f"{error.value}{error.value.cause}"
    assert "signed" not in f"{error.value}{error.value.cause}"


def test_a_redirect_in_letters_of_another_language(server: FileServer) -> None:
    """As bytes of UTF-8, which HTTP has no word for, but servers send."""
    server.files["here"] = Served(content=b"", redirect="/\u00fc".encode().decode("latin-1"))
    with pytest.raises(DownloadFailed):
        carefully(server.url("here"))
    assert quickly(server.url("here")).leads_to == server.url("%C3%BC")
    assert server.requests[1].path == "/%C3%BC"


@pytest.mark.parametrize("length", ["many", "-1", f"{len(CONTENT)}, {len(CONTENT)}", "\u00b2"])
def test_a_length_that_makes_no_sense_is_none(server: FileServer, length: str) -> None:
    odd = Fault(headers={"Content-Length": length, "Connection": "close"})
    server.files["model.gguf"] = Served(content=CONTENT, ranges=False, fault=lambda number, start: odd)
    assert carefully(server.url("model.gguf")) == CONTENT


def test_nothing_is_kept_of_what_came(server: FileServer) -> None:
    gets = ManyGets(LIMITS, passes=lambda get, count: True)
    get = Get(address=Address(url=server.url("model.gguf")), most=1 << 16)
    gets.begin(get)
    while not gets.ended(0.1):
        pass
    gone = weakref.ref(get)
    del get
    assert gone() is None
    gets.close()
