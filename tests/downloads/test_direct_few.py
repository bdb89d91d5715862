"""Small files that a host fetches in batches (D4): here, in this machine's own shells."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from core.downloads.direct import Seen, Task
from core.downloads.direct_few import SMALL, batches
from core.downloads.direct_script import LIMIT, STOP, WATCH
from core.downloads.sources.base import Listing, SourceFile
from core.hosts import remote
from tests.downloads.hub import LARGE, Hub, blob_id, reply
from tests.downloads.server import Fault
from tests.downloads.test_direct_limit import SHELLS

TOKEN = 'hf_planted"\\token'
RANDOM = random.Random(11)
ODD = ("it's.txt", "a b/-rf", "$(id)/`id`;&.json", "ünï/文.md", "#1{a,b}[1-3]%41.txt", "sub/~")
FILES = {
    **{f"d{number % 7}/{number}.json": RANDOM.randbytes(RANDOM.randrange(1, 4000)) for number in range(170)},
    **{f"w/{number}.bin": RANDOM.randbytes(RANDOM.randrange(1, 9000)) for number in range(22)},
    **{path: path.encode() for path in ODD},
    "empty.txt": b"",
    "d0/empty": b"",
}
BATCHES = 8


class Origin(Hub):
    """Notes by which lines it was asked; `before` sees each request."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: set[object] = set()
        self.before: Callable[[str], object] = lambda path: None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.lines.add(handler.client_address)
        self.before(handler.path)
        super().answer(handler)

    def asked(self, since: int = 0) -> Counter[str]:
        """How often it was asked for each path to the file itself, not to where it is."""
        paths = [unquote(request.path) for request in self.requests[since:]]
        return Counter(path.split("/", 7)[-1] for path in paths if path.startswith("/api/resolve-cache/"))


class There:
    """A host's folder, and a job that fetches a repository to it."""

    def __init__(self, root: Path, files: dict[str, bytes], base: str) -> None:
        self.files, self.folder = files, root / "models" / "org"
        named = tuple(source_file(path, body, base) for path, body in files.items())
        listing = Listing(source="hf:org/name", title="name", folder="org/name", files=named)
        self.task = Task.of("job", str(root / "models"), str(self.folder), listing, known={})

    def launch(self, *, limit: int = 0, token: str = "") -> str:
        return self._run(self.task.launch_argv(limit), self.task.stdin(token))

    def watched(self) -> Seen:
        """What it tells until it is over."""
        seen = Seen()
        for line in self._run(remote.script(WATCH, self.task.state, self.task.folder)).splitlines():
            seen.take(line)
        return seen

    def stop(self) -> None:
        """Unless it has ended by itself."""
        if not (Path(self.task.state) / "log").read_text().endswith(("end ok\n", "end failed\n")):
            self._run(remote.script(STOP, self.task.state))

    def limit(self, limit: int) -> None:
        self._run(remote.script(LIMIT, self.task.state, str(limit)))

    def _run(self, argv: list[str], stdin: bytes = b"") -> str:
        done = subprocess.run(argv, check=True, input=stdin, capture_output=True, timeout=30)
        assert done.stderr == b""
        return done.stdout.decode().strip()

    def is_right(self, seen: Seen) -> bool:
        """Every file is there and told of with its hash, and nothing else is left."""
        told = {file.path: seen.done.get(number) for number, file in enumerate(self.task.files)}
        wanted = {path: (len(body), hashlib.sha256(body).hexdigest()) for path, body in self.files.items()}
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        right = all((self.folder / path).read_bytes() == body for path, body in self.files.items() if path in found)
        assert (seen.failed, seen.end, seen.under_way) == (None, "ok", 0)
        return told == wanted and right and found == set(self.files)

    def whole(self) -> set[str]:
        """Files that have come, by their names or by their hidden ones."""
        named = {file.path: self.task.places(file)[::-1] for file in self.task.files if file.size}
        return {path for path, places in named.items() if len(self.files[path]) in map(size_of, places)}


def size_of(path: str) -> int:
    """Of a file that may be on its way from one name to another."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return -1


def source_file(path: str, body: bytes, base: str) -> SourceFile:
    """As a Hub tells of it: a SHA-256 for what is large by its name, git's hash for the rest."""
    url = f"{base}/org/name/resolve/main/{quote(path)}"
    if path.endswith(LARGE):
        return SourceFile(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest(), url=url)
    return SourceFile(path=path, size=len(body), git_sha1=blob_id(body), url=url)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    """Says a word to a redirect, too, which is no part of a file."""

    def with_words(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
        reply(handler, status, body or b"Temporary Redirect. Redirecting to elsewhere", **headers)

    monkeypatch.setattr("tests.downloads.hub.reply", with_words)
    with Origin().running() as hub:
        assert isinstance(hub, Origin)
        yield hub


@pytest.fixture
def made(hub: Origin, tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], There]]:
    """A host for files of a repository, which is stopped afterwards."""
    all_made: list[There] = []

    def make(files: dict[str, bytes]) -> There:
        hub.add("org/name", files)
        all_made.append(There(tmp_path, files, hub.base))
        return all_made[-1]

    yield make
    for there in all_made:
        there.stop()


def with_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs go before all others."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "bin"


def counting(folder: Path, name: str, log: Path) -> None:
    """A program that notes its starts."""
    (folder / name).write_text(f'#!/bin/sh\necho {name} >>{log}\nexec {program(name)} "$@"\n')
    (folder / name).chmod(0o755)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_two_hundred_files_by_a_few_curls(
    shell: str, made: Callable[..., There], hub: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: odd names, git's hashes and SHA-256, a redirect to another host, to which the token does not go."""
    folder = with_bin(tmp_path, monkeypatch)
    for name in ("curl", "sha256sum"):
        counting(folder, name, tmp_path / "starts")
    (folder / "sh").symlink_to(program(shell))
    hub.tokens.add(TOKEN)
    there = made(FILES)
    hub.repos["org/name"].gated, hub.repos["org/name"].readers = "auto", {TOKEN}
    assert there.launch(token=TOKEN) == "started"
    assert there.is_right(there.watched())
    files = [path for path, body in FILES.items() if body]
    assert len(hub.requests) + len(hub.cdn.requests) == 2 * len(files)
    assert len(hub.cdn.requests) == len([path for path in files if path.endswith(LARGE)])
    starts = Counter((tmp_path / "starts").read_text().split())
    assert starts["curl"] == 3 * BATCHES, "where it is, here, and at the other host"
    assert starts["sha256sum"] <= BATCHES, "none, where busybox has its own"
    assert len(hub.lines) == 2 * BATCHES
    assert {request.headers.get("Authorization") for request in hub.requests} == {f"Bearer {TOKEN}"}
    assert not any("Authorization" in request.headers for request in hub.cdn.requests)
    kept = [path for path in Path(there.task.state).rglob("*") if path.is_file()]
    assert len(kept) > BATCHES
    assert not any(b"planted" in path.read_bytes() for path in kept)


def test_one_that_is_busy_one_that_comes_wrong_and_a_name_that_is_right_already(
    made: Callable[..., There], hub: Origin
) -> None:
    """D4: the batch goes on without them, and each is right in the end; what is there is not fetched."""
    there = made(FILES)
    refused: list[str] = []

    def fault(path: str) -> Fault | None:
        if not path.endswith("/resolve/main/d3/3.json") or len(refused) >= 2:
            return None
        refused.append(path)
        return Fault(status=503, headers={"Retry-After": "0"})

    hub.fault = fault
    hub.large(FILES["w/3.bin"]).fault = lambda number, start: Fault(flip=0) if number == 1 else None
    for path in ("d1/1.json", "w/1.bin"):
        (there.folder / path).parent.mkdir(parents=True)
        (there.folder / path).write_bytes(FILES[path])
    before = (there.folder / "w/1.bin").stat().st_mtime_ns
    there.launch()
    assert there.is_right(there.watched())
    log = (Path(there.task.state) / "log").read_text()
    number = next(number for number, file in enumerate(there.task.files) if file.path == "d3/3.json")
    assert (len(refused), f"w {number} HTTP 503" in log, log.count("\nw ")) == (2, True, 1)
    assert (there.folder / "w/1.bin").stat().st_mtime_ns == before
    asked = hub.asked()
    assert "d1/1.json" not in asked
    assert {path: count for path, count in asked.items() if count != 1} == {}
    sha256 = hashlib.sha256(FILES["w/3.bin"]).hexdigest()
    assert [sha256 in request.path for request in hub.cdn.requests].count(True) == 2


@pytest.mark.parametrize("way", ["file", "link", "folder"])
def test_a_name_that_is_taken(way: str, made: Callable[..., There], tmp_path: Path) -> None:
    """D4: nothing of the user's is overwritten, be it of the size of what should come, or elsewhere behind a link."""
    there = made(FILES)
    there.folder.mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "3.json").write_bytes(b"theirs")
    if way == "folder":
        (there.folder / "d3").symlink_to(tmp_path / "theirs")
    else:
        (there.folder / "d3").mkdir()
        if way == "file":
            (there.folder / "d3" / "3.json").write_bytes(FILES["d3/3.json"][::-1])
        else:
            (there.folder / "d3" / "3.json").symlink_to(tmp_path / "theirs" / "3.json")
    there.launch()
    seen = there.watched()
    assert (seen.end, seen.failed is not None and seen.failed[1]) == ("failed", "taken")
    assert {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()} == {"3.json": b"theirs"}
    if way == "file":
        assert (there.folder / "d3" / "3.json").read_bytes() == FILES["d3/3.json"][::-1]


def test_bytes_that_are_always_wrong_get_no_name(made: Callable[..., There], hub: Origin) -> None:
    there = made(FILES)
    hub.large(FILES["w/3.bin"]).fault = lambda number, start: Fault(flip=0)
    there.launch()
    seen = there.watched()
    assert seen.failed is not None
    assert (seen.end, seen.failed[1], there.task.files[seen.failed[0]].path) == ("failed", "wrong", "w/3.bin")
    assert not (there.folder / "w" / "3.bin").exists()


@pytest.mark.parametrize("after", [150, 300])
def test_stopped_in_the_middle_and_begun_again(after: int, made: Callable[..., There], hub: Origin) -> None:
    """D4: nothing that came is fetched again; what a server says on a redirect is not taken for the file."""
    there, go, stuck = made(FILES), threading.Event(), threading.Event()

    def before(path: str) -> None:
        if len(hub.requests) > after and not go.is_set():
            stuck.set()
            go.wait(20)

    hub.before = before
    there.launch()
    assert stuck.wait(20)
    there.stop()
    go.set()
    whole, since = there.whole(), len(hub.requests)
    assert len(whole) > 50 or after < 200
    hub.cdn.expire()
    assert there.launch() == "started"
    assert there.is_right(there.watched())
    asked = hub.asked(since)
    assert asked.keys() | whole >= {path for path, body in FILES.items() if body and not path.endswith(LARGE)}
    assert asked.keys() & whole == set()


def test_a_limit_that_comes_ends_the_batch(made: Callable[..., There], hub: Origin) -> None:
    """D6: below it files come one by one; what came before it is kept."""
    files = dict(list(FILES.items())[:40])
    there, go, stuck = made(files), threading.Event(), threading.Event()

    def before(path: str) -> None:
        if len(hub.requests) > 60 and not go.is_set():
            stuck.set()
            go.wait(20)

    hub.before = before
    there.launch()
    assert stuck.wait(20)
    there.limit(10_000_000)
    whole, since = there.whole(), len(hub.requests)
    hub.lines.clear()
    go.set()
    assert there.is_right(there.watched())
    left = {path for path, body in files.items() if body} - whole
    assert left
    assert hub.asked(since).keys() - left == set()
    assert len(hub.lines) > 1.5 * len(left), "a line for each question, as `curl` asks one; a port may come twice"


NEEDED = "awk cat cmp curl cut grep head ln mkdir mv openssl rm rmdir sed setsid sh sleep tail tr wc xargs"


@pytest.mark.parametrize("lacking", ["hard links", "sha256sum and sha1sum", "a curl of today"])
def test_hosts_that_lack_something(
    lacking: str, made: Callable[..., There], hub: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: nothing is fetched twice for that; what a batch can't do goes file by file."""
    folder = with_bin(tmp_path, monkeypatch)
    for name in NEEDED.split():
        (folder / name).symlink_to(program(name))
    monkeypatch.setenv("PATH", str(folder))
    if lacking == "hard links":
        (folder / "ln").unlink()
        (folder / "ln").symlink_to("/bin/false")
    elif lacking == "a curl of today":
        refusing = 'case "$*" in *--fail-early*) echo "option --fail-early: is unknown" >&2; exit 2 ;; esac'
        real = (folder / "curl").readlink()
        (folder / "curl").unlink()
        (folder / "curl").write_text(f'#!/bin/sh\n{refusing}\nexec {real} "$@"\n')
        (folder / "curl").chmod(0o755)
    there = made(FILES if lacking != "a curl of today" else dict(list(FILES.items())[:16]))
    there.launch()
    assert there.is_right(there.watched())
    assert set(hub.asked().values()) == {1}


def test_wrong_files_are_replaced_when_that_was_asked_for(made: Callable[..., There]) -> None:
    """D4: a repair; what is right stays as it is."""
    there = made(FILES)
    there.task = replace(there.task, replace=True)
    for path, body in FILES.items():
        (there.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (there.folder / path).write_bytes(body if path.startswith("d1/") else body[::-1] + b"?")
    (there.folder / "d1/1.json").chmod(0o640)
    there.launch()
    assert there.is_right(there.watched())
    assert (there.folder / "d1/1.json").stat().st_mode & 0o777 == 0o640


def test_batches_are_small_and_of_about_one_size() -> None:
    """Their number is a multiple of how many are under way, so that the last ones end together."""
    small = [SourceFile(path=f"{at}", size=40_000 - at, git_sha1="0" * 40, url="https://x/y") for at in range(1000)]
    others = [
        SourceFile(path="large", size=SMALL + 1, sha256="0" * 64, url="https://x/y"),
        SourceFile(path="unknown", size=None, sha256="0" * 64, url="https://x/y"),
        SourceFile(path="unsure", size=1, url="https://x/y"),
    ]
    assert batches(others, ["", "", ""], 8) == [None] * 3
    assert batches(others, ["", "", "0" * 64], 8) == [None, None, 0]
    placed = batches([*others, *small], [""] * 1003, 8)
    counts = Counter(placed[3:])
    assert (placed[:3], set(counts), set(counts.values())) == ([None] * 3, set(range(24)), {41, 42})
    large = [SourceFile(path=f"{at}", size=SMALL, sha256="0" * 64, url="https://x/y") for at in range(64)]
    assert set(Counter(batches(large, [""] * 64, 8)).values()) == {4}
