"""The worker's engine killed a hundred times, disks and clocks that fail, servers that lie: complete, or told why.

More faults of one file are in test_transfer.py, those of a Hub in test_huggingface.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from email.utils import formatdate
from pathlib import Path

import pytest

from core.downloads.placing import How, Placing
from core.downloads.run import DownloadRun
from core.downloads.sink import Sink
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.transfer import Transfer
from core.downloads.values import Limits, RemoteFile
from core.errors import FileProblem, SourceLost
from core.settings import Settings
from tests.downloads import victim
from tests.downloads.server import Fault, FileServer, Served

QUICK = Limits(first_wait_s=0.01, longest_wait_s=5.0, silence_s=2.0)
CONTENT = random.Random(5).randbytes(1_500_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as server:
        yield server


def get(server: FileServer, folder: Path, *, limits: Limits = QUICK) -> Path:
    """One file, small enough to come in one go."""
    remote = RemoteFile.at(server.url("model.gguf"), sha256=SHA)
    return Transfer(remote, folder / "model.gguf", limits=limits).run().path


ON_THE_WAY = 128 << 10  # bytes that the server has sent and the kernel holds for a program that is killed


class Victims:
    """The program that forks them; see victim.py."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.downloads.victim"], stdin=pipe, stdout=pipe, text=True
        )

    def begin(self, listing: Listing, folder: Path, *, most: int = 0) -> int:
        """The pid of one that downloads."""
        folder.mkdir(exist_ok=True)
        return self._tell({"listing": listing.as_dict(), "folder": str(folder), "most": most})

    def begin_worker(self, settings: Settings) -> int:
        """The pid of a whole worker."""
        return self._tell({"settings": json.dumps(asdict(settings), default=str)})

    def _tell(self, what: dict[str, object]) -> int:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(what) + "\n")
        self._program.stdin.flush()
        return self._answer()

    def ended(self) -> int:
        """How the last one ended."""
        return self._answer()

    def close(self) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(20)
        self._program.stdout.close()

    def _answer(self) -> int:
        assert self._program.stdout is not None
        return int(self._program.stdout.readline())


@pytest.fixture
def victims() -> Iterator[Victims]:
    victims = Victims()
    yield victims
    victims.close()


def offered(server: FileServer, contents: dict[str, bytes], *, unhashed: str = "", slow_s: float = 0.0) -> Listing:
    """A listing of files that the server has now."""
    for name, content in contents.items():
        server.files[name] = Served(content=content, piece=8192, slow_s=slow_s)
    files = tuple(
        SourceFile(
            path=name,
            size=len(content),
            url=server.url(name),
            sha256="" if name == unhashed else hashlib.sha256(content).hexdigest(),
        )
        for name, content in contents.items()
    )
    return Listing(source=server.url("x.gguf"), title="x", folder="custom/x", files=files)


def test_killed_at_a_hundred_random_moments(server: FileServer, victims: Victims, tmp_path: Path) -> None:
    """D6: never a wrong file under its name, and little is fetched again."""
    chance = random.Random(11)
    contents = {"model.gguf": CONTENT, "unhashed.bin": CONTENT[:300_000]}
    contents |= {f"small/{number}.json": CONTENT[number : number + 3_000 * number] for number in range(1, 16)}
    size = sum(map(len, contents.values()))
    listing = offered(server, contents, unhashed="unhashed.bin", slow_s=0.001)
    kills = rounds = 0
    while kills < 100:
        folder, before, died = tmp_path / str(rounds), server.sent, 0
        while True:
            pid = victims.begin(listing, folder)
            time.sleep(chance.uniform(0.0, 0.09))
            with suppress(ProcessLookupError):  # it was done
                os.kill(pid, signal.SIGKILL)
            ended = victims.ended()
            for path, content in contents.items():
                place = folder / path
                assert not place.exists() or place.read_bytes() == content, path
            assert ended in {0, -signal.SIGKILL}, (folder / "error").read_text()
            if ended == 0 or (folder / "recorded").exists():
                break
            died += 1
        assert server.sent - before - size <= died * (size * 0.01 + victim.PART + ON_THE_WAY)
        kills, rounds = kills + died, rounds + 1
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} >= set(contents)
    assert rounds < kills


def test_a_disk_that_fills_meanwhile(server: FileServer, victims: Victims, tmp_path: Path) -> None:
    """D12: a user's share of the disk that is used up is told as such, and a retry goes on."""
    listing = offered(server, {"model.gguf": CONTENT, "a.json": CONTENT[:5_000]})
    victims.begin(listing, tmp_path / "models", most=400_000)
    assert victims.ended() == 9
    told = json.loads((tmp_path / "models" / "error").read_text())
    assert (told["error"], "needs 1.4 MiB" in told["message"]) == ("DiskFull", True)
    assert not (tmp_path / "models" / "model.gguf").exists()
    victims.begin(listing, tmp_path / "models")
    assert victims.ended() == 0
    assert (tmp_path / "models" / "model.gguf").read_bytes() == CONTENT


def test_a_small_file_on_a_full_disk(server: FileServer, victims: Victims, tmp_path: Path) -> None:
    listing = offered(server, {"a.json": CONTENT[:50_000]})
    victims.begin(listing, tmp_path / "models", most=20_000)
    assert victims.ended() == 9
    assert json.loads((tmp_path / "models" / "error").read_text())["error"] == "DiskFull"
    assert not (tmp_path / "models" / "a.json").exists()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_small_file_is_cut_at_random_bytes(server: FileServer, tmp_path: Path, ranges: bool) -> None:
    chance = random.Random(2)

    def fault(number: int, start: int) -> Fault | None:
        return Fault(cut_after=chance.randrange(len(CONTENT))) if number < 5 else None

    server.files["model.gguf"] = Served(content=CONTENT, ranges=ranges, fault=fault)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 5


def test_a_server_without_ranges_that_breaks_off(server: FileServer, tmp_path: Path) -> None:
    """A large file begins again."""
    content = CONTENT * 4

    def fault(number: int, start: int) -> Fault | None:
        return Fault(cut_after=3_000_000) if number < 3 else None

    server.files["model.gguf"] = Served(content=content, ranges=False, fault=fault)
    Transfer(RemoteFile.at(server.url("model.gguf")), tmp_path / "model.gguf", limits=QUICK).run()
    assert (tmp_path / "model.gguf").read_bytes() == content


@pytest.mark.parametrize("lie", [{"Content-Length": "1500001"}, {"Content-Range": "bytes 7-1499999/1500000"}])
def test_answers_of_another_length_than_they_tell(server: FileServer, tmp_path: Path, lie: dict[str, str]) -> None:
    fault = Fault(headers=lie, cut_after=len(CONTENT) - 1)
    served = server.files["model.gguf"] = Served(content=CONTENT, fault=lambda number, start: fault)
    with pytest.raises(SourceLost):
        get(server, tmp_path, limits=replace(QUICK, tries=2))
    assert not (tmp_path / "model.gguf").exists()
    served.fault = lambda number, start: None
    assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_it_waits_as_long_as_it_is_asked_to(server: FileServer, tmp_path: Path, status: int, as_date: bool) -> None:
    """The date is one by the server's clock."""

    def fault(number: int, start: int) -> Fault | None:
        told = formatdate(int(time.time()) + 1, usegmt=True) if as_date else "1"
        return Fault(status=status, headers={"Retry-After": told}) if number == 1 else None

    server.files["model.gguf"] = Served(content=CONTENT, fault=fault)
    began = time.monotonic()
    get(server, tmp_path)
    assert 0.9 <= time.monotonic() - began < 5


def test_a_clock_that_jumps(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years back and forth: nothing waits for them, and nothing is given up."""
    chance = random.Random(8)
    monkeypatch.setattr(time, "time", lambda: chance.uniform(0.0, 4e9))

    def fault(number: int, start: int) -> Fault | None:
        return Fault(cut_after=300_000) if number < 3 else None

    server.files["model.gguf"] = Served(content=CONTENT, fault=fault, slow_s=0.001)
    began = time.monotonic()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert time.monotonic() - began < 10


def test_a_file_of_another_is_not_taken_for_ours(server: FileServer, tmp_path: Path) -> None:
    """A claim is for one file: what somebody put in its place meanwhile is refused, and kept."""
    listing = offered(server, {"unhashed.bin": CONTENT}, unhashed="unhashed.bin")
    DownloadRun(listing, tmp_path, known={}, limits=QUICK).run()
    again = DownloadRun(listing, tmp_path, known={}, limits=QUICK)
    assert [file.received for file in again.run()] == [0]
    (tmp_path / "unhashed.bin").unlink()
    (tmp_path / "unhashed.bin").write_bytes(b"mine")
    with pytest.raises(FileProblem):
        again.run()
    assert (tmp_path / "unhashed.bin").read_bytes() == b"mine"
    again.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["unhashed.bin"]


@pytest.mark.parametrize("how", list(How))
def test_a_local_file_whose_system_shares_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """D5: what the file system copies is hashed all the same; linked and moved files are not copied at all."""
    (tmp_path / "source").write_bytes(CONTENT)

    def clone(to: int, request: int, source: int) -> None:
        os.pwrite(to, os.pread(source, len(CONTENT), 0), 0)

    monkeypatch.setattr(fcntl, "ioctl", clone)
    monkeypatch.setattr(Sink, "write", None)
    placing = Placing((tmp_path / "source").as_uri(), tmp_path / "models" / "x.gguf", how=how)
    fetched = placing.run()
    assert (fetched.path.read_bytes(), fetched.sha256, placing.done) == (CONTENT, SHA, len(CONTENT))
    assert (tmp_path / "source").exists() == (how is not How.MOVE)
