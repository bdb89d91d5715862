"""What happens in the core, as frozen values on one bus; fronts only listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime


def now() -> datetime:
    """The present in UTC; every time in the program is aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; `at` is when it was seen."""

    at: datetime = field(default_factory=now)

    def as_dict(self) -> dict[str, object]:
        """The NDJSON line of this event."""
        values = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}
        return {"event": type(self).__name__, **values}


@dataclass(frozen=True, kw_only=True)
class RecordChanged(Event):
    """A record of the registry was added, edited or deleted by this program; `id` is "" when several were at once."""

    kind: str  # "model", "host", "deployment", "server" …
    id: str
    action: str  # "added", "edited", "deleted"
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class ServerChanged(Event):
    """A server's observed state changed (L3, L4); `detail` says why in a sentence."""

    server_id: str
    model_name: str
    host: str
    before: str
    after: str
    detail: str = ""
    remedy: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class HostChanged(Event):
    """A host became reachable or unreachable, or its engine came or went."""

    host: str
    reachable: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """Replaceable: only the newest of one `task` matters."""

    task: str
    text: str
    done: int = 0
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class LogLine(Event):
    """One line an engine wrote; not yet harmless for a terminal."""

    server_id: str
    line: str
    stream: str = "stdout"


class Subscription:
    """One listener's queue: progress of the same task is coalesced, everything else is kept in order."""

    def __init__(self) -> None:
        self._queue: dict[object, Event] = {}
        self._count = 0
        self._ready = asyncio.Event()

    def push(self, event: Event) -> None:
        """Queue an event; runs on the loop's thread."""
        self._count += 1
        key: object = ("progress", event.task) if isinstance(event, Progress) else self._count
        self._queue.pop(key, None)
        self._queue[key] = event
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while not self._queue:
                self._ready.clear()
                await self._ready.wait()
            yield self._queue.pop(next(iter(self._queue)))


class EventBus:
    """Publish from the loop's thread or, with `publish_threadsafe`, from any other."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def publish(self, event: Event) -> None:
        """Hand the event to every listener."""
        for subscription in self._subscriptions:
            subscription.push(event)

    def publish_threadsafe(self, event: Event) -> None:
        """The same from a thread that is not the loop's; dropped when nobody ever listened."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.publish, event)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Events from now on, until the context ends."""
        self._loop = asyncio.get_running_loop()
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
