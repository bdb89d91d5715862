"""HTTP GETs of small files side by side in one thread, by libcurl: a quarter of the processor time of urllib3's.

Nothing here tries again or explains: what fails is told to have failed.
"""

from __future__ import annotations

import math
import os
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from core.downloads.addresses import ASKED, REDIRECTS, asked_for, proxy_way
from core.proxy import proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycurl import Curl

    from core.downloads.values import Address, Limits

_PAUSE_S = 0.005  # while there is nothing to wait for yet: a name is looked up, say
_LEAST_BUFFER, _BUFFER = 1 << 10, 16 << 10  # bytes that come at once


@dataclass(eq=False)
class Get:
    """One file of at most `most` bytes, some `piece` of them at once.

    `status` is 0 when there was no whole answer, or one that refuses; `leads_to` is a redirect's goal.
    """

    address: Address
    most: int
    piece: int = _BUFFER
    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    leads_to: str = ""


class ManyGets:
    """To be used, and closed, by one thread.

    `passes` is asked for each piece that comes, and may wait: the others come no faster. False ends that GET.
    """

    def __init__(self, limits: Limits, *, passes: Callable[[Get, int], bool]) -> None:
        import pycurl

        self._limits = limits
        self._passes = passes
        self._lines = pycurl.CurlMulti()
        self._idle: list[Curl] = []
        self._busy: dict[Curl, Get] = {}
        self._proxies: dict[tuple[str, str], tuple[str, list[str]]] = {}  # by scheme and host

    def __len__(self) -> int:
        return len(self._busy)

    def begin(self, get: Get) -> None:
        """Ask for it.

        Raises:
            DownloadFailed: the environment's proxy can't be used. ValueError: no such address or header can be sent.
        """
        import pycurl

        if not self._idle:
            self._idle.append(self._line())
        try:
            self._aim(self._idle[-1], get)
        except pycurl.error as error:
            raise ValueError(str(error)) from error
        line = self._idle.pop()
        self._lines.add_handle(line)
        self._busy[line] = get

    def ended(self, longest_s: float) -> list[Get]:
        """Those that are over, in whichever way; it waits for the line, and no longer than that."""
        import pycurl

        self._lines.perform()
        _, done, failed = self._lines.info_read(len(self._busy) or 1)
        for line in done:
            self._busy[line].status = line.getinfo(pycurl.RESPONSE_CODE)
        found = [self._over(line) for line in (*done, *(line for line, *_ in failed))]
        if not found and self._busy and self._lines.select(longest_s) < 0:
            time.sleep(_PAUSE_S)
        return found

    def close(self) -> None:
        """All connections."""
        for line in self._busy:
            self._lines.remove_handle(line)
        for line in (*self._busy, *self._idle):
            line.close()
        self._lines.close()

    def _over(self, line: Curl) -> Get:
        import pycurl

        self._lines.remove_handle(line)
        self._idle.append(line)
        get = self._busy.pop(line)
        if get.status in REDIRECTS:
            get.leads_to = (line.getinfo_raw(pycurl.REDIRECT_URL) or b"").decode("utf-8", "replace")
        return get

    def _line(self) -> Curl:
        import pycurl

        line = pycurl.Curl()
        line.setopt(pycurl.NOSIGNAL, 1)
        line.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        line.setopt(pycurl.NOPROXY, "")  # we know by now
        line.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)  # no token for a proxy
        line.setopt(pycurl.PATH_AS_IS, 1)
        line.setopt(pycurl.FAILONERROR, 1)  # nobody reads what a refusal comes with
        line.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(self._limits.connect_s * 1000)))
        line.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        line.setopt(pycurl.LOW_SPEED_TIME, max(1, math.ceil(self._limits.silence_s)))
        line.setopt(pycurl.WRITEFUNCTION, partial(self._take, line))
        _trust(line)
        return line

    def _aim(self, line: Curl, get: Get) -> None:
        import pycurl

        url = asked_for(get.address.url)
        told = _lines({**ASKED, **get.address.headers})
        proxy, for_it = self._proxy(url.scheme or "", url.netloc or "")
        line.setopt(pycurl.URL, url.url)
        line.setopt(pycurl.HTTPHEADER, told)
        line.setopt(pycurl.PROXY, proxy)
        line.setopt(pycurl.PROXYHEADER, for_it)
        line.setopt(pycurl.BUFFERSIZE, max(_LEAST_BUFFER, min(_BUFFER, get.piece)))

    def _proxy(self, scheme: str, host: str) -> tuple[str, list[str]]:
        """Its address, "" for none, and what is told to it."""
        if (kept := self._proxies.get((scheme, host))) is None:
            named = proxy_for(scheme, host)
            proxy, told = proxy_way(named) if named else ("", {})
            kept = self._proxies[(scheme, host)] = (proxy, _lines(told))
        return kept

    def _take(self, line: Curl, piece: bytes) -> int:
        """libcurl's: what it returns is how much was taken, and less than all ends the GET."""
        get = self._busy[line]
        if len(get.body) + len(piece) > get.most or not self._passes(get, len(piece)):
            return 0
        get.body += piece
        return len(piece)


def _lines(headers: Mapping[str, str]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if not all(line.isprintable() for line in lines):
        raise ValueError("no header can hold that")
    return lines


def _trust(line: Curl) -> None:
    """The authorities that Python trusts, SSL_CERT_FILE and SSL_CERT_DIR included, and no others."""
    import pycurl

    paths = ssl.get_default_verify_paths()
    named = {paths.openssl_cafile_env, paths.openssl_capath_env} & os.environ.keys()
    folder = paths.capath if named or not paths.cafile else None  # for each connection it is read anew
    for option, path in (
        (pycurl.CAINFO, paths.cafile),
        (pycurl.CAPATH, folder),
        (pycurl.PROXY_CAINFO, paths.cafile),
        (pycurl.PROXY_CAPATH, folder),
    ):
        line.setopt(option, path) if path else line.unsetopt(option)
