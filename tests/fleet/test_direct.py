"""Hosts that download by themselves while we watch: no token is seen, a cut line or a killed worker is no end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from core.app import Modelyard
from core.errors import CommandFailed, DiskFull, NotAllowed
from core.registry.jobs import Job
from tests.downloads.hub import Hub
from tests.downloads.inline import working
from tests.downloads.ollama import OllamaRegistry
from tests.downloads.server import Fault, FileServer, Served
from tests.downloads.test_jobs import end_all, workers
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.program import modelyard
from tests.unit import pickles

CONTENT = random.Random(5).randbytes(12_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "hf_planted_token_4712"
SMALL = {"config.json": b"{}", "sub/a b'$(id);.txt": b"odd", "empty.txt": b""}


@pytest.fixture(autouse=True)
def hub(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """At an address that the hosts reach, too."""
    with Hub(str(fleet.network.front[1])).running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.base)
        yield running


async def begun(yard: Modelyard, source: str, *, token: str = "", host: str = "gpu1", **more: object) -> Job:
    listing = await yard.downloads.look(source, token=token)
    return await yard.downloads.start(listing, host=host, token=token, **more)  # type: ignore[arg-type]


async def state_of(yard: Modelyard, job_id: str, *states: str, within_s: float = 60) -> Job:
    """The job once it is in one of these states."""
    async with asyncio.timeout(within_s):
        while (job := await yard.registry.get_job(job_id)).state not in states:
            await asyncio.sleep(0.05)
    return job


async def until(true: Callable[[], object], *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.05)


def told(host: FleetHost) -> dict[str, dict[str, object]]:
    """What the models folder of the host says is installed."""
    models = json.loads((host.models_folder / "installed-models.json").read_text())["models"]
    return {model["path"]: model for model in models}


async def test_a_gated_repository_by_the_host_itself(
    yard: Modelyard, hub: Hub, host: FleetHost, short_folder: Path
) -> None:
    """The token is in no argv, environment or file there, and follows no redirect; what is left is what was asked."""
    hub.tokens.add(TOKEN)
    repo = hub.add("org/name", {"model.safetensors": CONTENT, **SMALL}, gated="auto", readers={TOKEN})
    hub.large(CONTENT).slow_s = 0.01
    job = await begun(yard, "hf:org/name", token=TOKEN)
    await until(lambda: hub.cdn.sent > 1_000_000)
    seen = host.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"])
    assert "modelyard-fetch" in seen
    assert TOKEN not in seen
    assert host.exec(["sh", "-c", f"grep -rl {TOKEN} {host.models_dir} || echo none"]).strip() == "none"
    for path in short_folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    ended = await state_of(yard, job.id, "done", "failed")
    assert (ended.state, ended.error, ended.bytes_done) == ("done", "", len(CONTENT) + 5)
    there = host.models_folder / "org" / "name"
    assert {path: (there / path).read_bytes() for path in SMALL} == SMALL
    assert (there / "model.safetensors").read_bytes() == CONTENT
    assert [request for request in hub.cdn.requests if TOKEN in str(request.headers)] == []
    model = told(host)["org/name"]
    assert (model["source"], model["licence"]) == (f"hf:org/name@{repo.names['main']}", "apache-2.0")
    assert {"path": "org/name/model.safetensors", "size": len(CONTENT), "sha256": SHA} in model["files"]  # type: ignore[operator]
    assert sorted(path.name for path in there.iterdir() if path.name.startswith(".")) == []
    assert not (host.models_folder / ".modelyard-direct").exists()


async def test_hundreds_of_small_files(
    yard: Modelyard, hub: Hub, host: FleetHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: by a few lines to the source, with the token to it alone; what came before a cancel is not fetched again."""
    files = {
        f"d{number % 9}/{number}.{'bin' if number % 20 == 0 else 'json'}": CONTENT[:number] for number in range(300)
    }
    hub.tokens.add(TOKEN)
    hub.add("org/name", {**files, **SMALL}, gated="auto", readers={TOKEN})
    hub.tree_page = 1000
    go, answer = threading.Event(), hub.answer
    asked: list[str] = []
    lines: set[object] = set()

    def held(handler: BaseHTTPRequestHandler) -> None:
        if "/api/resolve-cache/" in handler.path:
            lines.add(handler.client_address)
            asked.append(handler.path)
            if len(asked) > 150:
                go.wait(30)
        answer(handler)

    monkeypatch.setattr(hub, "answer", held)
    job = await begun(yard, "hf:org/name", token=TOKEN)
    await until(lambda: len(asked) > 150)
    await yard.downloads.cancel(job.id)
    await state_of(yard, job.id, "cancelled")
    go.set()
    before, asked[:] = set(asked), []
    await yard.downloads.resume(job.id, token=TOKEN)
    ended = await state_of(yard, job.id, "done", "failed")
    whole = sum(len(body) for body in (*files.values(), *SMALL.values()))
    assert (ended.state, ended.error, ended.bytes_done) == ("done", "", whole)
    there = host.models_folder / "org" / "name"
    assert {path: (there / path).read_bytes() for path in (*files, *SMALL)} == {**files, **SMALL}
    assert (len(asked), len(set(asked) & before) <= 8) == (len(set(asked)), True)
    assert len(lines) < 40
    assert [request for request in hub.cdn.requests if "Authorization" in request.headers] == []
    noted = told(host)["org/name"]["files"]
    assert isinstance(noted, list)
    assert len(noted) == len(files) + len(SMALL)
    assert not (host.models_folder / ".modelyard-direct").exists()


async def test_a_model_of_ollamas_library(
    yard: Modelyard, host: FleetHost, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blobs come by signed redirects to another host."""
    with OllamaRegistry(str(fleet.network.front[1])).running() as registry:
        registry.add("library/org:latest", [("model", CONTENT), ("license", b"FREE")])
        monkeypatch.setenv("MODELYARD_OLLAMA_ENDPOINT", registry.base)
        job = await begun(yard, "ollama:org", folder="org")
        assert (await state_of(yard, job.id, "done", "failed")).error == ""
    assert (host.models_folder / "org" / "org-latest.gguf").read_bytes() == CONTENT
    assert [(model["title"], model["licence"]) for model in told(host).values()] == [("org:latest", "FREE")]


async def test_pickles_are_scanned_where_they_came_to(
    yard: Modelyard, hub: Hub, host: FleetHost, tmp_path: Path
) -> None:
    """Marked in the host's own list, by the parts that a scanner wants to see."""
    hostile, harmless = pickles.zipped(pickles.running(tmp_path / "ran")), pickles.zipped(pickles.tensors())
    hub.add("org/name", {"a.ckpt": hostile, "b.pth": harmless, "model.safetensors": CONTENT})
    job = await begun(yard, "hf:org/name")
    assert (await state_of(yard, job.id, "done", "failed")).error == ""
    files = told(host)["org/name"]["files"]
    assert isinstance(files, list)
    levels = {str(file["path"]): file.get("pickle", {}).get("level") for file in files}
    assert levels == {
        "org/name/a.ckpt": "dangerous",
        "org/name/b.pth": "known",
        "org/name/model.safetensors": None,
    }
    assert not (tmp_path / "ran").exists()


async def test_the_limit_holds_for_a_host_by_itself(
    idle: Modelyard, hub: Hub, host: FleetHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: files of which each would come before a limit on it shows are no faster than `download_bandwidth` either."""
    files = {f"{at}.safetensors": CONTENT[at : at + 2_000_000] for at in range(0, len(CONTENT), 2_000_000)}
    hub.add("org/name", {**files, **SMALL})
    limited = replace(idle, settings=replace(idle.settings, download_bandwidth=3_000_000))
    async with working(limited, monkeypatch):
        began = time.monotonic()
        job = await begun(idle, "hf:org/name")
        assert (await state_of(idle, job.id, "done", "failed")).error == ""
        assert time.monotonic() - began >= 12 / 3 - 0.1
    there = host.models_folder / "org" / "name"
    assert {name: (there / name).read_bytes() for name in files} == files


async def test_another_limit_reaches_what_hosts_download(
    idle: Modelyard, hub: Hub, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: the jobs of one host share its line, another host has its own; nothing is fetched twice for a change."""
    for name in ("one", "two"):
        hub.add(f"org/{name}", {"model.safetensors": CONTENT + name.encode(), **SMALL})
        served = hub.large(CONTENT + name.encode())
        served.slow_s, served.fault = 0.01, lambda number, start: Fault(headers={"Accept-Ranges": "bytes"})
    await idle.downloads.limit(rate="400kB/s")
    async with working(idle, monkeypatch):
        begun_jobs = [await begun(idle, f"hf:org/{name}") for name in ("one", "two")]
        begun_jobs.append(await begun(idle, "hf:org/one", host="gpu2"))
        states = [posixpath.join(fleet.hosts[0].models_dir, ".modelyard-direct", job.id, "limit") for job in begun_jobs]
        hosts = (fleet.hosts[0], fleet.hosts[0], fleet.hosts[1])
        for host, state, share in zip(hosts, states, ("200000", "200000", "400000"), strict=True):
            await until(lambda host=host, state=state, share=share: said(host, state) == share)  # type: ignore[misc]
        await until(lambda: len(parts(hosts[0])) == 2 and len(parts(hosts[2])) == 1)
        await idle.downloads.limit(rate="off")
        began = time.monotonic()
        ends = [await state_of(idle, job.id, "done", "failed", within_s=30) for job in begun_jobs]
    assert [(end.state, end.error) for end in ends] == [("done", "")] * 3
    assert time.monotonic() - began < 15, "at the old limit a minute"
    starts = [request.headers.get("Range", "") for request in hub.cdn.requests]
    assert (starts.count(""), len([start for start in starts if start]) >= 3) == (3, True), starts
    for host, name in zip(hosts, ("one", "two", "one"), strict=True):
        there = host.models_folder / "org" / name
        assert (there / "model.safetensors").read_bytes() == CONTENT + name.encode()


def said(host: FleetHost, path: str) -> str:
    """What a file of the host says, or ""."""
    return host.exec(["sh", "-c", f"cat {path} 2>/dev/null || true"]).strip()


async def test_cut_and_restored(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    """Our line is cut: the host goes on, and is picked up again; what was placed by hand and told of stays."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    (host.models_folder / "org").mkdir()
    (host.models_folder / "org" / "mine.gguf").write_bytes(b"mine")
    before = {"version": 1, "models": [{"path": "org/mine.gguf", "title": "mine", "files": []}]}
    (host.models_folder / "installed-models.json").write_text(json.dumps(before))
    hub.large(CONTENT).slow_s = 0.02
    job = await begun(yard, "hf:org/name")
    await until(lambda: hub.cdn.sent > 1_000_000)
    with host.take_down_sshd():
        waiting = await state_with(yard, job.id, "waiting for the line")
        assert waiting.state == "running"
        sent = hub.cdn.sent
        await until(lambda: hub.cdn.sent > sent + 1_000_000)
    hub.large(CONTENT).slow_s = 0
    ended = await state_of(yard, job.id, "done", "failed")
    assert (ended.state, ended.error, hub.cdn.sent) == ("done", "", len(CONTENT)), ended.cause
    assert (host.models_folder / "org" / "name" / "model.safetensors").read_bytes() == CONTENT
    assert set(told(host)) == {"org/mine.gguf", "org/name/model.safetensors"}
    assert (host.models_folder / "org" / "mine.gguf").read_bytes() == b"mine"


async def state_with(yard: Modelyard, job_id: str, words: str) -> Job:
    """The job once it says what it does in these words."""
    async with asyncio.timeout(60):
        while words not in (job := await yard.registry.get_job(job_id)).doing:
            await asyncio.sleep(0.05)
    return job


async def cancelled_midway(yard: Modelyard, hub: Hub) -> Job:
    """A job that was cancelled when a part of its one file had come."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.large(CONTENT).slow_s = 0.02
    job = await begun(yard, "hf:org/name")
    await until(lambda: hub.cdn.sent > 2_000_000)
    await yard.downloads.cancel(job.id)
    await state_of(yard, job.id, "cancelled")
    return job


async def test_cancelled_and_tried_again(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    """Cancel ends it there; what came is kept, and a retry fetches the rest alone."""
    job = await cancelled_midway(yard, hub)
    assert "modelyard-fetch" not in host.exec(["sh", "-c", "ps -eo args"])
    assert not (host.models_folder / "org" / "name" / "model.safetensors").exists()
    sent, hub.large(CONTENT).slow_s = hub.cdn.sent, 0
    hub.cdn.expire()
    await yard.downloads.resume(job.id)
    assert (await state_of(yard, job.id, "done", "failed")).error == ""
    assert (host.models_folder / "org" / "name" / "model.safetensors").read_bytes() == CONTENT
    assert hub.cdn.sent - sent < len(CONTENT) - 1_000_000


async def test_the_worker_is_killed(
    idle: Modelyard, hub: Hub, host: FleetHost, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By command: the host goes on meanwhile, and the next worker finds it going on or ended."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.large(CONTENT).slow_s = 0.02
    words = ("download", "start", "hf:org/name", "--host", "gpu1", "--no-wait", "--json")
    queued = (await asyncio.to_thread(modelyard, *words)).document
    assert (queued["kind"], queued["host"], queued["folder"]) == ("direct", "gpu1", "/srv/models/org/name")
    try:
        await until(lambda: hub.cdn.sent > 1_000_000)
        [worker] = workers(short_folder)
        worker.kill()
        worker.wait(10)
    finally:
        end_all(short_folder)
    sent = hub.cdn.sent
    await until(lambda: hub.cdn.sent > sent + 1_000_000)
    async with working(idle, monkeypatch):
        ended = await state_of(idle, queued["id"], "done", "failed")
    assert (ended.state, ended.error, hub.cdn.sent) == ("done", "", len(CONTENT))
    listed = await asyncio.to_thread(modelyard, "download", "list")
    assert queued["id"] in listed.stdout


async def test_bytes_that_are_not_what_was_announced(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    """A byte is flipped on the way: once it is fetched again, always and nothing gets the name."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    served = hub.large(CONTENT)
    served.fault = lambda number, start: Fault(flip=7) if number == 1 else None
    job = await begun(yard, "hf:org/name")
    assert (await state_of(yard, job.id, "done", "failed")).error == ""
    assert (host.models_folder / "org" / "name" / "model.safetensors").read_bytes() == CONTENT
    served.fault = lambda number, start: Fault(flip=7)
    job = await begun(yard, "hf:org/name", folder="org/again")
    ended = await state_of(yard, job.id, "done", "failed")
    assert (ended.error_code, SHA in ended.cause) == ("WrongBytes", True)
    assert not (host.models_folder / "org" / "again" / "model.safetensors").exists()


async def test_a_file_that_changes_at_its_source(yard: Modelyard, fleet: Fleet, host: FleetHost) -> None:
    """Nobody announces a hash: the ETag tells, and no mixture of two versions is ever kept."""
    served = Served(content=CONTENT, slow_s=0.01)
    served.fault = lambda number, start: Fault(cut_after=3_000_000) if start == 0 and served.etag == '"one"' else None
    other = CONTENT[::-1]
    with FileServer(str(fleet.network.front[1])).running() as server:
        server.files["model.gguf"] = served
        job = await begun(yard, server.url("model.gguf"))
        await until(lambda: any(part.stat().st_size > 1_000_000 for part in parts(host)))
        served.content, served.etag, served.slow_s = other, '"two"', 0
        assert (await state_of(yard, job.id, "done", "failed")).error == ""
        assert '"one"' in [request.headers.get("If-Range") for request in server.requests]
    assert (host.models_folder / "custom" / "model.gguf").read_bytes() == other


def parts(host: FleetHost) -> list[Path]:
    return [path for path in host.models_folder.rglob(".modelyard-*.part") if path.is_file()]


async def test_a_token_that_is_missing(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    """It is asked for, and what was begun goes on with it."""
    hub.tokens.add(TOKEN)
    repo = hub.add("org/name", {"model.safetensors": CONTENT})
    listing = await yard.downloads.look("hf:org/name")
    repo.gated, repo.readers = "auto", {TOKEN}
    job = await yard.downloads.start(listing, host="gpu1")
    ended = await state_of(yard, job.id, "done", "failed")
    assert (ended.error_code, "--token-stdin" in ended.remedy) == ("DownloadDenied", True)
    await yard.downloads.resume(job.id, token=TOKEN)
    assert (await state_of(yard, job.id, "done", "failed")).error == ""


async def test_what_a_host_can_not_do(yard: Modelyard, hub: Hub, host: FleetHost, tmp_path: Path) -> None:
    """No room, no way there: told before anything is queued, with what to do instead."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    with host.fill_disk(leave=5_000_000), pytest.raises(DiskFull, match=r"11\.4 MiB are needed"):
        await begun(yard, "hf:org/name")
    listing = await yard.downloads.look("hf:org/name")
    away = replace(listing, files=(replace(listing.files[0], url="http://127.0.0.1:9/x"),))
    with pytest.raises(CommandFailed, match="does not get to") as failure:
        await yard.downloads.start(away, host="gpu1")
    assert "modelyard hosts copy" in failure.value.remedy
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(NotAllowed, match="of this machine"):
        await begun(yard, str(tmp_path / "m.gguf"))
    assert await yard.downloads.all() == []


NO_CURL = "gpu1 has no curl, and so can't download by itself."


async def test_a_host_without_curl(yard: Modelyard, hub: Hub, host: FleetHost, fleet: Fleet) -> None:
    """D4, by command: told before anything is queued, with the likely cause and what to do instead."""
    hub.add("org/name", {"model.safetensors": CONTENT})
    with host.lack("curl"):
        ran = await asyncio.to_thread(modelyard, "download", "start", "hf:org/name", "--host", "gpu1", code=1)
        words = ("download", "start", "hf:org/name", "--host", "gpu1", "--json")
        told = (await asyncio.to_thread(modelyard, *words, code=1)).problem
        assert fleet.hosts[1].exec(["sh", "-c", "command -v curl"]), "only this host lacks it"
    assert (told["error"], told["message"], "PATH" in told["cause"]) == ("CommandFailed", NO_CURL, True)
    assert "apt install curl" in told["remedy"]
    assert "modelyard hosts copy MODEL --to gpu1" in told["remedy"]
    assert [f"{name}: {told[name]}" in ran.stderr for name in ("cause", "remedy")] == [True, True]
    assert await yard.downloads.all() == []


async def test_curl_is_taken_away_meanwhile(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    """D4, by command: the job fails at once instead of being tried again, and goes on when curl is back."""
    job = await cancelled_midway(yard, hub)
    sent, hub.large(CONTENT).slow_s = hub.cdn.sent, 0
    with host.lack("curl"):
        await asyncio.to_thread(modelyard, "download", "retry", job.id)
        ended = await state_of(yard, job.id, "failed")
    assert (ended.error_code, ended.error, "PATH" in ended.cause) == ("CommandFailed", NO_CURL, True)
    assert (ended.attempts, ended.not_before) == (1, None)
    listed = (await asyncio.to_thread(modelyard, "download", "list", "--json")).document["downloads"]
    assert [(one["state"], one["error"]) for one in listed] == [("failed", NO_CURL)]
    await asyncio.to_thread(modelyard, "download", "retry", job.id)
    assert (await state_of(yard, job.id, "done", "failed")).error == ""
    assert (host.models_folder / "org" / "name" / "model.safetensors").read_bytes() == CONTENT
    assert hub.cdn.sent - sent < len(CONTENT) - 1_000_000


async def test_a_disk_that_fills_meanwhile(yard: Modelyard, hub: Hub, host: FleetHost) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.large(CONTENT).slow_s = 0.02
    with host.fill_disk(leave=20_000_000):
        job = await begun(yard, "hf:org/name")
        await until(lambda: hub.cdn.sent > 1_000_000)
        host.exec(["sh", "-c", "cat /dev/zero >/srv/models/org/other 2>/dev/null || true"])
        ended = await state_of(yard, job.id, "done", "failed")
    assert (ended.state, ended.error_code) == ("failed", "DiskFull")
    assert not (host.models_folder / "org" / "name" / "model.safetensors").exists()
    (host.models_folder / "org" / "other").unlink()
    hub.large(CONTENT).slow_s = 0
    await yard.downloads.resume(job.id)
    assert (await state_of(yard, job.id, "done", "failed")).error == ""
    assert (host.models_folder / "org" / "name" / "model.safetensors").read_bytes() == CONTENT
