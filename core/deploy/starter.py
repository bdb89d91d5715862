"""From a created server to one that answers: start it, follow its log and its health, explain a failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from core.deploy.health import ask
from core.deploy.lifecycle import Trigger
from core.engines import engine_named
from core.engines.base import READY, Diagnosis
from core.errors import EngineUnavailable, HostUnreachable, ModelyardError, StartFailed
from core.events import Event, LogLine, Progress
from core.registry.values import EngineName
from core.runtimes.base import Observed, Phase
from core.text import clean_line

if TYPE_CHECKING:
    from core.deploy.tracker import Tracker
    from core.engines.base import Engine
    from core.hosts.connection import Connection
    from core.registry.records import Server
    from core.runtimes.base import Runtime
    from core.settings import Settings

_KEPT_LINES = 400
_FIRST_POLL_S = 0.1
_LOG_END_S = 3.0
_ENDED = frozenset({Phase.EXITED, Phase.RESTARTING})
ENDED_BY_SIGNAL = frozenset({137, 143})  # exit codes after SIGKILL and SIGTERM


class Starter:
    """Follows one server until it runs or fails."""

    def __init__(self, settings: Settings, tracker: Tracker) -> None:
        self._settings = settings
        self._tracker = tracker

    async def follow(self, server: Server, runtime: Runtime, connection: Connection) -> AsyncIterator[Event]:
        """Events until the server answers its health check.

        A lost line or a restarted daemon is waited out, for at most the load time-out.

        Raises:
            StartFailed: it ended or did not answer in time; the server is stopped and its record says why.
        """
        engine = engine_named(EngineName(server.server_type))
        log = _LogTail(runtime, server, engine)
        watchdog = _Watchdog()
        deadline = time.monotonic() + self._settings.load_timeout_s
        pause = _FIRST_POLL_S
        try:
            while True:
                log.ensure()
                for event in self._read(log, engine, server):
                    yield event
                try:
                    observed, healthy = await asyncio.gather(
                        runtime.inspect(server.container_id),
                        ask(connection, server.port or 0, engine.health_path),
                    )
                    watchdog.outage = watchdog.outage or log.broke
                    if watchdog.was_interrupted(observed):
                        yield Progress(task=server.id, text=f"starting again: {server.host_name} ended it")
                        await runtime.start(server.container_id)
                    elif watchdog.has_failed(observed):
                        await self._fail(server, runtime, engine, log, observed)
                except (EngineUnavailable, HostUnreachable) as error:
                    watchdog.outage = True
                    yield Progress(task=server.id, text=f"waiting for {server.host_name}: {clean_line(error.message)}")
                else:
                    if healthy.ok and observed is not None:
                        _, event_ = await self._tracker.move(server, Trigger.HEALTHY, **facts_of(observed), phase="")
                        if event_:
                            yield event_
                        return
                if time.monotonic() > deadline:
                    await self._time_out(server, runtime)
                await log.wait(pause)
                pause = min(pause * 1.4, self._settings.health_interval_s)
        finally:
            await log.close()

    def _read(self, log: _LogTail, engine: Engine, server: Server) -> list[Event]:
        events: list[Event] = []
        for stream, line in log.take():
            events.append(LogLine(server_id=server.id, line=line, stream=stream))
            if phase := engine.phase(line):
                events.append(Progress(task=server.id, text=clean_line(phase)))
        return events

    async def _fail(
        self, server: Server, runtime: Runtime, engine: Engine, log: _LogTail, observed: Observed | None
    ) -> None:
        await log.finish()
        if not await self._tracker.is_starting(server):
            raise StartFailed(f"{server.model_name} was stopped while it started.")
        found = explain(engine, list(log.lines), observed)
        await self._break_loop(server, runtime, observed)
        trigger = Trigger.CRASHED if observed else Trigger.GONE
        await self._tracker.move(server, Trigger.UP, trigger, cause=found.cause, remedy=found.remedy, phase="")
        raise StartFailed(f"{server.model_name} did not start.", cause=found.cause, remedy=found.remedy)

    async def _break_loop(self, server: Server, runtime: Runtime, observed: Observed | None) -> None:
        """A start that fails would be repeated for ever by the restart policy: stop it."""
        if observed is not None:
            await runtime.stop(server.container_id, timeout_s=self._settings.stop_timeout_s)

    async def _time_out(self, server: Server, runtime: Runtime) -> None:
        cause = f"It did not answer within {self._settings.load_timeout_s:g} seconds."
        remedy = "Look at its log; load_timeout_s in config.toml gives large models more time."
        with contextlib.suppress(EngineUnavailable, HostUnreachable):
            await runtime.stop(server.container_id, timeout_s=self._settings.stop_timeout_s)
        await self._tracker.move(server, Trigger.ERROR, cause=cause, remedy=remedy, phase="")
        raise StartFailed(f"{server.model_name} did not start.", cause=cause, remedy=remedy)


class _Watchdog:
    """Tells a start that failed from one that the end of its container engine interrupted."""

    def __init__(self) -> None:
        self.outage = False
        self._restarts = 0

    def has_failed(self, observed: Observed | None) -> bool:
        """While loading any end is a failure, also one that the restart policy repeats."""
        return observed is None or observed.phase in _ENDED or observed.restarts > self._restarts

    def was_interrupted(self, observed: Observed | None) -> bool:
        """An engine that comes back ends what it finds by a signal, and does not always start it again; told once."""
        if not self.outage or observed is None or observed.phase not in _ENDED:
            return False
        self.outage, self._restarts = False, observed.restarts + 1
        return observed.exit_code in ENDED_BY_SIGNAL and not observed.oom_killed


def facts_of(observed: Observed) -> dict[str, object]:
    """What a running server's record takes over from its runtime."""
    return {
        "container_id": observed.id,
        "started_at": observed.started_at,
        "stopped_at": None,
        "restarts": observed.restarts,
        "cause": "",
        "remedy": "",
    }


def explain(engine: Engine, lines: Sequence[str], observed: Observed | None) -> Diagnosis:
    """The cause of an end in a sentence: what the engine's log tells, else what the runtime tells."""
    if found := engine.diagnose(lines):
        return Diagnosis(cause=clean_line(found.cause), remedy=found.remedy, line=clean_line(found.line))
    if observed is None:
        return Diagnosis(cause="It was removed on the host while it started.", remedy="Deploy it again.")
    if observed.oom_killed:
        return Diagnosis(cause="The host's kernel killed it: out of memory.", remedy="Lower --max-model-len.")
    last = next((clean_line(line) for line in reversed(lines) if line.strip()), "")
    if observed.exit_code in ENDED_BY_SIGNAL and not observed.error:
        return Diagnosis(cause="It was stopped on its host while it started.", remedy="Deploy it again.", line=last)
    told = clean_line(observed.error) or last or "It wrote nothing."
    return Diagnosis(
        cause=f"It ended with exit code {observed.exit_code}: {told}", remedy="Look at its log.", line=last
    )


class _LogTail:
    """Reads a server's log beside everything else; begins anew when the line was lost."""

    def __init__(self, runtime: Runtime, server: Server, engine: Engine) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.broke = False  # it ended with the engine or the line, not with the server
        self._runtime = runtime
        self._server = server
        self._engine = engine
        self._new: deque[tuple[str, str]] = deque()
        self._arrived = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        """Have a reader."""
        if self._task is None or self._task.done():
            tail = None if self._task is None else 0
            self._task = asyncio.create_task(self._read(tail))

    async def _read(self, tail: int | None) -> None:
        try:
            async for stream, line in self._runtime.logs(self._server.container_id, tail=tail, follow=True):
                self.lines.append(line)
                self._new.append((stream, line))
                self._arrived.set()
                if self._engine.phase(line) == READY:
                    self._ready.set()
        except ModelyardError:  # the caller meets the same error where it can be told
            self.broke = True

    def take(self) -> list[tuple[str, str]]:
        """What is new."""
        taken = list(self._new)
        self._new.clear()
        self._arrived.clear()
        self._ready.clear()
        return taken

    async def wait(self, seconds: float) -> None:
        """Until the engine says that it is ready, or after the first poll's time anything, or that long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), min(seconds, _FIRST_POLL_S))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), max(0.0, seconds - _FIRST_POLL_S))

    async def finish(self) -> None:
        """Read to the end of a server that ended."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_LOG_END_S)

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
