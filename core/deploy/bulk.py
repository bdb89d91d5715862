"""Deleting many models at once: all or none, and never one that is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from core.errors import Refused
from core.registry.values import ACTIVE

if TYPE_CHECKING:
    from core.registry.records import Model, Server
    from core.registry.store import Registry

_NAMED = 5


class RemovesServers(Protocol):
    """What is needed of the deploys."""

    async def remove_server(self, ref: str) -> object:
        """Remove a stopped server's container and record."""


async def servers_to_remove(registry: Registry, model_ids: Sequence[str]) -> list[Server]:
    """The stopped servers that go with these models.

    Raises:
        Refused: some of the models are served; all of them stay.
    """
    meant = set(model_ids)
    servers = [server for server in await registry.servers() if server.model_id in meant]
    served = sorted({server.model_name for server in servers if server.status in ACTIVE})
    if served:
        more = f" and {len(served) - _NAMED} more" if len(served) > _NAMED else ""
        raise Refused(
            f"Nothing was deleted: {', '.join(served[:_NAMED])}{more} {'is' if len(served) == 1 else 'are'} served.",
            cause="A server of a model that is to be deleted runs, or is on its way.",
            remedy="Stop it first (modelyard stop NAME), or leave the model out.",
        )
    return servers


async def delete_models(deploys: RemovesServers, registry: Registry, model_ids: Sequence[str]) -> list[Model]:
    """Remove their stopped servers, then all records in one batch; files on disk are not looked at (L8).

    Raises:
        Refused: some are served. NotAllowed: some are global. HostUnreachable: a stopped server can't be removed now.
    """
    for server in await servers_to_remove(registry, model_ids):
        await deploys.remove_server(server.id)
    return await registry.delete_models(model_ids)
