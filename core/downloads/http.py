"""One range of one file over HTTP: redirects without the token, a file that changed is noticed, errors have kinds.

urllib3 in threads: with large reads it moves twice what an asynchronous client does for the same processor time.
"""

from __future__ import annotations

import fcntl
import re
import sys
import termios
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from string import punctuation
from typing import TYPE_CHECKING
from urllib.parse import quote

from core.downloads.addresses import ASKED, MOST_REDIRECTS, REDIRECTS, asked_for, proxy_way, redirected, shown
from core.errors import DownloadDenied, DownloadFailed, SourceGone
from core.proxy import proxy_for
from core.text import clean_line, said_line

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, ProxyManager
    from urllib3.util import Url

    from core.downloads.values import Address, Limits

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_EXPIRED = {401, 403, 410}
_PROXY_ASKS = 407
_LONG = 20  # digits
_NO_TUNNEL = re.compile(r"Tunnel connection failed: (4\d\d)")


class TryAgain(Exception):
    """It may work in a while; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Expired(Exception):
    """A redirect's signed address is not valid any more: ask for a new one."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """Which content a server has: whole size in bytes, a strong ETag or a date that If-Range takes ("" without)."""

    size: int
    tag: str

    def matches(self, other: Version) -> bool:
        """Whether both may be one content, as far as they are told."""
        same_size = self.size == other.size or min(self.size, other.size) < 0
        return same_size and (self.tag == other.tag or not self.tag or not other.tag)


@dataclass(kw_only=True, eq=False)
class Reply:
    """An open answer from byte `start` on; `ranges` tells whether the server can give parts.

    `left` counts the bytes that are still to come of it, None when the server does not tell.
    """

    response: BaseHTTPResponse
    start: int
    version: Version
    ranges: bool
    left: int | None = None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the answer goes: fewer bytes are its end, or the line's.

        Raises:
            TryAgain: the line broke.
        """
        from http.client import HTTPException

        from urllib3.exceptions import HTTPError

        try:
            count = self._read_into(buffer)
        except (HTTPException, HTTPError, OSError, ValueError) as error:
            raise TryAgain(clean_line(str(error)) or type(error).__name__) from error
        if self.left is not None:
            self.left -= count
        return count

    def _read_into(self, buffer: memoryview) -> int:
        """Without a copy where urllib3 lets us reach the answer below; that halves the time."""
        from http.client import HTTPResponse

        below = getattr(self.response, "_fp", None)
        if isinstance(below, HTTPResponse):
            return below.readinto(buffer)
        piece = self.response.read(len(buffer), decode_content=False)
        buffer[: len(piece)] = piece
        return len(piece)

    def is_ahead(self, count: int) -> bool:
        """Whether so many bytes have arrived and wait to be read: the line is faster than we are."""
        told = bytearray(4)
        try:
            fcntl.ioctl(self.response.fileno(), termios.FIONREAD, told)
        except (OSError, ValueError):
            return False
        return int.from_bytes(told, sys.byteorder) >= count

    def close(self) -> None:
        """Keep the connection if nothing of the answer is left in it."""
        if self.left == 0:
            self.response.release_conn()
        else:
            self.response.close()

    def interrupt(self) -> None:
        """End a read that waits in another thread."""
        self.response.shutdown()


class Http:
    """Connections to all hosts of one download; threads share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pools: dict[tuple[str, bool], PoolManager | ProxyManager] = {}
        self._chosen: dict[tuple[str | None, str | None], HTTPConnectionPool | ProxyManager] = {}  # by origin
        self._choosing = threading.Lock()
        self.trouble = ""  # why nothing comes now, as far as that may mend itself

    def open(self, address: Address, start: int, end: int | None, *, known: Version | None) -> Reply:
        """Ask for [start, end); with `known`, a file that is another one by now is answered from its beginning.

        Raises:
            TryAgain: later. Expired: with a new address. DownloadFailed: not like this.
        """
        try:
            reply = self._open(address, start, end, known)
        except TryAgain as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return reply

    def _open(self, address: Address, start: int, end: int | None, known: Version | None) -> Reply:
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}", **ASKED}
        if known and known.tag:
            wanted["If-Range"] = known.tag
        response, was_redirected = self._follow(address, wanted)
        try:
            return _reply(response, start, known)
        except BaseException as error:
            response.close()
            if was_redirected and response.status in _EXPIRED:
                raise Expired from error
            raise

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()
        self._chosen.clear()  # urllib3 closes the connections of an origin when nobody has it any more

    def _follow(self, address: Address, wanted: dict[str, str]) -> tuple[BaseHTTPResponse, bool]:
        from urllib3.exceptions import HTTPError

        first = address
        for hop in range(MOST_REDIRECTS):
            try:
                response = self._ask(asked_for(address.url), {**wanted, **address.headers})
            except HTTPError as error:
                raise _network(error) from error
            if response.status not in REDIRECTS:
                return response, hop > 0
            response.drain_conn()
            response.release_conn()
            where = quote(response.headers.get("Location", ""), safe=punctuation, encoding="latin-1")
            address = redirected(address, where)
        raise DownloadFailed(f"{shown(first.url)} redirects in a circle.", remedy="Check the address.")

    def _ask(self, url: Url, headers: dict[str, str]) -> BaseHTTPResponse:
        from urllib3 import ProxyManager

        way = self._chosen.get((url.scheme, url.netloc)) or self._way(url)
        target = url.url if isinstance(way, ProxyManager) else url.request_uri
        return way.urlopen(
            "GET", target, headers=headers, preload_content=False, redirect=False, retries=False, assert_same_host=False
        )

    def _way(self, url: Url) -> HTTPConnectionPool | ProxyManager:
        """By the proxy that the environment names for the address, else straight to its host."""
        from urllib3 import ProxyManager

        with self._choosing:
            kind = (proxy_for(url.scheme or "", url.netloc or ""), url.scheme == "https")
            manager = self._pools.get(kind) or self._pools.setdefault(kind, self._made(*kind))
            way = manager if isinstance(manager, ProxyManager) else manager.connection_from_url(url.url)
            return self._chosen.setdefault((url.scheme, url.netloc), way)

    def _made(self, proxy: str, secure: bool) -> PoolManager | ProxyManager:
        import ssl

        from urllib3 import PoolManager, ProxyManager, Timeout

        timeout = Timeout(connect=self._limits.connect_s, read=self._limits.silence_s)
        context = ssl.create_default_context() if secure or proxy else None  # SSL_CERT_FILE and SSL_CERT_DIR apply
        if proxy:
            url, headers = proxy_way(proxy)
            return ProxyManager(url, proxy_headers=headers, maxsize=32, timeout=timeout, ssl_context=context)
        return PoolManager(maxsize=32, timeout=timeout, ssl_context=context)


def _network(error: Exception) -> Exception:
    """TLS trouble and bad addresses don't mend themselves; the rest may."""
    from urllib3.exceptions import LocationValueError, ProxyError, SSLError

    text = said_line(str(error))
    if isinstance(error, SSLError):
        return DownloadFailed(
            "The server's certificate is not accepted.",
            cause=text,
            remedy="Check the address and this machine's clock; SSL_CERT_FILE names further authorities.",
        )
    if isinstance(error, ProxyError) and (refused := _NO_TUNNEL.search(text)):
        return _proxy_refused(int(refused[1]))
    if isinstance(error, LocationValueError):
        return DownloadFailed("The address can't be used.", cause=text, remedy="Check it.")
    return TryAgain(text)


def _reply(response: BaseHTTPResponse, start: int, known: Version | None) -> Reply:
    if response.status == 206:
        return _part(response, start, known)
    if response.status == 200:
        size = _number(response.headers.get("Content-Length", ""))
        ranges = response.headers.get("Accept-Ranges", "").lower() == "bytes"
        version, left = Version(size=size, tag=_tag(response)), size if size >= 0 else None
        return Reply(response=response, start=0, version=version, ranges=ranges, left=left)
    if response.status == 416:  # what we have is longer than what is there, or it is empty
        size = _number(response.headers.get("Content-Range", "").rpartition("/")[2])
        return Reply(response=response, start=size, version=Version(size=size, tag=_tag(response)), ranges=True)
    if response.status in _TRY_AGAIN:
        raise TryAgain(f"the server answered {response.status}", wait_s=_retry_after(response))
    raise _refusal(response)


def _part(response: BaseHTTPResponse, start: int, known: Version | None) -> Reply:
    told = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if told is None or int(told[1]) != start:
        raise TryAgain(f"the server answered another range: {clean_line(str(response.headers.get('Content-Range')))}")
    tag = _tag(response)
    if known and known.tag and not tag:
        tag = known.tag  # an If-Range that was met: some servers leave the tag out of parts
    version, left = Version(size=int(told[3]), tag=tag), int(told[2]) + 1 - start
    return Reply(response=response, start=start, version=version, ranges=True, left=left)


def _number(told: str) -> int:
    """-1 when none is told that makes sense; one that is told twice is the same."""
    told = told.partition(",")[0].strip()
    return int(told) if told.isdecimal() and len(told) < _LONG else -1


def _tag(response: BaseHTTPResponse) -> str:
    """A strong ETag, else the date of the last change: what If-Range takes."""
    etag = str(response.headers.get("ETag", ""))
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _retry_after(response: BaseHTTPResponse) -> float | None:
    told = str(response.headers.get("Retry-After", "")).strip()
    if told.isdigit():
        return float(told)
    try:  # a date by the server's clock: ours may be wrong, or be set meanwhile
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(str(response.headers.get("Date", "")))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


def _proxy_refused(status: int) -> DownloadFailed:
    return DownloadFailed(
        "The proxy does not let us through.",
        cause=f"It answered {status}{', which asks for a name and a password' if status == _PROXY_ASKS else ''}.",
        remedy="Name it as http://USER:PASSWORD@HOST:PORT in http_proxy and https_proxy, or ask who runs it.",
    )


def _refusal(response: BaseHTTPResponse) -> DownloadFailed:
    said = said_line(response.read(2000, decode_content=False).decode("utf-8", "replace"))
    cause = f"The server answered {response.status}. {said}".strip()
    if response.status in {401, 403}:
        return DownloadDenied(
            "The source does not give this file to you.",
            cause=cause,
            remedy="Give a token that has the right, and accept the model's licence on its page first.",
        )
    if response.status == _PROXY_ASKS:
        return _proxy_refused(response.status)
    if response.status in {404, 410}:
        return SourceGone("The file is not there.", cause=cause, remedy="Check the name and the revision.")
    return DownloadFailed("The source refused.", cause=cause, remedy="Check the address; try again later.")
