"""What a script needs to go on when its command was broken off, and what is refused before it is queued."""

from __future__ import annotations

import json
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cli import copies, diagnostics
from core.cli.output import Output
from core.downloads.copy_events import CopyFailed
from core.errors import Refused
from core.registry.jobs import Job
from tests.cli.program import done, modelyard, start
from tests.downloads.server import FileServer, Served
from tests.downloads.test_jobs import end_all, until


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


def test_a_script_that_is_broken_off_knows_the_job(short_folder: Path) -> None:
    """D6: Ctrl-C ends the looking; the error document names what goes on."""
    with FileServer().running() as server:
        server.files["model.gguf"] = Served(content=random.Random(3).randbytes(9_000_000), slow_s=0.2)
        front = start("download", "start", server.url("model.gguf"), "--json")
        until(lambda: server.sent > 500_000, "some bytes")
        front.send_signal(signal.SIGINT)
        _, err = front.communicate(timeout=30)
        told = json.loads(err)
        assert (front.returncode, told["error"]) == (130, "Interrupted")
        [job_id] = told["jobs"]
        assert told["remedy"].endswith(f"modelyard download show {job_id}")
        assert done("download", "cancel", job_id, "--json").json()["id"] == job_id


def test_copies_that_go_on_are_named_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """D6: those that were begun; what could not be is none."""
    monkeypatch.setattr(diagnostics, "_going_on", [])
    begun = [Job(user_id="ada", title="x", host=host, kind="copy") for host in ("gpu1", "gpu2")]
    copies._goes_on(Output(json=True), [*begun, CopyFailed.of("gpu3", "/srv", Refused("It is full."))])

    def interrupted() -> int:
        raise KeyboardInterrupt

    assert diagnostics.guarded(interrupted, json=True) == 130
    assert json.loads(capsys.readouterr().err)["jobs"] == [job.id for job in begun]


def test_a_link_to_another_file_system_is_refused_before_it_is_queued(short_folder: Path) -> None:
    """D5: with what works instead."""
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        (elsewhere / "model.gguf").write_bytes(b"GGUF" + bytes(100))
        refused = modelyard("download", "start", str(elsewhere / "model.gguf"), "--how", "link", "--json")
        assert (refused.code, refused.error()["error"]) == (3, "Refused")
        assert "on another file system" in refused.error()["message"]
        for way in ("--how copy", f"modelyard files register {elsewhere}/model.gguf"):
            assert way in refused.error()["remedy"]
        assert done("download", "list", "--json").json() == {"downloads": []}
    finally:
        shutil.rmtree(elsewhere)
