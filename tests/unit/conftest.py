"""What several unit tests start from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db import Database
from core.events import EventBus
from core.keys.store import KeyStore
from core.registry.store import Registry
from core.settings import Settings
from tests.unit.key_place import KeyPlace


@pytest.fixture
async def place(settings: Settings) -> AsyncIterator[KeyPlace]:
    settings.ensure_folders()
    database = Database(settings.db_path)
    await database.open()
    bus = EventBus()
    yield KeyPlace(settings, Registry(database, bus, user_id="ada"), bus)
    await database.close()


@pytest.fixture
async def keys(place: KeyPlace) -> AsyncIterator[KeyStore]:
    store = place.store()
    yield store
    await store.close()
