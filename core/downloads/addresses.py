"""What is asked for under an address, and by which way: the same for one file and for many side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

from core.downloads.values import Address
from core.errors import DownloadFailed
from core.text import clean_line

if TYPE_CHECKING:
    from urllib3.util import Url

MOST_REDIRECTS = 10
REDIRECTS = {301, 302, 303, 307, 308}
ASKED = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "modelyard"}  # of every answer
_PORTS = {"https": 443, "http": 80}


def asked_for(url: str) -> Url:
    """What is asked for under an address, by every way: its name and password and its fragment go to nobody.

    Raises:
        LocationParseError: a ValueError of urllib3; it is no address.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    parts = parse_url(url)
    if not parts.host:
        raise LocationParseError(shown(url))
    return parts._replace(auth=None, fragment=None, path=parts.path or "/")


def redirected(address: Address, location: str) -> Address:
    """Where a redirect leads, without the token if that is another host.

    Raises:
        DownloadFailed: it leads nowhere, or it is not safe to go there.
    """
    try:
        old, new = asked_for(address.url), asked_for(urljoin(address.url, location))
    except ValueError:
        new = None
    if not location or new is None:
        raise DownloadFailed(
            f"{shown(address.url)} redirects to nowhere.",
            cause="What it gives is no address." if location else "It gives no address.",
            remedy="Ask who runs the source.",
        )
    if new.scheme not in {"http", "https"} or (old.scheme == "https" and new.scheme == "http"):
        raise DownloadFailed(
            f"{shown(old.url)} redirects to an address that is not safe: {shown(new.url)}.",
            remedy="Ask who runs the source; nothing was sent there.",
        )
    return Address(url=new.url, headers=address.headers if _origin(old) == _origin(new) else {})


def proxy_way(named: str) -> tuple[str, dict[str, str]]:
    """The address of a proxy, and its name and password as a header, from what the environment says.

    Raises:
        DownloadFailed: it is none that we can ask.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import make_headers, parse_url

    try:
        url = parse_url(named)
    except LocationParseError:
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.host:
        raise DownloadFailed(
            "The proxy that the environment names can't be used.",
            cause="It is no http:// or https:// address.",
            remedy="Look at http_proxy, https_proxy and all_proxy; no_proxy names hosts that are reached without one.",
        )
    headers = dict(make_headers(proxy_basic_auth=unquote(url.auth))) if url.auth else {}
    return url._replace(auth=None).url, headers


def shown(url: str) -> str:
    """Without what gives rights: the query of a signed address, a name and a password."""
    scheme, mark, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return clean_line(f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}")


def _origin(url: Url) -> tuple[str | None, str | None, int | None]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme or "")
