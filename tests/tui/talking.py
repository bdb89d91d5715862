"""The core for tests of the screens with real chats and real tests of connections, against a fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from core.app import Modelyard
from core.chat import ChatService
from core.connections.service import ConnectionService
from core.providers.places import Places
from core.registry.store import Registry
from core.settings import Settings
from tests.providers.server import KEY, FakeProvider
from tests.providers.yard import Keys
from tests.tui.fake import Yard


@dataclass
class TalkingYard(Yard):
    """Hosts and deploys are played; what goes to endpoints is not."""

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[Modelyard]:
        async with super().open(settings) as yard:
            places = Places(yard.registry, cast("Any", None), Keys({"test": KEY}))
            chat = ChatService(yard.registry, places)
            try:
                yield replace(yard, chat=chat, connections=ConnectionService(yard.registry, places))
            finally:
                await chat.close()


def filled_with(server: FakeProvider, **more: Any) -> Any:
    """One model that the fake provider serves."""

    async def fill(registry: Registry) -> None:
        values = {
            "name": "claude",
            "provider": "anthropic",
            "model_id": "tiny-1",
            "endpoint": server.url,
            "api_key_ref": "test",
            **more,
        }
        await registry.add_model(values)

    return fill
