"""Downloads by command (D4, D5, D6, D12): the worker outlives who started it and loses nothing when it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.app import Modelyard
from core.downloads.partial import Partial
from core.downloads.placing import How, Placing
from core.downloads.room import check_room, make_folder, to_come
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.transfer import fetch
from core.downloads.values import RemoteFile
from core.errors import DiskFull, FileProblem, ModelyardError
from core.events import now
from core.registry.jobs import Job
from core.settings import Settings
from tests.cli.program import done, modelyard, start
from tests.downloads.inline import working
from tests.downloads.server import Fault, FileServer, Request, Served

CONTENT = random.Random(9).randbytes(12_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
TOKEN = "hf_planted_token_4711"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=CONTENT).running() as server:
        yield server


@pytest.fixture
def models(short_folder: Path) -> Path:
    return short_folder / "data" / "modelyard" / "models"


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


def workers(folder: Path) -> list[psutil.Process]:
    """The workers of this test's registry."""
    return _running("core.downloads.worker", folder)


def end_all(folder: Path) -> None:
    """Kill the fronts of this test that wait for a download, which would start workers again, then the workers."""
    for program in ("tui", "core.downloads.worker"):
        for process in _running(program, folder):
            process.kill()


def _running(program: str, folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        if program in words and str(folder) in str(environment.get("XDG_DATA_HOME")):
            found.append(process)
    return found


def until(true: Callable[[], Any], what: str, *, within_s: float = 40) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.1)
    return found


def queued(*words: str) -> str:
    """The id of a download that was started and is not waited for."""
    return str(done("download", "start", *words, "--no-wait", "--json").json()["id"])


def job(job_id: str) -> dict[str, Any]:
    """The record, read beside the program."""
    path = Path(os.environ["XDG_DATA_HOME"]) / "modelyard" / "registry.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def ends(job_id: str, state: str) -> dict[str, Any]:
    """The job once it is in `state`."""
    until(lambda: job(job_id)["state"] == state, f"{job_id} is {state}")
    return job(job_id)


def test_a_file_from_an_address(server: FileServer, models: Path) -> None:
    """D4, D7."""
    told = done("download", "start", server.url("model.gguf"), "--json").json()
    assert (told["state"], told["bytes_done"], told["files"][0]["sha256"]) == ("done", len(CONTENT), SHA)
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT
    [model] = json.loads((models / "installed-models.json").read_text())["models"]
    assert (model["path"], model["source"]) == ("custom/model.gguf", server.url("model.gguf"))
    assert model["files"] == [{"path": "custom/model.gguf", "size": len(CONTENT), "sha256": SHA}]


def test_it_goes_on_when_the_terminal_is_gone(server: FileServer, models: Path) -> None:
    """D6."""
    server.files["model.gguf"].slow_s = 0.005
    front = start("download", "start", server.url("model.gguf"))
    until(lambda: server.sent > 1_000_000, "some bytes")
    front.kill()
    front.communicate()
    [told] = until(lambda: _with_state("done"), "done without us")
    assert told["bytes_done"] == len(CONTENT)
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT


def _with_state(state: str) -> list[Any]:
    return list(done("download", "list", "--state", state, "--json").json()["downloads"])


def test_paused_resumed_cancelled_and_tried_again(server: FileServer, models: Path) -> None:
    """D6."""
    server.files["model.gguf"].slow_s = 0.1
    job_id = queued(server.url("model.gguf"))
    until(lambda: server.sent > 2_000_000, "some bytes")
    done("download", "pause", job_id)
    paused = ends(job_id, "paused")
    assert 0 < paused["bytes_done"] < len(CONTENT)
    done("download", "resume", job_id)
    until(lambda: job(job_id)["state"] == "running", "running again")
    done("download", "cancel", job_id)
    ends(job_id, "cancelled")
    assert not (models / "custom" / "model.gguf").exists()
    server.files["model.gguf"].slow_s = 0
    done("download", "retry", job_id)
    ends(job_id, "done")
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT
    assert server.sent < len(CONTENT) * 1.5
    assert modelyard("download", "pause", job_id).code == 3


def test_a_worker_that_is_killed_is_replaced(server: FileServer, short_folder: Path, models: Path) -> None:
    """D6: nothing is fetched again but what was not noted yet."""
    server.files["model.gguf"].slow_s = 0.05
    job_id = queued(server.url("model.gguf"))
    for kill in range(2):
        until(lambda: server.sent > (kill + 1) * 3_000_000, "some more bytes")  # noqa: B023 - used at once
        [worker] = until(lambda: workers(short_folder), "a worker")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
        done("download", "list")
    server.files["model.gguf"].slow_s = 0
    ends(job_id, "done")
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT
    assert server.sent < 2 * len(CONTENT)


def test_one_worker_for_all(server: FileServer, short_folder: Path, models: Path) -> None:
    for number in range(4):
        server.files[f"m{number}.gguf"] = Served(content=CONTENT[: 2_000_000 + number], slow_s=0.005)
    fronts = [start("download", "start", server.url(f"m{number}.gguf"), "--json") for number in range(4)]
    until(lambda: len(workers(short_folder)) == 1, "one worker, and those too many end by themselves")
    for front in fronts:
        out, err = front.communicate(timeout=60)
        assert front.returncode == 0, err
        assert json.loads(out)["state"] == "done"
    assert len(json.loads((models / "installed-models.json").read_text())["models"]) == 4
    until(lambda: not workers(short_folder), "the worker goes when there is nothing to do")


def test_a_failure_says_what_to_do_and_can_be_tried_again(server: FileServer, models: Path) -> None:
    server.files["model.gguf"].fault = lambda number, start: Fault(status=404) if number > 1 else None
    ended = modelyard("download", "start", server.url("model.gguf"), "--json")
    assert (ended.code, ended.error()["error"]) == (1, "DownloadFailed")
    [told] = _with_state("failed")
    assert (told["error"], "404" in told["cause"]) == ("model.gguf: The file is not there.", True)
    server.files["model.gguf"].fault = lambda number, start: None
    done("download", "retry", told["id"])
    ends(told["id"], "done")


def test_a_token_goes_over_a_private_channel(server: FileServer, short_folder: Path, models: Path) -> None:
    """D11: held in memory, and nowhere else."""
    served = server.files["model.gguf"]
    served.fault = lambda number, start: None if _has_token(server.requests[-1]) else Fault(status=401)
    served.slow_s = 0.005
    assert modelyard("download", "start", server.url("model.gguf")).code == 1
    front = start("download", "start", server.url("model.gguf"), "--token-stdin")
    assert front.stdin is not None
    front.stdin.write(f"{TOKEN}\n".encode())
    front.stdin.close()
    front.stdin = None
    until(lambda: server.sent > 500_000, "bytes with the token")
    for process in (*workers(short_folder), psutil.Process(front.pid)):
        assert TOKEN not in str(process.cmdline()) + str(process.environ())
    out, err = front.communicate(timeout=60)
    assert front.returncode == 0, err
    assert TOKEN.encode() not in out + err
    for path in short_folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def _has_token(request: Request) -> bool:
    return request.headers.get("Authorization") == f"Bearer {TOKEN}"


def test_nothing_is_overwritten_or_fetched_twice(server: FileServer, models: Path) -> None:
    models.parent.mkdir(mode=0o700)
    (models / "custom").mkdir(parents=True)
    (models / "custom" / "model.gguf").write_text("mine")
    ended = modelyard("download", "start", server.url("model.gguf"))
    assert (ended.code, "already" in ended.err) == (1, True)
    assert (models / "custom" / "model.gguf").read_text() == "mine"
    server.files["other.gguf"] = Served(content=CONTENT, slow_s=0.2)
    job_id = queued(server.url("other.gguf"))
    again = modelyard("download", "start", server.url("other.gguf"))
    assert (again.code, job_id in again.err) == (3, True)
    done("download", "cancel", job_id)


@pytest.mark.parametrize(
    ("source", "code"), [("ftp://x/y.gguf", 2), ("nonsense", 1), ("https://user:pass@host/x.gguf", 2)]
)
def test_sources_that_are_none(source: str, code: int) -> None:
    assert modelyard("download", "start", source).code == code


def test_types_that_are_no_models_are_refused(server: FileServer, tmp_path: Path) -> None:
    """D5."""
    server.files["setup.exe"] = Served(content=b"MZ")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "empty").mkdir()
    for source in (server.url("setup.exe"), str(tmp_path / "notes.docx"), str(tmp_path / "empty")):
        assert modelyard("download", "start", source).code == 2


@pytest.mark.parametrize("how", ["copy", "link", "move"])
def test_files_of_this_machine(tmp_path: Path, models: Path, how: str) -> None:
    """D5."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(CONTENT[:1_000_000])
    (folder / "config.json").write_text("{}")
    (folder / ".hidden").write_text("x")
    told = done("download", "start", str(folder), "--how", how, "--json").json()
    assert [file["path"] for file in told["files"]] == ["config.json", "model.safetensors"]
    placed = models / "custom" / "tuned" / "model.safetensors"
    assert placed.read_bytes() == CONTENT[:1_000_000]
    assert (folder / "model.safetensors").exists() == (how != "move")
    if how == "link":
        assert placed.stat().st_ino == (folder / "model.safetensors").stat().st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_too_small(server: FileServer, tmp_path: Path) -> None:
    """D12: found before the first byte."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", small], check=True)
    try:
        ended = modelyard("download", "start", server.url("model.gguf"), env={"MODELS_DIR": str(small)})
        assert (ended.code, "needs 11.4 MiB and" in ended.err) == (1, True)
        assert server.sent < 12_000_000, "no more than the kernels hold"
        assert [path for path in small.rglob("*") if path.is_file() and path.stat().st_size > 4096] == []
    finally:
        subprocess.run(["umount", small], check=True)


async def test_a_front_gives_up_when_nobody_works(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []
    monkeypatch.setattr("core.downloads.launch.start_worker", started.append)
    monkeypatch.setattr("core.downloads.service._WAKE_EVERY_S", 0.05)
    monkeypatch.setattr("core.downloads.service._LOOK_S", 0.01)
    monkeypatch.setattr("core.downloads.service._MOST_WAKES", 3)
    async with Modelyard.open(settings) as yard:
        added = await yard.registry.add_job(Job(user_id="me", title="stuck"))
        with pytest.raises(ModelyardError, match="Nothing happens to stuck"):
            _ = [one async for one in yard.downloads.follow(added.id)]
    assert len(started) == 3


@pytest.mark.parametrize(("wait_s", "due"), [(None, True), (-5, True), (5, False), (590, False), (3600, True)])
def test_a_clock_that_is_put_back_keeps_no_job_waiting(wait_s: float | None, due: bool) -> None:
    """D6: a retry waits ten minutes at the most."""
    not_before = None if wait_s is None else now() + timedelta(seconds=wait_s)
    assert Job(user_id="me", title="model", not_before=not_before).is_due is due


def test_a_models_folder_that_takes_nothing_is_explained(server: FileServer) -> None:
    """D7: before anything is queued; what to do is said, and nobody has to report it."""
    ended = modelyard("download", "start", server.url("model.gguf"), "--json", env={"MODELS_DIR": "/etc/hostname"})
    assert (ended.code, ended.error()["error"]) == (1, "FileProblem")
    assert ended.error()["message"] == "Nothing can be written to /etc/hostname/custom."
    assert "modelyard files base-dir FOLDER" in ended.error()["remedy"]
    assert done("download", "list", "--json").json() == {"downloads": []}
    with pytest.raises(FileProblem, match="Nothing can be written to /proc/none/custom"):
        make_folder(Path("/proc/none/custom"))


def test_what_is_installed_from_this_source_is_not_queued_again(server: FileServer, models: Path) -> None:
    """D5: an address tells no hash, so it can't be seen whether its file is another one by now."""
    done("download", "start", server.url("model.gguf"))
    again = modelyard("download", "start", server.url("model.gguf"), "--json")
    assert (again.code, "installed already" in again.error()["message"]) == (3, True)
    assert "files verify custom/model.gguf" in again.error()["remedy"]
    assert len(done("download", "list", "--json").json()["downloads"]) == 1
    (models / "custom" / "model.gguf").unlink()
    done("download", "start", server.url("model.gguf"))
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT


def test_what_is_there_already_needs_no_room(server: FileServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D12: a download that is begun anew wants room for what is still to come alone."""
    done("download", "start", server.url("model.gguf"))
    listing = Listing(
        source="url", title="two", folder="custom", files=tuple(_file(name) for name in ("model.gguf", "new.gguf"))
    )
    place = models / "custom"
    assert to_come(place, listing.files) == len(CONTENT)
    monkeypatch.setattr("core.downloads.room.SPARE", 1 << 60)
    check_room(place, "two", 0)
    with pytest.raises(DiskFull, match=r"two needs 11\.4 MiB and .* are left free"):
        check_room(place / "not" / "made", "two", to_come(place, listing.files))
    assert not (place / "not").exists()


def _file(name: str) -> SourceFile:
    return SourceFile(path=name, size=len(CONTENT), url=f"https://example.org/{name}")


async def test_a_models_folder_that_was_changed_meanwhile(
    server: FileServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D7: a job belongs to the folder that it was begun for, whatever the worker began with."""
    elsewhere = tmp_path / "elsewhere"
    changed = replace(settings, models_dir=elsewhere)
    async with Modelyard.open(settings) as yard, working(yard, monkeypatch), Modelyard.open(changed) as other:
        begun = await other.downloads.start(await other.downloads.look(server.url("model.gguf")))
        states = [(job.state, job.error) async for job in other.downloads.follow(begun.id)]
    assert states[-1] == ("done", "")
    assert "custom/model.gguf" in (elsewhere / "installed-models.json").read_text()


def test_a_web_page_is_not_taken_for_a_file(server: FileServer, models: Path) -> None:
    """D4: a login page answers 200, too."""
    page = Fault(headers={"Content-Type": "text/html; charset=utf-8"})
    server.files["page.gguf"] = Served(content=b"<html>Sign in</html>", fault=lambda *_: page)
    ended = modelyard("download", "start", server.url("page.gguf"))
    assert ended.code == 1
    assert "answers with a web page, not with a file" in ended.err
    assert not models.exists()


async def test_the_queue_is_put_in_order_told_and_cleared_by_command(settings: Settings) -> None:
    """D6: what is over leaves the list, alone or together; a state that there is not is refused."""
    async with Modelyard.open(settings) as yard:
        for state in ("paused", "done", "failed"):
            more: dict[str, Any] = {
                "spec": {"files": ["a", "b", "c"]},
                "files": [{"path": "a"}, {"path": "b"}],
                "bytes_total": 3 << 20,
            }
            await yard.registry.add_job(Job(user_id=settings.user_id, title=state, state=state, **more))
        ids = {one.title: one.id for one in await yard.downloads.all()}
    told = done("download", "priority", ids["paused"], "-1", "--json").json()
    assert (told["title"], told["priority"], told["created_at"][10]) == ("paused", -1, "T")
    assert "paused has priority 5" in done("download", "priority", ids["paused"], "5").out
    shown = done("download", "show", ids["paused"]).out
    assert "done        0 B of 3.0 MiB" in shown
    assert "files       2 of 3 done" in shown
    assert modelyard("download", "list", "--state", "bogus").code == 2
    assert modelyard("download", "remove").code == modelyard("download", "remove", ids["done"], "--over").code == 2
    assert modelyard("download", "remove", ids["paused"]).code == 3
    gone = done("download", "remove", "--over", "--json").json()["removed"]
    assert {one["title"] for one in gone} == {"done", "failed"}
    assert [one["title"] for one in done("download", "list", "--json").json()["downloads"]] == ["paused"]


def test_a_relative_models_folder_is_the_same_one_for_the_worker(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D7: the worker works in another folder than who asked."""
    monkeypatch.chdir(tmp_path)
    ended = modelyard("download", "start", server.url("model.gguf"), env={"MODELS_DIR": "here"})
    assert ended.code == 0, ended.err
    assert (tmp_path / "here" / "custom" / "model.gguf").read_bytes() == CONTENT


async def test_a_line_that_is_gone_is_told_while_it_is_waited_for(
    server: FileServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: a job at which nothing comes says why, and what it says is over once it goes on."""
    busy = [True]
    server.files["model.gguf"].slow_s = 0.02
    server.files["model.gguf"].fault = lambda number, start: Fault(status=503) if busy[0] and number > 1 else None
    async with Modelyard.open(settings) as yard, working(yard, monkeypatch):
        begun = await yard.downloads.start(await yard.downloads.look(server.url("model.gguf")))
        told = set()
        async for seen in yard.downloads.follow(begun.id):
            told.add(seen.doing)
            busy[0] = busy[0] and not seen.doing
        assert seen.state == "done"
    assert told == {"", "waiting for the line: the server answered 503"}


async def test_a_source_that_is_silent_is_told(
    server: FileServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: long before the line is given up, it is said that nothing comes; what it says is over once it goes on."""
    monkeypatch.setattr("core.downloads.worker._SILENT_S", 0.5)
    server.files["model.gguf"].fault = lambda number, start: Fault(stall_s=2.0) if number > 1 else None
    async with Modelyard.open(settings) as yard, working(yard, monkeypatch):
        begun = await yard.downloads.start(await yard.downloads.look(server.url("model.gguf")))
        told = [seen.doing async for seen in yard.downloads.follow(begun.id)]
    assert any(doing.startswith("waiting: nothing has come for ") for doing in told)
    assert told[-1] == ""


async def test_two_jobs_of_one_file_make_one_right_file(
    server: FileServer, models: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: begun twice at once, or an old one tried again beside a newer one: the second waits for the first."""
    server.files["model.gguf"].slow_s = 0.01
    async with Modelyard.open(settings) as yard, working(yard, monkeypatch):
        first = await yard.downloads.start(await yard.downloads.look(server.url("model.gguf")))
        known = {name: getattr(first, name) for name in ("user_id", "title", "folder", "spec", "bytes_total")}
        second = await yard.registry.add_job(Job(**known))
        over = [[job async for job in yard.downloads.follow(one.id)][-1] for one in (first, second)]
    assert [job.state for job in over] == ["done", "failed"]
    assert over[1].error.startswith("There is another file"), "an address tells no hash to know it by"
    assert (models / "custom" / "model.gguf").read_bytes() == CONTENT
    assert server.sent < 1.2 * len(CONTENT)


def test_a_part_has_one_writer(tmp_path: Path) -> None:
    """D6: whatever began it, a file that two would write is refused to the second, and the first goes on."""
    part = Partial(tmp_path / "model.gguf")
    descriptor = part.open(10)
    with pytest.raises(FileProblem, match="Another download is writing"):
        Partial(tmp_path / "model.gguf").open(10)
    assert part.path.exists()
    os.close(descriptor)
    os.close(part.open(10))


def test_a_part_that_another_program_writes_is_not_begun_anew(tmp_path: Path) -> None:
    """D6: a small file has no note to go on from, and a folder may have two programs that fetch into it."""
    target = tmp_path / "small.gguf"
    part = Partial(target)
    descriptor = part.open(10)
    os.write(descriptor, b"half")
    with FileServer().running() as server:
        server.files["small.gguf"] = Served(content=b"0123456789")
        remote = RemoteFile.at(server.url("small.gguf"), size=10)
        with pytest.raises(FileProblem, match="Another download is writing"):
            fetch(remote, target)
        source = tmp_path / "source.gguf"
        source.write_bytes(b"9876543210")
        with pytest.raises(FileProblem, match="Another download is writing"):
            Placing(source.as_uri(), target, how=How.COPY).run()
        assert part.path.read_bytes() == b"half"
        os.close(descriptor)
        assert fetch(remote, target).path.read_bytes() == b"0123456789"
