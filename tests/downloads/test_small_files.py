"""Small files of one download, side by side (D6, D12): quick while all goes well, careful about those that fail."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.downloads.bandwidth import Bandwidth
from core.downloads.partial import part_of
from core.downloads.run import DownloadRun, FileDone
from core.downloads.values import Cancelled, Limits
from core.errors import DownloadDenied, DownloadFailed, FileProblem, SourceLost, WrongBytes
from tests.downloads.many import CONTENTS, MANY, ODD, QUICK, TOKEN, asked, assert_all_there, names_in, run_of, serving
from tests.downloads.server import Fault, FileServer, Served
from tests.providers.certificates import server_context


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


def test_all_come_with_one_question_each(server: FileServer, tmp_path: Path) -> None:
    run = run_of(server, tmp_path)
    done = run.run()
    assert_all_there(tmp_path)
    assert sorted(request.path.strip("/") for request in server.requests) == sorted(CONTENTS)
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    assert {file.path: file.sha256 for file in done} == {
        name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()
    }
    assert run.bytes_done == run.received == sum(map(len, CONTENTS.values()))


def test_no_connection_is_left(server: FileServer, tmp_path: Path) -> None:
    run_of(server, tmp_path).run()
    port = int(server.base.rpartition(":")[2])
    assert not [one for one in psutil.Process().net_connections("tcp4") if one.raddr and one.raddr.port == port]


@pytest.mark.parametrize("bytes_per_s", [0, 2_000_000], ids=["no limit", "a limit that many keep"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_none_waits_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool, bytes_per_s: int
) -> None:
    context, certificate = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    together = threading.Event()
    late: list[int] = []

    def wait_for_others(number: int, start: int) -> None:
        if len(slow.requests) >= 12:
            together.set()
        if not together.wait(10):
            late.append(number)

    with serving(tls=context if secure else None) as slow:
        for served in slow.files.values():
            served.fault = wait_for_others
        run_of(slow, tmp_path / "models", limits=Limits(), bandwidth=Bandwidth(bytes_per_s)).run()
    assert not late
    assert_all_there(tmp_path / "models")


def test_what_came_and_was_lost_counts_as_come_and_not_as_there(server: FileServer, tmp_path: Path) -> None:
    """So that a speed does not fall below zero when a file begins anew."""
    seen = []

    def cut(number: int, start: int) -> Fault | None:
        seen.append((run.received, run.bytes_done))
        return Fault(cut_after=9_000) if number == 1 else None

    server.files[ODD].fault = cut
    run = run_of(server, tmp_path, names=[ODD])
    run.run()
    assert seen == [(0, 0), (9_000, 0)]
    assert (run.received, run.bytes_done) == (9_000 + len(CONTENTS[ODD]), len(CONTENTS[ODD]))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(cut_after=100),
        Fault(cut_after=0),
        Fault(flip=7),
        Fault(headers={"Content-Length": "999999"}, cut_after=5000),
    ],
    ids=["busy", "too many", "cut", "cut at once", "flipped", "lies"],
)
def test_one_that_fails_at_first_comes_another_time(server: FileServer, tmp_path: Path, fault: Fault) -> None:
    server.files[ODD].fault = lambda number, start: fault if number == 1 else None
    run_of(server, tmp_path).run()
    assert_all_there(tmp_path)
    assert asked(server, ODD) == 2
    assert len(server.requests) == MANY + 1, "the others are not asked for again"


def test_lines_that_break_everywhere(server: FileServer, tmp_path: Path) -> None:
    for name, served in server.files.items():
        cut = random.Random(name).randrange(len(served.content) + 1)
        served.fault = lambda number, start, cut=cut: Fault(cut_after=cut) if number <= 2 else None  # type: ignore[misc]
    run_of(server, tmp_path).run()
    assert_all_there(tmp_path)


def test_a_silent_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.files[ODD].fault = lambda number, start: Fault(stall_s=4.0) if number == 1 else None
    began = time.monotonic()
    run_of(server, tmp_path, limits=replace(QUICK, silence_s=1.0)).run()
    assert time.monotonic() - began < 3.5
    assert_all_there(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Served(content=CONTENTS[ODD][::-1]), WrongBytes),
        (Served(content=CONTENTS[ODD] + b"!"), WrongBytes),
        (Served(content=CONTENTS[ODD][:-1]), WrongBytes),
        (Served(content=b"", fault=lambda number, start: Fault(status=403)), DownloadDenied),
        (Served(content=b"", fault=lambda number, start: Fault(status=500)), SourceLost),
        (Served(content=b"", redirect="/part-1/40.json"), DownloadFailed),
        (Served(content=b"", redirect="ftp://127.0.0.1/x"), DownloadFailed),
    ],
    ids=["other bytes", "longer", "shorter", "refused", "broken", "in a circle", "another scheme"],
)
def test_one_that_does_not_come_is_named_and_nothing_of_it_kept(
    server: FileServer, tmp_path: Path, wrong: Served, error: type[Exception]
) -> None:
    server.files[ODD] = wrong
    with pytest.raises(error) as raised:
        run_of(server, tmp_path).run()
    assert "40.json" in f"{raised.value}"
    assert not (tmp_path / ODD).exists()
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path) if "/." not in name}.items() <= (
        CONTENTS.items()
    )


def test_a_server_that_is_gone_is_not_asked_for_every_file(tmp_path: Path) -> None:
    with serving() as server:
        for served in server.files.values():
            served.fault = lambda number, start: Fault(status=503)
        with pytest.raises(SourceLost):
            run_of(server, tmp_path).run()
        assert len(server.requests) < 40, "sixteen, and a few of them again"
    with pytest.raises(SourceLost):
        run_of(server, tmp_path).run()


def test_redirects_are_followed_and_another_host_gets_no_token(server: FileServer, tmp_path: Path) -> None:
    """As the Hub leads small files to a path of its own, and large ones to other hosts."""
    with serving("127.0.0.2") as other:
        moved = {name: f"moved/{name}" for name in CONTENTS}
        for number, (name, place) in enumerate(moved.items()):
            server.files[place] = server.files[name]
            server.files[name] = Served(content=b"", redirect=other.url(name) if number % 2 else f"/{place}")
        run_of(server, tmp_path).run()
        assert_all_there(tmp_path)
        assert {request.headers.get("Authorization") for request in other.requests} == {None}
        assert {request.headers.get("Authorization") for request in server.requests} == {f"Bearer {TOKEN}"}
        assert (len(other.requests), len(server.requests)) == (MANY / 2, MANY * 1.5)


def test_what_an_earlier_attempt_left_is_used(server: FileServer, tmp_path: Path) -> None:
    there, begun, whole = list(CONTENTS)[10:13]
    for name in (there, begun, whole):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_bytes(CONTENTS[there])
    (tmp_path / begun).with_name(part_of(Path(begun).name)).write_bytes(CONTENTS[begun][:50])
    (tmp_path / whole).with_name(part_of(Path(whole).name)).write_bytes(CONTENTS[whole])
    run_of(server, tmp_path).run()
    assert_all_there(tmp_path)
    assert (asked(server, there), asked(server, begun), asked(server, whole)) == (0, 1, 0)


def test_what_another_program_left_meanwhile_is_not_in_the_file(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ODD).parent.mkdir()
    part = (tmp_path / ODD).with_name(part_of(Path(ODD).name))

    def leave_more(number: int, start: int) -> None:
        part.write_bytes(CONTENTS[ODD] + b"more")

    server.files[ODD].fault = leave_more
    run_of(server, tmp_path).run()
    assert_all_there(tmp_path)


def test_a_file_of_somebody_else_is_left_alone(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / ODD).parent.mkdir()
    (tmp_path / ODD).write_bytes(b"mine")
    with pytest.raises(FileProblem):
        run_of(server, tmp_path).run()
    assert (tmp_path / ODD).read_bytes() == b"mine"


def test_no_folder_on_the_way_may_be_a_link(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "part-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileProblem, match="link"):
        run_of(server, tmp_path / "models").run()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@contextmanager
def running(run: DownloadRun, *, until: Callable[[], bool]) -> Iterator[Future[list[FileDone]]]:
    """It goes on in a thread; the block begins when `until` says yes."""
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run.run)
        end = time.monotonic() + 10
        while not until() and time.monotonic() < end:
            time.sleep(0.01)
        try:
            yield ended
        finally:
            run.cancel()


def test_it_is_told_what_has_come_of_slow_ones_and_it_stops_at_once(server: FileServer, tmp_path: Path) -> None:
    for served in server.files.values():
        served.slow_s, served.piece = 0.3, 100
    run = run_of(server, tmp_path)
    with running(run, until=lambda: run.received >= 1500) as ended:
        assert run.bytes_done >= 1500
        assert run.finished == []
        run.cancel()
        with pytest.raises(Cancelled):
            ended.result(2)
    for served in server.files.values():
        served.slow_s = 0.0
    run_of(server, tmp_path).run()
    assert_all_there(tmp_path)


def test_the_bandwidth_is_kept(server: FileServer, tmp_path: Path) -> None:
    bandwidth = Bandwidth(200_000)
    run = run_of(server, tmp_path, bandwidth=bandwidth)
    began = time.monotonic()
    with running(run, until=lambda: run.received > 150_000) as ended:
        assert run.received < 200_000 * (time.monotonic() - began + 1) + 20_000
        assert server.sent < run.received + 110_000, "no more is on its way than half a second brings"
        bandwidth.limit_to(0)
        ended.result(5)
    assert_all_there(tmp_path)
