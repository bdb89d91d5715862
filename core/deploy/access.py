"""The way to a running server's HTTP interface, whatever host it is on and whatever key it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.deploy.health import http_client
from core.engines.base import API_KEY_FILE
from core.errors import NotFound
from core.registry.values import RuntimeName

if TYPE_CHECKING:
    import httpx

    from core.deploy.runtimes import Runtimes
    from core.hosts.service import HostService
    from core.registry.records import Server
    from core.registry.store import Registry


class ServerAccess:
    """Makes HTTP clients for servers; the API key is read from the server itself and kept nowhere else."""

    def __init__(self, registry: Registry, hosts: HostService, runtimes: Runtimes) -> None:
        self._registry = registry
        self._hosts = hosts
        self._runtimes = runtimes

    async def client(self, server: Server, *, timeout_s: float) -> httpx.AsyncClient:
        """A client with the server as its base address and the key in its headers; close it after use.

        Raises:
            HostUnreachable: its host can't be reached.
        """
        host = await self._registry.get_host(server.host_id)
        client = await http_client(self._hosts.connection(host), server.port or 0, timeout_s=timeout_s)
        runtime = self._runtimes.get(host, RuntimeName(server.runtime))
        try:
            key = await runtime.read_file(server.container_id, API_KEY_FILE)
        except NotFound:
            return client  # deployed without a key
        client.headers["Authorization"] = f"Bearer {key.decode().strip()}"
        return client
