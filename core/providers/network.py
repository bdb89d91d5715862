"""The way to an endpoint: HTTP clients with the system's authorities and proxies, and what went wrong on the way."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.providers.errors import Fault, ProviderError
from core.proxy import proxy_for

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 10.0
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}
_CERTIFICATE = {  # OpenSSL's X509_V_ERR_…: what is the matter, what to do
    9: ("Its certificate is not valid yet.", "Check this machine's clock."),
    10: ("Its certificate has expired.", "Whoever runs it has to renew it; check this machine's clock, too."),
    18: ("It shows a certificate that it signed itself.", "If it is yours, SSL_CERT_FILE names that certificate."),
    19: ("Its certificate's authority is not known here.", "If you trust it, SSL_CERT_FILE names its certificate."),
    20: ("Its certificate's authority is not known here.", "If you trust it, SSL_CERT_FILE names its certificate."),
    62: ("Its certificate is for another name.", "Use a name that the certificate holds as the endpoint's host."),
    64: ("Its certificate is not for this address.", "Use a name that the certificate holds as the endpoint's host."),
}


def place(url: str) -> str:
    """Host and port as people read them, never user or password."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the endpoint"
    host = parts.hostname or "the endpoint"
    return f"[{host}]{port}" if ":" in host else f"{host}{port}"


def is_loopback(url: str) -> bool:
    """Whether the address is this machine, without asking anyone for a name."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(url: str) -> None:
    """The URL can be asked.

    Raises:
        ProviderError: it is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine:
        raise ProviderError(Fault.BAD_ADDRESS, host="the endpoint", said=url[:200])


async def client(url: str, headers: dict[str, str], *, silence_s: float) -> httpx.AsyncClient:
    """A client that follows no redirect, so that no key leaves for another place; close it after use.

    Certificates are checked against the system's authorities or `SSL_CERT_FILE`; proxies come from the environment,
    except to this machine itself.
    """
    import httpx

    return httpx.AsyncClient(
        headers=headers,
        verify=await asyncio.to_thread(_authorities),
        timeout=httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S),
        trust_env=not is_loopback(url),
        follow_redirects=False,
    )


def _authorities() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    return _context(paths.cafile, paths.capath)


@lru_cache(maxsize=4)
def _context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    """The system's authorities; where a machine has none, those that come with the program."""
    context = ssl.create_default_context(cafile=cafile, capath=capath)
    if not cafile and not (capath and any(Path(capath).iterdir())):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def proxy_of(url: str) -> str:
    """The proxy that the environment sets for this address, as people read it; "" when there is none."""
    parts = urlsplit(url)
    proxy = "" if is_loopback(url) else proxy_for(parts.scheme, parts.hostname or "")
    return place(proxy) if proxy else ""


def translated(error: Exception, host: str, *, proxy: str = "") -> ProviderError:
    """An error of the HTTP client as one of ours; where a proxy stands between, not reaching it is its trouble."""
    import httpx

    if proxy and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and not _is_tls(error):
        return ProviderError(Fault.PROXY, host=host, said=f"The proxy {proxy} itself can't be reached.")
    causes = list(_causes(error))
    if certificate := next((one for one in causes if isinstance(one, ssl.SSLError)), None):
        return _tls(certificate, host)
    if fault := next((found for one in causes if (found := _system(one))), None):
        return ProviderError(fault, host=host)
    for kinds, fault, said in (
        ((httpx.ProxyError,), Fault.PROXY, str(error)),
        ((httpx.ConnectTimeout, httpx.PoolTimeout), Fault.TIMEOUT, f"no connection within {CONNECT_TIMEOUT_S:g} s"),
        ((httpx.TimeoutException,), Fault.SILENT, ""),
        ((httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError), Fault.BAD_ADDRESS, str(error)),
    ):
        if isinstance(error, kinds):
            return ProviderError(fault, host=host, said=said)
    return _protocol(error, host)


def _protocol(error: Exception, host: str) -> ProviderError:
    import httpx

    if isinstance(error, httpx.RemoteProtocolError) and not any(
        words in str(error) for words in ("disconnected", "closed", "incomplete")
    ):
        return ProviderError(
            Fault.NOT_AN_API,
            host=host,
            said=f"It does not speak HTTP there: {error}",
            remedy="Check the port; a server with TLS needs https:// in the endpoint.",
        )
    return ProviderError(Fault.BROKEN_OFF, host=host, said=f"{type(error).__name__}: {error}")


def _is_tls(error: BaseException) -> bool:
    return any(isinstance(one, ssl.SSLError) for one in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [*getattr(one, "exceptions", ()), one.__cause__, one.__context__]


def _system(error: BaseException) -> Fault | None:
    if isinstance(error, socket.gaierror):
        return Fault.NAME
    if isinstance(error, ConnectionRefusedError):
        return Fault.REFUSED
    return Fault.NO_ROUTE if isinstance(error, OSError) and error.errno in _NO_ROUTE else None


def _tls(error: ssl.SSLError, host: str) -> ProviderError:
    if isinstance(error, ssl.SSLCertVerificationError):
        said, remedy = _CERTIFICATE.get(error.verify_code, (str(error.verify_message), ""))
        return ProviderError(Fault.TLS, host=host, said=said, remedy=remedy)
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}:
        return ProviderError(
            Fault.TLS,
            host=host,
            said="It answers without TLS there.",
            remedy="Check the port, or write http:// in the endpoint.",
        )
    return ProviderError(Fault.TLS, host=host, said=str(error.reason or error))
