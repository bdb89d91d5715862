"""The composition root: builds the parts and hands them to a front. Imports nothing heavy until `open`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from core.events import EventBus
from core.lasting import lasting
from core.registry.values import LOCAL_HOST
from core.settings import Settings

if TYPE_CHECKING:
    from core.analytics.service import AnalyticsService
    from core.catalog.service import CatalogService
    from core.chat import ChatService
    from core.connections.service import ConnectionService
    from core.deploy.service import DeployService
    from core.downloads.copies import CopyService
    from core.downloads.service import DownloadService
    from core.downloads.tidying import TidyService
    from core.downloads.verifications import VerifyService
    from core.exchange.service import ExchangeService
    from core.files.service import FilesService
    from core.hosts.files_of import FilesOf
    from core.hosts.service import HostService
    from core.keys.store import KeyStore
    from core.registry.store import Registry


@dataclass(frozen=True, kw_only=True)
class Modelyard:
    """All that a front needs; use as `async with Modelyard.open(settings) as yard`."""

    settings: Settings
    bus: EventBus
    registry: Registry
    keys: KeyStore
    catalog: CatalogService
    hosts: HostService
    deploys: DeployService
    chat: ChatService
    connections: ConnectionService
    analytics: AnalyticsService
    exchange: ExchangeService
    downloads: DownloadService
    files: FilesService
    copies: CopyService
    files_of: FilesOf
    verifications: VerifyService

    @property
    def leftovers(self) -> TidyService:
        """What unfinished transfers left on the disks."""
        from core.downloads.tidying import TidyService

        return TidyService(self.registry, self.files_of)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Modelyard]:
        """Open the registry and build the services; closing stops nothing that was deployed.

        Raises:
            ModelyardError: the registry or its folders can't be used.
        """
        await asyncio.to_thread(_import_parts)
        from core.analytics.sampler import Sampler
        from core.analytics.service import AnalyticsService
        from core.catalog.service import CatalogService
        from core.chat import ChatService
        from core.connections.service import ConnectionService
        from core.db import Database
        from core.deploy.access import ServerAccess
        from core.deploy.runtimes import Runtimes
        from core.deploy.service import DeployService
        from core.downloads.copies import CopyService
        from core.downloads.service import DownloadService
        from core.downloads.verifications import VerifyService
        from core.exchange.service import ExchangeService
        from core.files.service import FilesService
        from core.hosts.files_of import FilesOf
        from core.hosts.service import HostService
        from core.keys.store import key_store
        from core.providers.places import Places
        from core.registry.store import Registry

        settings.ensure_folders()
        bus = EventBus()
        database = Database(settings.db_path)
        await database.open()
        registry = Registry(database, bus, user_id=settings.user_id)
        await registry.ensure_local_host(models_dir=str(settings.models_dir))
        keys = key_store(settings, registry, bus)
        catalog = CatalogService(settings, registry)
        await catalog.sync()
        hosts = HostService(settings, registry, bus)
        runtimes = Runtimes(settings, hosts)
        access = ServerAccess(registry, hosts, runtimes)
        deploys = DeployService(settings, registry, hosts, runtimes, bus=bus, access=access)
        places = Places(registry, access, keys)
        analytics = AnalyticsService(registry, Sampler(registry, access))
        files = FilesService(settings, registry, container_with=partial(_container_here, registry, hosts))
        files_of = FilesOf(files, hosts, registry)
        downloads = DownloadService(settings, registry, keys, hosts)
        chat = ChatService(registry, places)
        try:
            yield cls(
                settings=settings,
                bus=bus,
                registry=registry,
                keys=keys,
                catalog=catalog,
                hosts=hosts,
                deploys=deploys,
                chat=chat,
                connections=ConnectionService(registry, places),
                analytics=analytics,
                exchange=ExchangeService(registry, bus),
                downloads=downloads,
                files=files,
                copies=CopyService(registry, hosts, files, downloads),
                files_of=files_of,
                verifications=VerifyService(registry, files_of, downloads),
            )
        finally:
            await chat.close()
            await analytics.close()
            await keys.close()
            await runtimes.close()
            await hosts.close_all()
            await database.close()


async def _container_here(registry: Registry, hosts: HostService, paths: Sequence[str]) -> str:
    """Which running container of this machine has any of these loaded; "" for none."""
    from core.files.deleting import resolved
    from core.hosts.mounted import container_with

    return await container_with(hosts.connection(await registry.get_host(LOCAL_HOST)), paths, resolved)


@cache
def _import_parts() -> None:
    """Import the heavy parts off the loop's thread, so that a screen stays alive meanwhile."""
    with lasting():
        import core.analytics.sampler
        import core.analytics.service
        import core.catalog.service
        import core.chat
        import core.connections.service
        import core.db
        import core.deploy.access
        import core.deploy.runtimes
        import core.deploy.service
        import core.downloads.service
        import core.exchange.service
        import core.hosts.service
        import core.keys.store
        import core.providers.places
        import core.registry.store  # noqa: F401
