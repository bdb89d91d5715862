"""Asks a server whether it answers, through its host's tunnel; httpx is imported by those who ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import ModelyardError
from core.text import clean_line

if TYPE_CHECKING:
    import httpx

    from core.hosts.connection import Connection

_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Health:
    """`ok`: it serves; `detail` is what it said otherwise."""

    ok: bool
    detail: str = ""


async def http_client(connection: Connection, port: int, *, timeout_s: float | None = _TIMEOUT_S) -> httpx.AsyncClient:
    """A client whose base address is the server on `port` of that host's loopback, whatever lies between.

    Raises:
        HostUnreachable: no tunnel can be had.
    """
    import httpx

    socket = await connection.tunnel(port)
    transport = httpx.AsyncHTTPTransport(uds=str(socket) if socket.name else None, verify=False, retries=0)
    timeout = httpx.Timeout(timeout_s, connect=_TIMEOUT_S)
    return httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=timeout, trust_env=False)


async def ask(connection: Connection, port: int, path: str) -> Health:
    """One health check; an engine that is not up yet, or resets the connection, is not healthy."""
    import httpx

    async with await http_client(connection, port) as client:
        try:
            response = await client.get(path)
        except httpx.HTTPError as error:
            return Health(ok=False, detail=f"no answer yet ({type(error).__name__})")
    if response.is_success:
        return Health(ok=True)
    return Health(ok=False, detail=clean_line(response.text[:200]))


async def read_text(client: httpx.AsyncClient, path: str) -> str:
    """The body of a GET.

    Raises:
        ModelyardError: no answer, or a refusal.
    """
    import httpx

    try:
        response = await client.get(path)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise ModelyardError(
            f"The server did not tell {path}.", cause=clean_line(str(error)), remedy="Look at its log."
        ) from error
    return response.text
