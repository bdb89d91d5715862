"""Where a model answers: the server that runs it, the endpoint of its record, or its provider's own service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from core.errors import NotAllowed
from core.providers import network
from core.providers.anthropic import AnthropicWire
from core.providers.caller import Caller
from core.providers.errors import Fault, ProviderError
from core.providers.google import GoogleWire
from core.providers.ollama import OllamaWire
from core.providers.openai import OpenAIWire
from core.registry.values import Provider, ServerStatus

if TYPE_CHECKING:
    import httpx

    from core.providers.wire import Wire
    from core.registry.records import Model, Server
    from core.registry.store import Registry

HOSTED = frozenset({Provider.OPENAI, Provider.ANTHROPIC, Provider.GOOGLE})


class Access(Protocol):
    """The way to a server that was deployed."""

    async def client(self, server: Server, *, timeout_s: float) -> httpx.AsyncClient:
        """A client with the server as its base address and the key in its headers."""


class Keys(Protocol):
    """Where keys come from."""

    async def for_model(self, model: Model) -> str | None:
        """The key that the model names, else its provider's."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a model answers now, and by which name; `server` is None for endpoints."""

    caller: Caller
    served_name: str
    server: Server | None
    keyed: bool  # a key is sent along
    at_provider: bool = False  # the provider's own service, or Ollama where it usually is

    @property
    def url(self) -> str:
        """The base address, for people."""
        return self.server.url if self.server else self.caller.base


class NowhereServed(NotAllowed):
    """No server runs the model, and its record has no endpoint."""


class Places:
    """Finds the place of a model."""

    def __init__(self, registry: Registry, access: Access, keys: Keys) -> None:
        self._registry = registry
        self._access = access
        self._keys = keys

    @asynccontextmanager
    async def open(self, model: Model, *, silence_s: float) -> AsyncIterator[Place]:
        """The place, with a connection that is closed at the end; a running server goes before an endpoint.

        Raises:
            NowhereServed: there is none. HostUnreachable: the server's host can't be reached.
            ProviderError: the address or the key can't be right.
        """
        server = await self._running_server(model)
        if server is not None:
            client = await self._access.client(server, timeout_s=silence_s)
            async with client:
                base = f"{str(client.base_url).rstrip('/')}/v1"
                caller = Caller(client, OpenAIWire(), base, silence_s=silence_s)
                keyed = "authorization" in client.headers
                yield Place(caller=caller, served_name=server.served_name, server=server, keyed=keyed)
            return
        wire, base = _address(model)
        key = await self._key(model, wire, base)
        async with await network.client(base, wire.headers(key), silence_s=silence_s) as client:
            caller = Caller(client, wire, base, silence_s=silence_s)
            yield Place(
                caller=caller,
                served_name=model.model_id,
                server=None,
                keyed=bool(key),
                at_provider=base == wire.default_base,
            )

    async def _running_server(self, model: Model) -> Server | None:
        servers = await self._registry.servers(model_id=model.id)
        return next((server for server in servers if server.status == ServerStatus.RUNNING), None)

    async def _key(self, model: Model, wire: Wire, base: str) -> str:
        """The key for this address; a provider's own key goes to the provider only, wherever a record points."""
        at_provider = base == wire.default_base
        if not at_provider and not model.api_key_ref:
            return ""
        key = (await self._keys.for_model(model) or "").strip()
        name = model.api_key_ref or model.provider
        if not key and (model.api_key_ref or model.provider in HOSTED):
            raise ProviderError(
                Fault.NO_KEY,
                host=network.place(base),
                said=f"No key named {name} is stored.",
                remedy=f"modelyard keys set {name}",
            )
        if not (key.isascii() and key.isprintable()):
            raise ProviderError(
                Fault.UNAUTHORISED, host=network.place(base), said=f"The stored key {name} holds characters no key has."
            )
        return key


def wire_of(provider: str) -> Wire:
    """The format that a provider's endpoints speak."""
    match provider:
        case Provider.ANTHROPIC:
            return AnthropicWire()
        case Provider.GOOGLE:
            return GoogleWire()
        case Provider.OLLAMA:
            return OllamaWire()
    return OpenAIWire(hosted=provider == Provider.OPENAI)


def _address(model: Model) -> tuple[Wire, str]:
    wire = wire_of(model.provider)
    endpoint = model.endpoint.strip()
    if not endpoint and not wire.default_base:
        raise NowhereServed(f"{model.name} is not running anywhere.", remedy=f"modelyard deploy {model.name} --host …")
    if model.provider == Provider.OPENAI and endpoint and urlsplit(endpoint).hostname != "api.openai.com":
        wire = OpenAIWire()
    if endpoint:
        network.check_address(endpoint)
    base = wire.base(endpoint) if endpoint else wire.default_base
    if model.local_inference and not network.is_loopback(base):
        raise NotAllowed(
            f"{model.name} is for inference on this machine only, and its endpoint is {network.place(base)}.",
            remedy="Give it an endpoint on this machine, or switch local inference off.",
        )
    return wire, base
