"""Small work in threads: few where it is quick, many where it waits, and other work when there is time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from core.downloads.few_or_many import FewOrMany

ITEMS = range(60)


class Watched:
    """What was worked on, how many threads did it, and when there was time for other work."""

    def __init__(self, work: Callable[[int], None], *, most: int = 8) -> None:
        self.done: list[int] = []
        self.threads: set[int] = set()
        self.spare_after: list[int] = []
        with ThreadPoolExecutor(most) as pool:
            self.few = FewOrMany(pool, self._note(work), most=most, spare=self._spare)
            self.few.begin(ITEMS)
            while not all(one.done() for one in self.few.running()):
                wait(self.few.running())
        self.errors = [error for one in self.few.running() if (error := one.exception())]

    def _note(self, work: Callable[[int], None]) -> Callable[[int], None]:
        def noted(item: int) -> None:
            work(item)
            self.threads.add(threading.get_ident())
            self.done.append(item)

        return noted

    def _spare(self) -> None:
        self.spare_after.append(len(self.done))


def test_work_that_does_not_wait_has_one_thread_and_all_the_time() -> None:
    seen = Watched(lambda item: None)
    assert sorted(seen.done) == list(ITEMS)
    assert len(seen.threads) == 1
    assert seen.spare_after == [len(ITEMS)], "no sooner than the last item is done"


def test_work_that_waits_has_many_threads_and_lets_other_work_begin_at_once() -> None:
    seen = Watched(lambda item: time.sleep(0.03))
    assert sorted(seen.done) == list(ITEMS)
    assert len(seen.threads) == 8
    assert len(seen.spare_after) == 1
    assert seen.spare_after[0] < 12


def test_an_error_ends_its_thread_and_is_there_to_be_asked_for() -> None:
    def fails(item: int) -> None:
        if item == 20:
            raise ValueError(item)

    seen = Watched(fails)
    assert [str(error) for error in seen.errors] == ["20"]


def test_without_work_there_is_time_at_once() -> None:
    told: list[bool] = []
    with ThreadPoolExecutor(1) as pool:
        few = FewOrMany[int](pool, lambda item: None, most=1, spare=lambda: told.append(True))
        few.begin([])
        assert told == [True]
        assert few.running() == []


@pytest.mark.parametrize("stops_at", [0, 5])
def test_stopped_it_begins_nothing_more(stops_at: int) -> None:
    done: list[int] = []
    told: list[bool] = []
    with ThreadPoolExecutor(1) as pool:

        def work(item: int) -> None:
            done.append(item)
            if item == stops_at:
                few.stop()

        few = FewOrMany(pool, work, most=1, spare=lambda: told.append(True))
        few.begin(ITEMS)
    assert done == list(range(stops_at + 1))
    assert told == []
