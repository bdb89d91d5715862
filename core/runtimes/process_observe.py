"""What the folder of a process server says, as our values, and what happened between two looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from core.runtimes import process_files as files
from core.runtimes.base import Happening, Observed, Phase

_PHASES = {"up": Phase.UP, "restarting": Phase.RESTARTING}


def observed(folder: Path) -> Observed | None:
    """The server in a folder; None when it holds none, or it is being removed."""
    server, state = files.read_json(folder / files.SERVER), files.read_json(folder / files.STATE)
    if "spec" not in server:
        return None
    spec = server["spec"]
    phase = _phase(state)
    return Observed(
        id=folder.name,
        name=spec["name"],
        image=spec["image"],
        phase=phase,
        labels=spec["labels"],
        argv=tuple(spec["argv"]),
        bind=spec["bind"],
        port=spec["port"] or None,
        gpus=tuple(spec["gpus"]),
        exit_code=state.get("exit_code") if phase in {Phase.EXITED, Phase.RESTARTING} else None,
        error=_error(state, phase),
        restarts=int(state.get("restarts", 0)),
        created_at=_time(server.get("created_at")),
        started_at=_time(state.get("started_at")),
        finished_at=_time(state.get("finished_at")),
    )


def _phase(state: Mapping[str, Any]) -> Phase:
    if not state:
        return Phase.CREATED
    return _PHASES.get(state.get("phase", ""), Phase.EXITED) if files.is_supervised(state) else Phase.EXITED


def _error(state: Mapping[str, Any], phase: Phase) -> str:
    if phase is Phase.EXITED and state.get("phase") != "exited":
        again = state.get("boot") != files.boot_id()
        return "this machine was restarted" if again else "its supervisor was killed, and the server with it"
    return str(state.get("error", ""))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def changes(before: Mapping[str, Observed], after: Mapping[str, Observed]) -> Iterator[Happening]:
    """What must have happened between two looks, oldest first; a crash in between is a "die" and a "start"."""
    for server in after.values():
        for action in _actions(before.get(server.id), server):
            yield _happening(action, server)
    for server in before.values():
        if server.id not in after:
            if server.phase is Phase.UP:
                yield _happening("die", server)
            yield _happening("destroy", server)


def _actions(before: Observed | None, after: Observed) -> Iterator[str]:
    if before is None:
        yield "create"
    was_up = before is not None and before.phase is Phase.UP
    is_up = after.phase is Phase.UP
    started_at = before.started_at if before else None
    started = after.started_at is not None and after.started_at != started_at
    if was_up and (started or not is_up):
        yield "die"
    if started:
        yield "start"
        if not is_up:
            yield "die"
    if after.phase is Phase.EXITED and before is not None and before.phase is not Phase.EXITED:
        yield "stop"


def _happening(action: str, server: Observed) -> Happening:
    return Happening(action=action, id=server.id, name=server.name, labels=server.labels)


def cpu_and_memory(pid: int) -> tuple[float, float] | None:
    """CPU seconds used and bytes in memory of a process and all below it; None when it is gone."""
    import psutil

    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return None
    seconds = memory = 0.0
    for member in family:
        try:
            with member.oneshot():
                times, size = member.cpu_times(), member.memory_info().rss
        except psutil.Error:
            continue
        seconds += times.user + times.system
        memory += size
    return seconds, memory
