"""What commands of downloads and files say to somebody who sees them for the first time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.app import Modelyard
from core.registry.jobs import Job
from core.settings import Settings
from core.text import size, then
from tests.cli.program import done, modelyard
from tests.downloads.server import Fault, FileServer, Served
from tests.downloads.test_jobs import end_all
from tests.unit.pickles import running, zipped


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[str]:
    """The address of a pickle that makes a file when it is loaded."""
    server = FileServer()
    server.files["evil.pt"] = Served(content=zipped(running(tmp_path / "victim")))
    with server.running():
        yield server.url("evil.pt")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=b"GGUF" + bytes(1000)).running() as server:
        yield server


def test_a_pickle_is_warned_of_before_and_after_and_what_makes_a_model_is_told(evil: str) -> None:
    """D5, D12: one that was fetched and would run code does not go by unsaid."""
    assert "1 file can run code when loaded (pickle)" in done("download", "look", evil).err
    ended = done("download", "start", evil)
    assert "1 file can run code when loaded (pickle)" in ended.err
    assert "warning: evil.pt would run code when it is loaded: it imports posix.system." in ended.out
    assert "modelyard files register custom/evil.pt" in ended.out


def test_scripts_get_the_name_and_the_warning(evil: str) -> None:
    """D5."""
    told = done("download", "start", evil, "--json").json()
    assert (told["installed"], "posix.system" in told["warning"]) == ("custom/evil.pt", True)


def test_where_nothing_is_there_the_next_command_is_told() -> None:
    """D8, D9: and no check of nothing is said to have found all well."""
    assert "modelyard download start SOURCE" in done("download", "list").out
    assert done("download", "list", "--state", "failed").out == "Nothing is failed.\n"
    assert "modelyard download catalog" in done("files", "list").out
    assert done("files", "verify", "--all").out == "Nothing is installed, so nothing was checked.\n"
    assert done("download", "list", "--json").json() == {"downloads": []}
    assert done("files", "adopt").out == "0 models taken up.\n"


def test_a_host_where_a_folder_belongs_is_taken_for_what_it_is() -> None:
    """L9: other commands take the host there."""
    ended = modelyard("files", "base-dir", "local")
    assert (ended.code, "files base-dir --host local" in ended.err) == (2, True)


async def test_what_a_job_at_work_waits_for_is_listed(settings: Settings) -> None:
    """D6: a line that is down is no job that runs."""
    async with Modelyard.open(settings) as yard:
        doing = "waiting for the line: gpu1 does not answer."
        user = yard.registry.user_id
        await yard.registry.add_job(Job(user_id=user, title="a", state="running", wanted="pause", doing=doing))
    listed = done("download", "list").out
    assert doing in listed
    assert "0 B/s" in listed


def test_of_a_failure_the_command_that_goes_on_stands_apart(server: FileServer) -> None:
    """D6, D12: the remedy is read as two steps."""
    server.files["model.gguf"].fault = lambda number, start: Fault(status=404) if number > 1 else None
    told = modelyard("download", "start", server.url("model.gguf")).err
    assert "Then: modelyard download retry " in told
    assert then("Free some room (modelyard x)", "modelyard y") == "Free some room (modelyard x), then: modelyard y"
    assert (then("", "modelyard y"), size(5 << 30)) == ("modelyard y", "5.0 GiB")


def test_a_download_that_was_left_is_followed_again(server: FileServer) -> None:
    """D6: to its end, whichever that is."""
    server.files["model.gguf"].slow_s = 0.3
    job = done("download", "start", server.url("model.gguf"), "--no-wait", "--json").json()["id"]
    assert done("download", "show", "-f", job, "--json").json()["state"] == "done"
    server.files["gone.gguf"] = Served(content=b"GGUF", fault=lambda number, start: Fault(status=404 * (number > 1)))
    job = done("download", "start", server.url("gone.gguf"), "--no-wait", "--json").json()["id"]
    ended = modelyard("download", "show", "--follow", job)
    assert (ended.code, "The file is not there." in ended.err) == (1, True)
    assert done("download", "show", job, "--json").json()["state"] == "failed"
