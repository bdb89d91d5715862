"""What the Docker Engine says of containers, as our values; pure, so that recorded answers test it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.runtimes.base import Happening, Observed, Phase

ACTIONS = ("create", "start", "die", "stop", "destroy", "oom")
_NOT_LABELS = frozenset({"name", "image", "exitCode", "execDuration", "signal"})

_PHASES = {
    "created": Phase.CREATED,
    "configured": Phase.CREATED,  # Podman's words for one that was never started
    "initialized": Phase.CREATED,
    "running": Phase.UP,
    "paused": Phase.UP,
    "restarting": Phase.RESTARTING,
}
_AGE = re.compile(r"(?:^Up |\) )(?:(About an?|\d+) )(second|minute|hour|day|week|month|year)")
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}
_HOUR_ROUNDING = 1800


def observed(details: Mapping[str, Any]) -> Observed:
    """A container from `GET /containers/ID/json`."""
    state, config, host = details["State"], details["Config"], details["HostConfig"]
    phase = _PHASES.get(state["Status"], Phase.EXITED)
    bind, port = _published(details)
    return Observed(
        id=details["Id"],
        name=details["Name"].removeprefix("/"),
        image=config["Image"],
        phase=phase,
        labels=config.get("Labels") or {},
        argv=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        bind=bind,
        port=port,
        gpus=_gpus(host),
        exit_code=state.get("ExitCode") if phase in {Phase.EXITED, Phase.RESTARTING} else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        restarts=int(details.get("RestartCount") or 0),
        created_at=parse_time(details.get("Created")),
        started_at=parse_time(state.get("StartedAt")),
        finished_at=parse_time(state.get("FinishedAt")),
    )


def _published(details: Mapping[str, Any]) -> tuple[str, int | None]:
    """Where it listens on the host: as it is while running, else as it was asked for."""
    asked = details["HostConfig"].get("PortBindings") or {}
    actual = (details.get("NetworkSettings") or {}).get("Ports") or {}
    for ports in (actual, asked):
        for bindings in ports.values():
            for binding in bindings or ():
                if str(binding.get("HostPort", "")).isdecimal():
                    return str(binding.get("HostIp", "")), int(binding["HostPort"]) or None
    return "", None


def _gpus(host: Mapping[str, Any]) -> tuple[str, ...]:
    ids = (device for request in host.get("DeviceRequests") or () for device in request.get("DeviceIDs") or ())
    return tuple(device.removeprefix("nvidia.com/gpu=") for device in ids)


def parse_time(text: str | None) -> datetime | None:
    """A time of the engine (nanoseconds, UTC or an offset); its zero time is None."""
    if not text or text.startswith("0001-"):
        return None
    shortened = re.sub(r"(\.\d{6})\d+", r"\1", text)
    return datetime.fromisoformat(shortened)


def settled_for(status: str) -> float | None:
    """At least how many seconds a container has been in its state, from a list's "Up 5 minutes"; None: it doesn't say.

    The engine rounds hours to the nearest one and everything else down.
    """
    match = _AGE.search(status)
    if match is None:
        return None
    count = int(match.group(1)) if match.group(1).isdecimal() else 1
    unit = match.group(2)
    rounding = _HOUR_ROUNDING if unit == "hour" and count > 1 else 0
    return float(count * _SECONDS[unit] - rounding)


def happening(line: bytes) -> Happening | None:
    """One event of `GET /events`; None for those that say nothing about a server's life."""
    event = json.loads(line)
    action = event.get("Action") or event.get("status") or ""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    if action not in ACTIONS:
        return None
    labels = {key: value for key, value in attributes.items() if key not in _NOT_LABELS}
    return Happening(action=action, id=actor.get("ID", ""), name=attributes.get("name", ""), labels=labels)


def memory_in_use(stats: Mapping[str, Any]) -> float | None:
    """Bytes without the page cache that the kernel can drop, as `docker stats` counts; None when not running."""
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return float(memory["usage"] - cache if cache < memory["usage"] else memory["usage"])


def cpu_percent(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Percent of one CPU between two samples (two busy CPUs are 200); None when they don't tell."""
    try:
        used = after["cpu_stats"]["cpu_usage"]["total_usage"] - before["cpu_stats"]["cpu_usage"]["total_usage"]
        passed = after["cpu_stats"]["system_cpu_usage"] - before["cpu_stats"]["system_cpu_usage"]
        cpus = after["cpu_stats"].get("online_cpus") or 1
    except KeyError:
        return None
    return 100.0 * cpus * used / passed if passed > 0 and used >= 0 else None


class PullProgress:
    """The layers of an image being fetched, as bytes done and in total."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def feed(self, message: Mapping[str, Any]) -> tuple[int, int | None] | None:
        """The sums after this message, None when it changes none of them."""
        layer = str(message.get("id", ""))
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif message.get("status") in {"Download complete", "Pull complete"} and layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2
        else:
            return None
        done, total = (sum(column) for column in zip(*self._layers.values(), strict=True))
        return done, total
