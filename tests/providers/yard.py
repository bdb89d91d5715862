"""A registry with the chat and the connections over it, without hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from core.chat import ChatService
from core.connections.service import ConnectionService
from core.db import Database
from core.errors import KeyMissing
from core.events import EventBus
from core.providers.places import Places
from core.registry.records import Model
from core.registry.store import Registry
from tests.providers.server import KEY, FakeProvider


@dataclass
class Keys:
    """Keys by name; a model without a name gets its provider's."""

    values: dict[str, str]

    async def for_model(self, model: Model) -> str | None:
        if model.api_key_ref and model.api_key_ref not in self.values:
            raise KeyMissing(f"no key {model.api_key_ref}", remedy="modelyard keys set it")
        return self.values.get(model.api_key_ref or model.provider)


@dataclass
class SmallYard:
    registry: Registry
    keys: Keys
    chat: ChatService
    connections: ConnectionService

    async def add(self, server: FakeProvider | str, provider: str = "vllm", **more: Any) -> Model:
        endpoint = server if isinstance(server, str) else server.url
        values = {
            "name": "mine",
            "provider": provider,
            "model_id": "tiny-1",
            "endpoint": endpoint,
            "api_key_ref": "test",
            **more,
        }
        return await self.registry.add_model(values)


@asynccontextmanager
async def small_yard(folder: Path, *, silence_s: float = 5.0) -> AsyncIterator[SmallYard]:
    database = Database(folder / "data" / "registry.db")
    await database.open()
    registry = Registry(database, EventBus(), user_id="ada")
    await registry.ensure_local_host(models_dir=str(folder))
    keys = Keys({"test": KEY})
    places = Places(registry, cast("Any", None), keys)
    try:
        yield SmallYard(
            registry=registry,
            keys=keys,
            chat=ChatService(registry, places),
            connections=ConnectionService(registry, places, silence_s=silence_s),
        )
    finally:
        await database.close()
