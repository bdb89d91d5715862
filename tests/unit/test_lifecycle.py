"""The one transition table (L3), exhaustively."""

from __future__ import annotations

import itertools

import pytest

from core.deploy.lifecycle import TRANSITIONS, Trigger, follow
from core.errors import NotAllowed
from core.registry.values import ServerStatus as S

REFUSED = {
    (S.STOPPED, Trigger.STOP_ASKED),
    (S.STOPPED, Trigger.INTERRUPTED),
    (S.STARTING, Trigger.START_ASKED),
    (S.LOADING, Trigger.START_ASKED),
    (S.RUNNING, Trigger.START_ASKED),
    (S.STOPPING, Trigger.START_ASKED),
    (S.STOPPING, Trigger.STOP_ASKED),
    (S.FAILED, Trigger.INTERRUPTED),
}


@pytest.mark.parametrize(("status", "trigger"), list(itertools.product(S, Trigger)))
def test_every_pair_is_decided(status: S, trigger: Trigger) -> None:
    if (status, trigger) in REFUSED:
        with pytest.raises(NotAllowed):
            follow(status, trigger)
    else:
        assert follow(status, trigger) == TRANSITIONS[status, trigger]


@pytest.mark.parametrize("status", S)
def test_an_error_in_any_stage_ends_in_failed(status: S) -> None:
    assert follow(status, Trigger.ERROR) is S.FAILED


def test_the_way_of_a_server() -> None:
    status = S.STOPPED
    seen = []
    for trigger in (Trigger.START_ASKED, Trigger.UP, Trigger.HEALTHY, Trigger.STOP_ASKED, Trigger.ENDED):
        status = follow(status, trigger)
        seen.append(status)
    assert seen == [S.STARTING, S.LOADING, S.RUNNING, S.STOPPING, S.STOPPED]


def test_truth_of_the_host_wins_from_every_settled_state() -> None:
    for status in (S.STOPPED, S.FAILED, S.LOADING, S.RUNNING):
        assert follow(status, Trigger.HEALTHY) is S.RUNNING
