"""The Hugging Face Hub as a source (D2, D11, D12), against a hub that the real client downloads from."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.downloads.service import DownloadService
from core.downloads.sources import source_for
from core.downloads.sources.base import Listing
from core.downloads.sources.hub_address import HubAddress, chosen, parse
from core.downloads.transfer import fetch
from core.errors import (
    DownloadDenied,
    DownloadFailed,
    InvalidInput,
    KeysLocked,
    ModelyardError,
    SourceGone,
    SourceLost,
    WrongBytes,
)
from core.settings import Settings
from tests.cli.program import Terminal, done, modelyard, start
from tests.downloads.hub import Hub, Repo
from tests.downloads.server import Fault
from tests.downloads.test_jobs import end_all, ends, job, queued, until, workers

WEIGHTS = random.Random(4).randbytes(6_000_000)
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "README.md": b"# A model\n",
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "model-00001-of-00002.safetensors": WEIGHTS[:2_000_000],
    "model-00002-of-00002.safetensors": WEIGHTS[2_000_000:],
    "gguf/m-Q4_K_M.gguf": WEIGHTS[:300_000],
    "gguf/m-Q8_0.gguf": WEIGHTS[:600_000],
}
TOKEN, OTHER_TOKEN = "hf_planted_token_4711", "hf_another_token_0815"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub().running() as hub:
        hub.tokens = {TOKEN, OTHER_TOKEN}
        hub.add("org/open", FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.base)
        yield hub


@pytest.fixture
def models(short_folder: Path) -> Path:
    return short_folder / "data" / "modelyard" / "models"


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


def files_in(folder: Path) -> dict[str, bytes]:
    """What lies there, without the client's own notes."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def cdn_never_saw_a_token(hub: Hub) -> None:
    assert hub.cdn.requests
    for request in hub.cdn.requests:
        assert "Authorization" not in request.headers
        assert TOKEN not in f"{request.path}{request.headers}"


async def look(text: str, *patterns: str, token: str = "") -> Listing:
    return await source_for(text).listing(text, patterns=patterns, token=token)


# Contract: the real client and ours


def test_the_real_client_gets_the_same(hub: Hub, models: Path, tmp_path: Path) -> None:
    """The hub of these tests is one to the real client, through its tree, its redirects and its gate."""
    repo = hub.add("org/gated", FILES, gated="auto", readers={TOKEN})
    script = """
import sys, huggingface_hub as h
h.snapshot_download("org/gated", local_dir=sys.argv[1], token=sys.argv[2])
print(h.hf_hub_download("org/gated", "gguf/m-Q4_K_M.gguf", revision="main", token=sys.argv[2]))
try:
    h.hf_hub_download("org/gated", "config.json", token=False)
except h.errors.GatedRepoError:
    print("gated")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "theirs", TOKEN], capture_output=True, check=False, text=True
    )
    assert ended.returncode == 0, ended.stderr
    one, said = ended.stdout.split()
    assert (Path(one).read_bytes(), said) == (FILES["gguf/m-Q4_K_M.gguf"], "gated")
    told = done("download", "start", "hf:org/gated", "--token-stdin", "--json", stdin=f"{TOKEN}\n").json()
    assert told["state"] == "done"
    assert files_in(models / "org" / "gated") == files_in(tmp_path / "theirs") == FILES
    assert told["source"] == f"hf:org/gated@{repo.names['main']}"
    cdn_never_saw_a_token(hub)


# What is there


def test_what_a_gated_repository_holds_is_told_without_a_token(hub: Hub) -> None:
    """D2, D12: size, licence and gating come before the token; a start is refused as ever."""
    hub.add("org/gated", FILES, gated="manual", licence="llama3.3", readers={TOKEN})
    told = done("download", "look", "hf:org/gated", "--json").json()
    assert (told["gated"], told["licence"], told["size"]) == ("manual", "llama3.3", sum(map(len, FILES.values())))
    assert told["denied"]["error"] == "DownloadDenied"
    ended = done("download", "look", "hf:org/gated")
    assert ("gated, no access yet" in ended.out, "Accept the licence at" in ended.err) == (True, True)
    assert modelyard("download", "start", "hf:org/gated").code == 1
    granted = done("download", "look", "hf:org/gated", "--json", "--token-stdin", stdin=f"{TOKEN}\n").json()
    assert granted["denied"] is None


async def test_a_listing_tells_what_will_come(hub: Hub) -> None:
    """D2, D12: sizes, hashes, licence, the commit; nothing that could steer a terminal."""
    repo = hub.repos["org/open"]
    repo.licence = "llama3.3"
    repo.issues = [{"path": "gguf/m-Q8_0.gguf", "level": "unsafe"}, {"path": "config.json", "level": "caution"}]
    listing = await look("hf:org/open")
    commit = repo.names["main"]
    assert (listing.source, listing.revision, listing.folder) == (f"hf:org/open@{commit}", commit, "org/open")
    assert (listing.licence, listing.gated, listing.key) == ("llama3.3", "", "huggingface")
    assert {file.path: file.size for file in listing.files} == {path: len(body) for path, body in FILES.items()}
    for file in listing.files:
        body = FILES[file.path]
        assert file.sha256 in {"", hashlib.sha256(body).hexdigest()}
        assert bool(file.sha256) != bool(file.git_sha1)
    assert listing.metadata["warnings"] == ["gguf/m-Q8_0.gguf: the Hub's scanners call it unsafe"]
    assert listing.metadata["base_model"] == "org/base"
    assert Listing.from_dict(json.loads(json.dumps(listing.as_dict()))) == listing
    assert (await look(listing.source)).files == listing.files
    assert all(request.path.startswith("/api/models/org/open") for request in hub.requests)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:org/name", HubAddress(repo="org/name")),
        ("hf://org/name", HubAddress(repo="org/name")),
        ("hf:gpt2", HubAddress(repo="gpt2")),
        ("hf:org/name@v1.0:*Q4*", HubAddress(repo="org/name", revision="v1.0", patterns=("*Q4*",))),
        ("hf:org/name@refs/pr/3", HubAddress(repo="org/name", revision="refs/pr/3")),
        ("https://huggingface.co/org/name", HubAddress(repo="org/name")),
        ("https://hf.co/org/name/", HubAddress(repo="org/name")),
        ("https://huggingface.co/org/name/discussions/3", HubAddress(repo="org/name")),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", HubAddress(repo="org/name", revision="refs/pr/1")),
        ("https://huggingface.co/org/n/tree/main/sub", HubAddress(repo="org/n", revision="main", patterns=("sub/*",))),
        (
            "https://huggingface.co/org/n/blob/main/a%20[1].gguf",
            HubAddress(repo="org/n", revision="main", patterns=("a [[]1].gguf",)),
        ),
        (
            "https://huggingface.co/org/n/resolve/abc/d/x.gguf?download=true",
            HubAddress(repo="org/n", revision="abc", patterns=("d/x.gguf",)),
        ),
    ],
)
def test_how_a_repository_is_written(text: str, expected: HubAddress) -> None:
    assert source_for(text).name == "huggingface"
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("hf:", "hf:a/b/c", "hf:../..", "hf:org/na me", "hf:org/..", "https://huggingface.co"),
        *("https://huggingface.co/datasets/org/name", "https://user:pass@huggingface.co/org/name"),
    ],
)
def test_what_is_no_repository(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("*.safetensors", 2), ("gguf/*", 2), ("gguf", 2), ("gguf/", 2), ("Q4_K_M", 1), ("q8_0", 1), ("config.json", 1)],
)
def test_patterns_choose_files(pattern: str, count: int) -> None:
    """D2: wildcards, folders, and the plain name of a quantization."""
    assert len(chosen(list(FILES), [pattern])) == count
    with pytest.raises(InvalidInput, match="none of the 7 files"):
        chosen(list(FILES), [pattern, "Q5"])


async def test_paths_that_leave_the_folder_are_refused(hub: Hub) -> None:
    for path in ("../../.ssh/authorized_keys", "/etc/passwd", "a/../../b.gguf", "con.gguf", "a\u202eb.gguf"):
        hub.add("org/evil", {path: b"x"})
        with pytest.raises(InvalidInput):
            await look("hf:org/evil")


# What is refused, and what to do then


@pytest.mark.parametrize(
    ("text", "token", "repo", "kind", "says"),
    [
        ("hf:org/none", "", None, DownloadDenied, "or it is private"),
        ("hf:org/none", TOKEN, None, SourceGone, "the token may not see it"),
        ("hf:org/open@v9", "", None, SourceGone, "no revision 'v9'"),
        ("hf:org/x", "", Repo(gated="manual"), DownloadDenied, "given with a token alone"),
        ("hf:org/x", OTHER_TOKEN, Repo(gated="manual", readers={TOKEN}), DownloadDenied, "licence is not accepted"),
        ("hf:org/x", "", Repo(private=True), DownloadDenied, "or it is private"),
        ("hf:org/x", "hf_wrong_token", Repo(), DownloadDenied, "token is not accepted"),
        ("hf:org/x", TOKEN, Repo(disabled=True), SourceGone, "disabled"),
    ],
)
async def test_what_is_refused(
    hub: Hub, text: str, token: str, repo: Repo | None, kind: type[ModelyardError], says: str
) -> None:
    """D2, D11: each with what to do next."""
    if repo is not None:
        repo.commit(FILES)
        hub.repos["org/x"] = repo
    with pytest.raises(kind) as raised:
        await look(text, token=token)
    assert type(raised.value) is kind
    assert says in raised.value.message
    assert raised.value.remedy
    if repo and repo.gated:
        assert f"{hub.base}/org/x" in raised.value.remedy
    assert token not in str(raised.value.as_dict()) or not token


async def test_a_gated_one_that_may_be_had(hub: Hub) -> None:
    hub.add("org/gated", FILES, gated="manual", readers={TOKEN})
    assert (await look("hf:org/gated", token=TOKEN)).gated == "manual"


async def test_a_hub_that_is_away_busy_or_strange(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.downloads.sources.site.WAITS_S", (0.01, 0.01))
    faults = iter([Fault(status=503), Fault(status=429)])
    hub.fault = lambda path: next(faults, None)
    assert (await look("hf:org/open", "config.json")).size == len(FILES["config.json"])
    for fault in (Fault(status=503), Fault(status=200)):
        hub.fault = lambda path, fault=fault: fault  # type: ignore[misc]
        with pytest.raises(SourceLost):
            await look("hf:org/open")
    hub.fault = lambda path: Fault(status=418)
    with pytest.raises(DownloadFailed, match="refused to tell"):
        await look("hf:org/open")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceLost, match="can't be reached"):
        await look("hf:org/open")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed, match="stay offline"):
        await look("hf:org/open")


# Tokens


class _Keys:
    def __init__(self, value: str | None = None, *, locked: bool = False) -> None:
        self.value, self.locked = value, locked

    async def get(self, name: str) -> str | None:
        assert name == "huggingface"
        if self.locked:
            raise KeysLocked("The vault is locked.")
        return self.value


async def test_a_token_is_used_where_one_is_needed(hub: Hub, settings: Settings) -> None:
    """D11: none for what is open, else the kept one; it is held until the download starts."""
    hub.add("org/gated", FILES, gated="auto", readers={TOKEN})
    unused: Any = None
    downloads = DownloadService(settings, unused, _Keys(TOKEN))
    assert downloads.token_taken(await downloads.look("hf:org/open")) == ""
    assert all("Authorization" not in request.headers for request in hub.requests)
    assert downloads.token_taken(await downloads.look("hf:org/gated")) == TOKEN
    with pytest.raises(DownloadDenied, match="licence is not accepted"):
        await downloads.look("hf:org/gated", token=OTHER_TOKEN)
    with pytest.raises(DownloadDenied) as raised:
        await DownloadService(settings, unused, _Keys(locked=True)).look("hf:org/gated")
    assert "keys unlock" in raised.value.remedy
    with pytest.raises(InvalidInput):
        await downloads.look("hf:org/gated", token="two\nlines")


# By command


def test_by_command(hub: Hub, models: Path) -> None:
    """D2, D12: a revision and patterns; the licence is shown, and what is there is left alone."""
    commit = hub.repos["org/open"].commit({**FILES, "config.json": b"{}"}, name="v1")
    shown = done("download", "look", "hf:org/open@v1:gguf").out
    for part in ("2 files", "licence apache-2.0", f"at {commit}", "gguf/m-Q8_0.gguf"):
        assert part in shown
    page = f"{hub.base}/org/open/blob/v1/config.json"
    ended = done("download", "start", page, "--include", "Q4_K_M")
    assert "licence apache-2.0" in ended.err
    digest = hashlib.sha256(FILES["gguf/m-Q4_K_M.gguf"]).hexdigest()
    expected = {"config.json": b"{}", "gguf/m-Q4_K_M.gguf": FILES["gguf/m-Q4_K_M.gguf"]}
    assert files_in(models / "org" / "open") == expected
    told = done("download", "start", "hf:org/open@v1", "--json").json()
    assert (told["state"], len(told["files"])) == ("done", len(FILES))
    assert len([one for one in hub.cdn.requests if digest in one.path]) == 1
    [model] = json.loads((models / "installed-models.json").read_text())["models"]
    assert (model["source"], model["revision"]) == (f"hf:org/open@{commit}", commit)


def test_the_line_breaks_the_address_expires_and_it_goes_on(hub: Hub, models: Path) -> None:
    """D2, D6: nothing is fetched again but what was not noted, and nothing of a newer commit."""
    served = hub.large(FILES["model-00002-of-00002.safetensors"])
    served.slow_s = 0.4
    served.fault = lambda number, start: Fault(cut_after=1_000_000) if number in {1, 3} else None
    hub.cdn.uses = 2
    job_id = queued("hf:org/open", "--include", "model-00002*")
    until(lambda: hub.cdn.sent > 200_000, "some bytes")
    done("download", "pause", job_id)
    ends(job_id, "paused")
    hub.cdn.expire()
    hub.repos["org/open"].commit(dict.fromkeys(FILES, b"newer"))
    served.slow_s = 0
    done("download", "resume", job_id)
    ends(job_id, "done")
    assert files_in(models / "org" / "open") == {"model-00002-of-00002.safetensors": WEIGHTS[2_000_000:]}
    assert hub.cdn.sent < 4_000_000 * 1.3


def test_other_bytes_than_announced_are_not_kept(hub: Hub, tmp_path: Path) -> None:
    """Large files by SHA-256, git's own ones by git's hash."""
    [commit] = hub.repos["org/open"].commits
    large, small = "gguf/m-Q8_0.gguf", "config.json"
    hub.large(FILES[large]).fault = lambda number, start: Fault(flip=1_000)
    hub.mixed = {commit: hub.repos["org/open"].commit({**FILES, small: FILES[small].upper()}, name="other")}
    listing = asyncio.run(look("hf:org/open@" + commit, large, small))
    for file in listing.files:
        with pytest.raises(WrongBytes, match="other bytes than its source announces"):
            fetch(source_for(listing.source).remote(listing, file), tmp_path / "there" / file.path)
    assert files_in(tmp_path) == {}


def test_a_token_by_command(hub: Hub, short_folder: Path, models: Path) -> None:
    """D11: piped in and in memory only; a retry takes the environment's key."""
    hub.add("org/gated", FILES, gated="auto", readers={TOKEN}, licence="gemma")
    hub.large(WEIGHTS[:2_000_000]).slow_s = 0.1
    words = ("hf:org/gated:model-00001*", "--token-stdin", "--no-wait", "--json")
    job_id = done("download", "start", *words, stdin=f"{TOKEN}\n").json()["id"]
    until(lambda: hub.cdn.sent > 100_000, "some bytes")
    for worker in workers(short_folder):
        assert TOKEN not in f"{worker.cmdline()}{worker.environ()}"
        worker.kill()
        worker.wait(10)
    hub.large(WEIGHTS[:2_000_000]).slow_s = 0
    done("download", "list")
    failed = ends(job_id, "failed")
    assert "token" in failed["remedy"]
    assert TOKEN not in str(job(job_id))
    done("download", "retry", job_id, env={"HF_TOKEN": TOKEN})
    ends(job_id, "done")
    assert files_in(models / "org" / "gated") == {"model-00001-of-00002.safetensors": WEIGHTS[:2_000_000]}
    cdn_never_saw_a_token(hub)
    for path in short_folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_token_is_typed_unseen_and_kept_when_asked_to(hub: Hub, models: Path, tmp_path: Path) -> None:
    """D11: on a terminal."""
    hub.add("org/gated", {"config.json": b"{}"}, gated="auto", readers={TOKEN})
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a long passphrase")
    passphrase.chmod(0o600)
    vault = {"MODELYARD_VAULT_PASSPHRASE_FILE": str(passphrase)}
    terminal = Terminal("download", "start", "hf:org/gated", "--keep-token", env=vault)
    terminal.wait_for("Accept the licence at")
    terminal.wait_for("Token (not shown")
    terminal.write("hf_mistyped_it\n")
    terminal.wait_for("token is not accepted")
    terminal.wait_for("Token (not shown", times=2)
    terminal.write(f"{TOKEN}\n")
    assert terminal.close() == 0, terminal.seen
    assert TOKEN.encode() not in terminal.seen
    assert files_in(models / "org" / "gated") == {"config.json": b"{}"}
    look_again = done("download", "look", "hf:org/gated", "--json", env=vault).json()
    assert (look_again["gated"], TOKEN in str(look_again)) == ("auto", False)


def test_what_scanners_warn_of_wants_a_yes(hub: Hub) -> None:
    hub.repos["org/open"].issues = [{"path": "config.json", "level": "unsafe"}]
    refused = modelyard("download", "start", "hf:org/open:config.json")
    assert (refused.code, "scanners call it unsafe" in refused.err, "--yes" in refused.err) == (3, True, True)


def test_ctrl_c_does_not_wait_for_a_hub_that_does_not_answer(hub: Hub) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silence(path: str) -> Fault:
        asked.set()
        answer.wait(30)
        return Fault(status=404)

    hub.fault = silence
    front = start("download", "look", "hf:org/open")
    try:
        assert asked.wait(40)
        front.send_signal(signal.SIGINT)
        front.wait(10)
    finally:
        answer.set()
        front.kill()
        front.communicate()
    assert front.returncode == 130
