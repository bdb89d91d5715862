"""What a host runs to download by itself, below a limit that changes: here, in this machine's own shell."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.downloads.direct_script import LAUNCH, LIMIT, RUN, STOP
from core.hosts import remote
from tests.downloads.server import Fault, FileServer, Served

CONTENT = random.Random(4).randbytes(6_000_000)
SHELLS = ("dash", "bash", "busybox")


class There:
    """A host's folder with a job's state in it."""

    def __init__(self, root: Path, server: FileServer) -> None:
        self.folder, self._state, self._server = root / "models", root / ".modelyard-direct" / "job", server

    def launch(self, limit: int) -> str:
        line = "-\t{size}\t-\t-\t.{name}.part\t{url}\t{name}\n"
        files = self._server.files.items()
        lines = [line.format(size=len(file.content), name=name, url=self._server.url(name)) for name, file in files]
        plan = "".join(["\n", *lines]).encode()
        return self._run(LAUNCH, str(self._state), str(self.folder), "4", "", RUN, str(limit), stdin=plan)

    def limit(self, limit: int) -> str:
        return self._run(LIMIT, str(self._state), str(limit))

    def stop(self) -> None:
        self._run(STOP, str(self._state))

    def _run(self, script: str, *words: str, stdin: bytes = b"") -> str:
        done = subprocess.run(remote.script(script, *words), check=True, input=stdin, capture_output=True, timeout=30)
        return done.stdout.decode().strip()

    @property
    def log(self) -> list[str]:
        return (self._state / "log").read_text().splitlines()

    @property
    def under_way(self) -> list[str]:
        """The curls that fetch now."""
        return sorted(path.name for path in self._state.glob("curl.*"))

    @property
    def has(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def until(self, true: Callable[[], object], *, within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, (self.log, self.under_way, self.has)
            time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as server:
        for name in "abcd":
            server.files[name] = Served(content=CONTENT, slow_s=0.01)
            server.files[name].fault = lambda number, start: Fault(headers={"Accept-Ranges": "bytes"})
        yield server


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is `sh` for all that the script starts."""
    found = subprocess.run(["sh", "-c", f"command -v {request.param}"], check=False, capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip(f"{request.param} is not here")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(found.stdout.strip())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.fixture
def there(server: FileServer, tmp_path: Path) -> Iterator[There]:
    there = There(tmp_path, server)
    try:
        yield there
    finally:
        there.stop()


@pytest.mark.usefixtures("shell")
def test_files_come_one_by_one_below_a_limit_and_side_by_side_without(there: There, server: FileServer) -> None:
    """D6: the same run, which is not started again; every file goes on where it was."""
    assert there.launch(300_000) == "started"
    there.until(lambda: there.has > 100_000)
    assert len(there.under_way) == 1
    assert there.limit(0) == ""
    there.until(lambda: len(there.under_way) == 4)
    assert there.launch(400_000).endswith("running")
    there.until(lambda: not there.limit(400_000) and len(there.under_way) == 1)
    there.until(lambda: not there.limit(0) and there.log[-1:] == ["end ok"])
    assert [(there.folder / name).read_bytes() == CONTENT for name in "abcd"] == [True] * 4
    starts = [(request.path, request.headers.get("Range", "")) for request in server.requests]
    assert sorted(path for path, start in starts if not start) == ["/a", "/b", "/c", "/d"], starts


def test_a_file_whose_server_may_not_go_on_in_the_middle_is_left_alone(there: There, server: FileServer) -> None:
    """D6: nothing that has come is fetched again for another limit."""
    for served in server.files.values():
        served.ranges, served.fault = False, lambda number, start: None
    there.launch(0)
    there.until(lambda: len(there.under_way) == 4 and there.has > 100_000)
    assert there.limit(500_000).split() == ["later"] * 4
    there.until(lambda: there.log[-1:] == ["end ok"])
    assert len(server.requests) == 4


def test_a_long_wait_for_a_limit_ends_when_it_is_raised(there: There, server: FileServer) -> None:
    """D6: a small file that came at once waits for what it is worth: here two minutes."""
    for served in server.files.values():
        served.content, served.slow_s = CONTENT[:60_000], 0
    there.launch(500)
    there.until(lambda: there.has == 60_000 and not there.under_way)
    assert there.log == []
    there.limit(10**9)
    there.until(lambda: there.log[-1:] == ["end ok"])
