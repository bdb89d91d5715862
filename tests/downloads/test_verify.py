"""Checks of installed files as jobs (D9): what was checked is not read again, and just what is bad is fetched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.app import Modelyard
from core.registry.jobs import Job
from core.settings import Settings
from tests.cli.program import done, modelyard
from tests.downloads.inline import working
from tests.downloads.server import FileServer, Served

CONTENT = random.Random(3).randbytes(1_000_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer().running() as running:
        for name in ("a.gguf", "b.gguf"):
            running.files[name] = Served(content=CONTENT + name.encode())
        yield running


@pytest.fixture
async def yard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(settings) as opened, working(opened, monkeypatch):
        yield opened


async def over(yard: Modelyard, job: Job) -> Job:
    async with asyncio.timeout(30):
        async for changed in yard.downloads.follow(job.id):
            job = changed
    return job


async def installed(yard: Modelyard, server: FileServer) -> Path:
    """Two models of a file each; their folder."""
    for name in ("a.gguf", "b.gguf"):
        listing = await yard.downloads.look(server.url(name))
        assert (await over(yard, await yard.downloads.start(listing))).state == "done"
    return yard.files.folder / "custom"


def conditions(job: Job) -> dict[str, str]:
    return {Path(file["path"]).name: file["condition"] for file in job.files}


async def test_just_what_is_bad_is_fetched_again(yard: Modelyard, server: FileServer) -> None:
    """D9: the bad file stays until the right one has come."""
    folder = await installed(yard, server)
    (folder / "a.gguf").write_bytes(b"x" + CONTENT[1:] + b"a.gguf")
    asked = len(server.requests)
    checked = await over(yard, await yard.verifications.start())
    assert (checked.state, checked.result) == ("done", {"bad": 1, "all": 2})
    assert conditions(checked) == {"a.gguf": "changed", "b.gguf": "fine"}
    assert checked.error == "1 file is not what was installed: custom/a.gguf is changed."
    [repair] = await yard.verifications.repair(checked)
    assert isinstance(repair, Job)
    ended = await over(yard, repair)
    assert (ended.state, ended.error) == ("done", "")
    assert (folder / "a.gguf").read_bytes() == CONTENT + b"a.gguf"
    assert {request.path for request in server.requests[asked:]} == {"/a.gguf"}
    assert [path.name for path in yard.files.folder.iterdir() if "repair" in path.name] == []
    again = await over(yard, await yard.verifications.start(["custom/a.gguf"]))
    assert (again.error, conditions(again)) == ("", {"a.gguf": "fine"})


async def test_a_repair_that_fails_leaves_what_is_there(yard: Modelyard, server: FileServer) -> None:
    folder = await installed(yard, server)
    (folder / "a.gguf").write_bytes(b"mine")
    checked = await over(yard, await yard.verifications.start(["custom/a.gguf"]))
    server.files["a.gguf"].content = b"x" * (len(CONTENT) + 6)
    [repair] = await yard.verifications.repair(checked)
    assert isinstance(repair, Job)
    assert (await over(yard, repair)).error_code == "WrongBytes"
    assert (folder / "a.gguf").read_bytes() == b"mine"


async def test_what_was_checked_is_not_read_again(yard: Modelyard, server: FileServer) -> None:
    """D9: a check that was interrupted goes on with the files that are left."""
    folder = await installed(yard, server)
    (folder / "a.gguf").write_bytes(b"bad by now")
    models = await yard.files.installed()
    files = [{**file, "model": model.path} for model in models for file in model.files]
    found = {"path": "custom/a.gguf", "condition": "fine", "size": files[0]["size"], "expected": files[0]["size"]}
    total = sum(file["size"] for file in files)
    job = Job(
        user_id="me",
        kind="verify",
        title="2 models",
        folder=str(yard.files.folder),
        spec={"files": files},
        files=[found],
        bytes_total=total,
    )
    ended = await over(yard, await yard.downloads.queue(job))
    assert (conditions(ended), ended.bytes_done) == ({"a.gguf": "fine", "b.gguf": "fine"}, total)


async def test_what_nobody_knows_the_source_of(yard: Modelyard, settings: Settings) -> None:
    settings.models_dir.mkdir(parents=True)
    (settings.models_dir / "m.gguf").write_bytes(b"GGUF")
    async for _ in yard.files.adopt():
        pass
    (settings.models_dir / "m.gguf").unlink()
    [problem] = await yard.verifications.repair(await over(yard, await yard.verifications.start()))
    assert "Nobody knows where m.gguf came from" in str(problem)


async def test_by_command(yard: Modelyard, server: FileServer) -> None:
    """D9 by command: named, then repaired; the exit code tells; a check that is not waited for is a job."""
    model = await installed(yard, server) / "a.gguf"
    model.write_bytes(CONTENT)
    ran = await asyncio.to_thread(modelyard, "files", "verify", "--all", "--repair")
    assert ran.code == 0, ran.err
    assert "short: custom/a.gguf" in ran.out
    assert "a.gguf: 1 file is right again" in ran.out
    assert model.read_bytes() == CONTENT + b"a.gguf"
    model.unlink()
    queued = (await asyncio.to_thread(done, "files", "verify", "a.gguf", "--detach", "--json")).json()
    assert (queued["kind"], queued["title"]) == ("verify", "a.gguf")
    assert (await over(yard, await yard.registry.get_job(queued["id"]))).error.endswith("custom/a.gguf is missing.")


async def test_an_end_that_can_not_be_written(
    yard: Modelyard, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job never seems to go on for ever: it failed, or is taken up again."""
    await installed(yard, server)
    with monkeypatch.context() as patch:
        patch.setattr("core.downloads.verify_work._Results.end", lambda results: {"bytes_done": None})
        ended = await over(yard, await yard.verifications.start())
    assert (ended.state, "could not be written" in ended.error) == ("failed", True)
    await yard.registry.edit_job(ended.id, {"state": "running"})
    async with asyncio.timeout(30):
        while (job := await yard.registry.get_job(ended.id)).state != "done":
            await asyncio.sleep(0.05)
    assert job.error == ""
