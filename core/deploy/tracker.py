"""Writes each step of a server to the registry and tells it to everybody who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.deploy.lifecycle import Trigger, follow
from core.events import EventBus, ServerChanged, now
from core.registry.values import ServerStatus

if TYPE_CHECKING:
    from core.registry.records import Server
    from core.registry.store import Registry

Allowed = Callable[["Server"], bool]


class Tracker:
    """Moves servers through the one transition table, inside one transaction each."""

    def __init__(self, registry: Registry, bus: EventBus) -> None:
        self._registry = registry
        self._bus = bus

    async def move(self, server: Server, *triggers: Trigger, **changes: object) -> tuple[Server, ServerChanged | None]:
        """Apply triggers in turn and write the columns of `changes`; the event is None when the state stayed.

        Raises:
            NotAllowed: the transition table has no such step from where the server is now.
        """
        before = server.status

        def decide(current: Server) -> Mapping[str, Any]:
            nonlocal before
            before = current.status
            status = before
            for trigger in triggers:
                status = follow(status, trigger)
            return {**changes, "status": status.value if hasattr(status, "value") else status, "observed_at": now()}

        moved = await self._registry.edit_server(server.id, decide)
        if moved.status == before:
            return moved, None
        event = ServerChanged(
            server_id=moved.id,
            model_name=moved.model_name,
            host=moved.host_name,
            before=before,
            after=moved.status,
            detail=moved.cause or moved.phase,
            remedy=moved.remedy,
            url=moved.url,
        )
        self._bus.publish(event)
        return moved, event

    async def is_starting(self, server: Server) -> bool:
        """Whether nobody else has asked for another state since."""
        current = await self._registry.get_server(server.id)
        return current.status in {ServerStatus.STARTING, ServerStatus.LOADING}

    async def note(self, server: Server, **changes: object) -> Server:
        """Write columns that changed, without a change of state; writes nothing when they are the same."""
        if all(getattr(server, name) == value for name, value in changes.items()):
            return server
        return await self._registry.edit_server(server.id, {**changes, "observed_at": now()})
