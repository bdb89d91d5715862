"""A file comes whole and right or not at all, whatever the line, the server and the machine do meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.downloads import partial, side_by_side, sink, transfer
from core.downloads.bandwidth import Bandwidth
from core.downloads.http import Version
from core.downloads.partial import Note, Partial
from core.downloads.transfer import Cancelled, Transfer
from core.downloads.values import Address, Fetched, Limits, RemoteFile
from core.errors import (
    DiskFull,
    DownloadDenied,
    DownloadFailed,
    FileProblem,
    SourceGone,
    SourceLost,
    WrongBytes,
)
from tests.downloads.server import Fault, FileServer, Served

QUICK = Limits(first_wait_s=0.01, longest_wait_s=0.05, silence_s=2.0)
CONTENT = random.Random(7).randbytes(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as server:
        yield server


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few hundred kilobytes, so that three megabytes have several."""
    monkeypatch.setattr(transfer, "_LEAST_PART", 300_000)
    monkeypatch.setattr(transfer, "SMALL", 0)
    monkeypatch.setattr(partial, "SMALL", 0)
    monkeypatch.setattr(sink, "SMALL", 0)
    monkeypatch.setattr(transfer, "PIECE", 65_536)
    monkeypatch.setattr(side_by_side, "PIECE", 65_536)
    monkeypatch.setattr(side_by_side, "_GROW_S", 0.0)


def get(
    server: FileServer, folder: Path, *, name: str = "model.gguf", limits: Limits = QUICK, sha: str = SHA
) -> Fetched:
    return Transfer(RemoteFile.at(server.url(name), sha256=sha), folder / name, limits=limits).run()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_in_parts_side_by_side(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.002)
    fetched = get(server, tmp_path)
    assert (fetched.size, fetched.sha256, fetched.received) == (len(CONTENT), SHA, len(CONTENT))
    assert (tmp_path / "model.gguf").read_bytes() == CONTENT
    assert left(tmp_path) == ["model.gguf"]
    assert len(server.requests) >= 4


@pytest.mark.parametrize("size", [0, 1, 65_536])
def test_small_files(server: FileServer, tmp_path: Path, size: int) -> None:
    server.files["model.gguf"] = Served(content=CONTENT[:size])
    fetched = get(server, tmp_path, sha=hashlib.sha256(CONTENT[:size]).hexdigest())
    assert (fetched.path.read_bytes(), len(server.requests)) == (CONTENT[:size], 1)


@pytest.mark.parametrize("length", [True, False])
def test_a_server_without_ranges(server: FileServer, tmp_path: Path, length: bool) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, ranges=False, length=length)
    assert get(server, tmp_path).path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_the_line_is_cut_at_random_bytes(server: FileServer, tmp_path: Path) -> None:
    chance = random.Random(1)

    def fault(number: int, start: int) -> Fault | None:
        return Fault(cut_after=chance.randrange(200_000)) if number % 3 else None

    server.files["model.gguf"] = Served(content=CONTENT, fault=fault)
    assert get(server, tmp_path).path.read_bytes() == CONTENT
    assert server.sent <= len(CONTENT) * 1.01 + 4 * (2 << 20)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_asks_to_wait(server: FileServer, tmp_path: Path, status: int) -> None:
    busy = Fault(status=status, headers={"Retry-After": "0"})
    server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: busy if number <= 3 else None)
    assert get(server, tmp_path).path.read_bytes() == CONTENT


def test_a_server_that_never_recovers(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: Fault(status=503))
    with pytest.raises(SourceLost) as failure:
        get(server, tmp_path, limits=replace(QUICK, tries=3))
    assert ("503" in failure.value.cause, len(server.requests)) == (True, 4)


def test_a_silent_server(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: Fault(stall_s=1.0))
    with pytest.raises(SourceLost):
        get(server, tmp_path, limits=replace(QUICK, silence_s=0.2, tries=1))


@pytest.mark.parametrize(("status", "error"), [(401, DownloadDenied), (403, DownloadDenied), (404, SourceGone)])
def test_refusals_are_not_repeated(
    server: FileServer, tmp_path: Path, status: int, error: type[DownloadFailed]
) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: Fault(status=status))
    with pytest.raises(error):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert left(tmp_path) == []


def test_bytes_that_changed_on_the_way(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: Fault(flip=1_234_567))
    with pytest.raises(WrongBytes):
        get(server, tmp_path)
    assert left(tmp_path) == []


def test_another_size_than_announced(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT)
    with pytest.raises(WrongBytes):
        Transfer(RemoteFile.at(server.url("model.gguf"), size=5), tmp_path / "x", limits=QUICK).run()


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_size_than_announced_of_an_answer_without_one(server: FileServer, tmp_path: Path, size: int) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, ranges=False, length=False)
    with pytest.raises((WrongBytes, SourceLost)):
        Transfer(RemoteFile.at(server.url("model.gguf"), size=size), tmp_path / "x", limits=QUICK).run()
    assert not (tmp_path / "x").exists()


def test_an_answer_without_a_size_that_breaks_off_begins_again(server: FileServer, tmp_path: Path) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT, ranges=False, length=False)
    served.fault = lambda number, start: Fault(cut_after=5000) if number == 1 else None
    remote = RemoteFile.at(server.url("model.gguf"), size=len(CONTENT))
    assert Transfer(remote, tmp_path / "x", limits=QUICK).run().path.read_bytes() == CONTENT


def test_more_than_announced_is_not_waited_for(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, ranges=False, length=False, slow_s=0.05)
    with pytest.raises(WrongBytes):
        Transfer(RemoteFile.at(server.url("model.gguf"), size=1000), tmp_path / "x", limits=QUICK).run()
    assert server.sent < len(CONTENT)


def test_a_file_that_changes_between_two_ranges(server: FileServer, tmp_path: Path) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT)

    def change(number: int, start: int) -> Fault | None:
        if number == 2:
            served.content, served.etag = bytes(reversed(CONTENT)), '"two"'
        return Fault(cut_after=100_000) if number == 1 else None

    served.fault = change
    with pytest.raises(WrongBytes) as failure:
        get(server, tmp_path, sha="", limits=replace(QUICK, connections=1))
    assert "changed at its source" in failure.value.message
    assert left(tmp_path) == []
    assert get(server, tmp_path, sha="").path.read_bytes() == bytes(reversed(CONTENT))


def test_a_token_does_not_follow_to_another_host(server: FileServer, tmp_path: Path) -> None:
    with FileServer().running() as other:
        other.files["cdn/model.gguf"] = Served(content=CONTENT)
        server.files["model.gguf"] = Served(content=b"", redirect=other.url("cdn/model.gguf"))
        remote = RemoteFile.at(server.url("model.gguf"), sha256=SHA, Authorization="Bearer planted-4711")
        assert Transfer(remote, tmp_path / "model.gguf", limits=QUICK).run().size == len(CONTENT)
        assert all(request.headers["Authorization"] == "Bearer planted-4711" for request in server.requests)
        assert not any("planted-4711" in str(request.headers) for request in other.requests)


def test_a_token_stays_on_its_host_over_a_redirect_there(server: FileServer, tmp_path: Path) -> None:
    server.files["new/model.gguf"] = Served(content=CONTENT)
    server.files["model.gguf"] = Served(content=b"", redirect="/new/model.gguf")
    remote = RemoteFile.at(server.url("model.gguf"), Authorization="Bearer t")
    Transfer(remote, tmp_path / "model.gguf", limits=QUICK).run()
    assert all("Authorization" in request.headers for request in server.requests)


def test_redirects_in_a_circle(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=b"", redirect=server.url("model.gguf"))
    with pytest.raises(DownloadFailed, match="circle"):
        get(server, tmp_path)


def test_a_signed_address_that_expires_is_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    with FileServer().running() as cdn:
        expired = Fault(status=403)
        cdn.files["f"] = Served(
            content=CONTENT, fault=lambda number, start: expired if number == 2 else None, slow_s=0.001
        )
        server.files["model.gguf"] = Served(content=b"", redirect=cdn.url("f?signature=1"))
        asked: list[int] = []

        def address() -> Address:
            asked.append(1)
            return Address(url=server.url("model.gguf"))

        Transfer(RemoteFile(address=address, sha256=SHA), tmp_path / "f", limits=QUICK).run()
        assert (tmp_path / "f").read_bytes() == CONTENT
        assert len(asked) == 2


def interrupted(server: FileServer, folder: Path, *, at: int, sha: str = SHA) -> None:
    """Cancel a transfer once `at` bytes are there."""
    job = Transfer(RemoteFile.at(server.url("model.gguf"), sha256=sha), folder / "model.gguf", limits=QUICK)
    watcher = threading.Thread(target=_cancel_at, args=(job, at))
    watcher.start()
    with pytest.raises(Cancelled):
        job.run()
    watcher.join()


def _cancel_at(job: Transfer, at: int) -> None:
    deadline = time.monotonic() + 20
    while job.done < at and time.monotonic() < deadline:
        time.sleep(0.001)
    job.cancel()


@pytest.mark.parametrize("sha", [SHA, ""])
def test_a_cancelled_one_goes_on_where_it_was(server: FileServer, tmp_path: Path, sha: str) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.01)
    interrupted(server, tmp_path, at=1_000_000, sha=sha)
    assert left(tmp_path) == [".model.gguf.part", ".model.gguf.part.json"]
    served.slow_s = 0
    fetched = get(server, tmp_path, sha=sha)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.sha256 == SHA
    assert fetched.received <= len(CONTENT) - 1_000_000 + 4 * side_by_side.PIECE
    assert left(tmp_path) == ["model.gguf"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.01)
    interrupted(server, tmp_path, at=1_000_000, sha="")
    other = bytes(reversed(CONTENT))
    served.content, served.etag, served.slow_s = other, '"two"', 0
    fetched = get(server, tmp_path, sha="")
    assert (fetched.path.read_bytes(), fetched.received) == (other, len(CONTENT))


def test_without_tag_and_hash_nothing_is_trusted(server: FileServer, tmp_path: Path) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.01, etag="")
    interrupted(server, tmp_path, at=1_000_000, sha="")
    served.slow_s = 0
    assert get(server, tmp_path, sha="").received == len(CONTENT)


def test_a_part_that_was_damaged_is_noticed(server: FileServer, tmp_path: Path) -> None:
    served = server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.01)
    interrupted(server, tmp_path, at=1_000_000)
    with (tmp_path / ".model.gguf.part").open("r+b") as part:
        part.write(b"other")
    served.slow_s = 0
    with pytest.raises(WrongBytes):
        get(server, tmp_path)
    assert get(server, tmp_path).path.read_bytes() == CONTENT


@given(note=st.binary(max_size=60))
@settings(max_examples=30, deadline=None)
def test_notes_that_are_none(tmp_path_factory: pytest.TempPathFactory, note: bytes) -> None:
    folder = tmp_path_factory.mktemp("notes")
    (folder / ".x.part.json").write_bytes(note)
    (folder / ".x.part").write_bytes(b"abc")
    assert Partial(folder / "x").read_note() is None


@given(st.lists(st.integers(0, 1000), max_size=12, unique=True))
@settings(max_examples=60, deadline=None)
def test_what_is_missing_is_what_is_not_there(edges: list[int]) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    done = tuple(zip(edges[::2], edges[1::2], strict=True))
    note = Note(version=Version(size=1000, tag=""), done=done)
    there = {byte for start, end in done for byte in range(start, end)}
    assert {byte for start, end in note.missing for byte in range(start, end)} == set(range(1000)) - there


def test_nothing_is_overwritten(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.01)
    (tmp_path / "model.gguf").write_text("mine")
    with pytest.raises(FileProblem):
        get(server, tmp_path)
    (tmp_path / "model.gguf").unlink()
    job = Transfer(RemoteFile.at(server.url("model.gguf")), tmp_path / "model.gguf", limits=QUICK)
    threading.Thread(target=_appear, args=(job, tmp_path / "model.gguf")).start()
    with pytest.raises(FileProblem):
        job.run()
    assert (tmp_path / "model.gguf").read_text() == "mine"


def _appear(job: Transfer, path: Path) -> None:
    while job.done < 100_000:
        time.sleep(0.001)
    path.write_text("mine")


def test_a_link_in_the_parts_place_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".model.gguf.part").symlink_to(victim)
    assert get(server, tmp_path / "models").path.read_bytes() == CONTENT
    assert victim.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(server: FileServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    try:
        server.files["model.gguf"] = Served(content=CONTENT)
        with pytest.raises(DiskFull) as failure:
            get(server, small)
        assert "needs 2.9 MiB" in failure.value.message
        assert left(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_the_bandwidth_is_kept(server: FileServer, tmp_path: Path) -> None:
    server.files["model.gguf"] = Served(content=CONTENT)
    limit = Bandwidth(2_000_000)
    started = time.monotonic()
    Transfer(RemoteFile.at(server.url("model.gguf")), tmp_path / "f", limits=QUICK, bandwidth=limit).run()
    assert time.monotonic() - started >= 0.45  # a second's worth may pass at once


_CHILD = """
import sys
from pathlib import Path
from core.downloads import side_by_side, sink, transfer
from core.downloads.values import Limits, RemoteFile
transfer._LEAST_PART, transfer.PIECE, side_by_side.PIECE, side_by_side._NOTE_STEP = 300_000, 65_536, 65_536, 65_536
sink.SMALL = 0
url, target, sha = sys.argv[1:]
print("ready", flush=True)
transfer.Transfer(RemoteFile.at(url, sha256=sha), Path(target), limits=Limits(first_wait_s=0.01)).run()
print("done", flush=True)
"""


def test_killed_at_random_moments_it_goes_on(server: FileServer, tmp_path: Path) -> None:
    chance, kills, target = random.Random(3), 0, tmp_path / "model.gguf"
    server.files["model.gguf"] = Served(content=CONTENT, slow_s=0.02)
    while not target.exists():
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, server.url("model.gguf"), str(target), SHA], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.15) + 0.01 * kills)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
        assert kills < 60
        if kills == 12:
            server.files["model.gguf"].slow_s = 0
    assert target.read_bytes() == CONTENT
    assert kills >= 2
