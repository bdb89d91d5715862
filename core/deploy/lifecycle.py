"""The states of a server and the one table of what may follow what (L3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from core.errors import NotAllowed
from core.registry.values import ServerStatus as S


class Trigger(StrEnum):
    """What moves a server from state to state: wishes (…_asked), errors, and what its host shows."""

    START_ASKED = "start asked"
    STOP_ASKED = "stop asked"
    UP = "up, not answering yet"
    HEALTHY = "answers its health check"
    ENDED = "ended in good order"
    CRASHED = "crashed"
    GONE = "not on the host any more"
    ERROR = "an error in this stage"
    INTERRUPTED = "the program that worked on it is gone"


TRANSITIONS: Mapping[tuple[S, Trigger], S] = {
    (S.STOPPED, Trigger.START_ASKED): S.STARTING,
    (S.STOPPED, Trigger.UP): S.LOADING,
    (S.STOPPED, Trigger.HEALTHY): S.RUNNING,
    (S.STOPPED, Trigger.ENDED): S.STOPPED,
    (S.STOPPED, Trigger.CRASHED): S.STOPPED,
    (S.STOPPED, Trigger.GONE): S.STOPPED,
    (S.STOPPED, Trigger.ERROR): S.FAILED,
    (S.STARTING, Trigger.STOP_ASKED): S.STOPPING,
    (S.STARTING, Trigger.UP): S.LOADING,
    (S.STARTING, Trigger.HEALTHY): S.RUNNING,
    (S.STARTING, Trigger.ENDED): S.FAILED,
    (S.STARTING, Trigger.CRASHED): S.FAILED,
    (S.STARTING, Trigger.GONE): S.FAILED,
    (S.STARTING, Trigger.ERROR): S.FAILED,
    (S.STARTING, Trigger.INTERRUPTED): S.FAILED,
    (S.LOADING, Trigger.STOP_ASKED): S.STOPPING,
    (S.LOADING, Trigger.UP): S.LOADING,
    (S.LOADING, Trigger.HEALTHY): S.RUNNING,
    (S.LOADING, Trigger.ENDED): S.STOPPED,
    (S.LOADING, Trigger.CRASHED): S.FAILED,
    (S.LOADING, Trigger.GONE): S.STOPPED,
    (S.LOADING, Trigger.ERROR): S.FAILED,
    (S.LOADING, Trigger.INTERRUPTED): S.LOADING,
    (S.RUNNING, Trigger.STOP_ASKED): S.STOPPING,
    (S.RUNNING, Trigger.UP): S.LOADING,
    (S.RUNNING, Trigger.HEALTHY): S.RUNNING,
    (S.RUNNING, Trigger.ENDED): S.STOPPED,
    (S.RUNNING, Trigger.CRASHED): S.FAILED,
    (S.RUNNING, Trigger.GONE): S.STOPPED,
    (S.RUNNING, Trigger.ERROR): S.FAILED,
    (S.RUNNING, Trigger.INTERRUPTED): S.RUNNING,
    (S.STOPPING, Trigger.UP): S.STOPPING,
    (S.STOPPING, Trigger.HEALTHY): S.STOPPING,
    (S.STOPPING, Trigger.ENDED): S.STOPPED,
    (S.STOPPING, Trigger.CRASHED): S.STOPPED,
    (S.STOPPING, Trigger.GONE): S.STOPPED,
    (S.STOPPING, Trigger.ERROR): S.FAILED,
    (S.STOPPING, Trigger.INTERRUPTED): S.LOADING,
    (S.FAILED, Trigger.START_ASKED): S.STARTING,
    (S.FAILED, Trigger.STOP_ASKED): S.STOPPING,
    (S.FAILED, Trigger.UP): S.LOADING,
    (S.FAILED, Trigger.HEALTHY): S.RUNNING,
    (S.FAILED, Trigger.ENDED): S.FAILED,
    (S.FAILED, Trigger.CRASHED): S.FAILED,
    (S.FAILED, Trigger.GONE): S.FAILED,
    (S.FAILED, Trigger.ERROR): S.FAILED,
}


def follow(status: str, trigger: Trigger) -> S:
    """The state after `trigger`.

    Raises:
        NotAllowed: nothing may follow so, such as a stop of what is stopped.
    """
    before = S(status)
    after = TRANSITIONS.get((before, trigger))
    if after is None:
        raise NotAllowed(f"A server that is {before} can't take: {trigger}.")
    return after
