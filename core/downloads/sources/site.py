"""A site's API, asked with patience: it may be busy for a moment."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from core.errors import SourceLost
from core.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import AsyncClient, Response

BUSY = {408, 429, 500, 502, 503, 504}
WAITS_S = (0.5, 2.0)
PATIENCE_S = 20.0
_MOST = 32 << 20  # bytes of an answer


def endpoint(variable: str, home: str) -> str:
    """The site, or what the environment names instead: a mirror, without a slash at its end."""
    return os.environ.get(variable, "").rstrip("/") or home


async def ask(client: AsyncClient, path: str, *, site: str, headers: Mapping[str, str] | None = None) -> Response:
    """Its answer, asked for again while it is busy.

    Raises:
        SourceLost: there is none, or one without an end.
    """
    from httpx import HTTPError

    response = None
    for wait_s in (*WAITS_S, 0):
        try:
            response = await _get(client, path, site, headers)
        except HTTPError as error:
            raise SourceLost(
                f"{site} can't be reached.",
                cause=clean_line(str(error)) or type(error).__name__,
                remedy="Check the line and the proxy (HTTPS_PROXY), then try again.",
            ) from error
        if response.status_code not in BUSY or not wait_s:
            break
        await asyncio.sleep(wait_s)
    assert response is not None
    return response


async def _get(client: AsyncClient, path: str, site: str, headers: Mapping[str, str] | None) -> Response:
    from httpx import Response

    async with client.stream("GET", path, headers=headers) as response:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MOST:
                raise SourceLost(f"{site}{path} answers without an end.", remedy="A proxy may be at work: try another.")
        return Response(response.status_code, content=bytes(body), request=response.request)


def busy(site: str, cause: str) -> SourceLost:
    """It was asked several times."""
    return SourceLost(f"{site} is busy.", cause=cause, remedy="Try again in some minutes.")


def strange(address: str, what: str) -> SourceLost:
    """An answer that makes no sense, with what it should be."""
    return SourceLost(
        f"{address} does not answer as {what} does.", remedy="Look at it in a browser; a proxy may be at work."
    )
