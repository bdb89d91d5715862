"""How fast bytes move, and when that tells a time left (D6)."""

from __future__ import annotations

from core.downloads.speed import Speed
from core.registry.jobs import Job

MB = 1_000_000


def test_the_wait_for_the_first_byte_is_none_of_its_speed() -> None:
    """D6: a login of a minute doesn't make 4 days of a minute's copy."""
    speed = Speed(0.0)
    assert {speed.after(second / 2, 0) for second in range(1, 120)} == {0.0}
    assert speed.after(60.0, 5 * MB) == 10 * MB
    assert speed.is_early(400 * MB)
    for half in range(1, 7):
        speed.after(60.0 + half / 2, (half + 1) * 5 * MB)
    assert not speed.is_early(400 * MB)
    assert speed.after(63.5, 40 * MB) == 10 * MB


def test_a_part_of_the_work_is_enough() -> None:
    speed = Speed(0.0, 70 * MB)
    speed.after(0.5, 71 * MB)
    assert (speed.is_early(100 * MB), speed.is_early(20 * MB)) == (True, False)


def test_after_a_pause_of_the_line_it_begins_anew() -> None:
    speed = Speed(0.0)
    rates = [speed.after(half / 2, min(half, 10) * MB) for half in range(1, 40)]
    assert (rates[8], rates[-1], speed.is_early(None)) == (2 * MB, 0.0, True)
    assert speed.after(20.0, 11 * MB) == 2 * MB
    assert speed.is_early(1000 * MB)


def test_how_long_nothing_has_moved() -> None:
    speed = Speed(10.0)
    speed.after(12.0, 0)
    assert speed.still_s == 2.0
    speed.after(13.0, MB)
    assert speed.still_s == 0.0
    speed.after(20.0, MB)
    assert speed.still_s == 7.0


def test_a_job_tells_no_time_left_by_a_speed_of_its_first_seconds() -> None:
    """D6: the same rule for downloads, copies and what hosts fetch: all are jobs."""
    job = Job(user_id="ada", title="x", state="running", bytes_total=100, bytes_done=10, rate=9.0, is_early=True)
    assert job.eta_s is None
    job.is_early = False
    assert job.eta_s == 10.0
