"""`modelyard hosts …` and the doctor, on this machine and on real hosts."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from core.settings import Settings
from tests.cli.program import Terminal, done, modelyard
from tests.fleet.fleet import Fleet
from tests.fleet.shell import run


def test_this_machine_is_always_a_host() -> None:
    [host] = done("hosts", "list", "--json").json()["hosts"]
    assert (host["name"], host["kind"], host["reachable"]) == ("local", "local", True)
    assert host["disk"]["total"] > 0
    [cached] = done("hosts", "list", "--cached", "--json").json()["hosts"]
    assert cached["name"] == "local"
    assert "local" in done("hosts", "list").out


def test_this_machine_is_not_removed() -> None:
    refused = modelyard("hosts", "remove", "local", "--yes", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "NotAllowed")


def test_the_gpus_of_all_hosts() -> None:
    document = done("hosts", "gpus", "--json").json()
    assert [one["host"] for one in document["hosts"]] == ["local"]
    assert "local" in done("hosts", "gpus").out


def test_folders_of_the_models_folder(short_folder: Path) -> None:
    models = short_folder / "models"
    (models / "org").mkdir(parents=True)
    (models / "a.gguf").write_bytes(b"x" * 10)
    env = {"MODELS_DIR": str(models)}
    document = modelyard("hosts", "folders", "local", "--json", env=env).json()
    assert document["folder"] == str(models)
    assert [(Path(one["path"]).name, one["is_dir"]) for one in document["entries"]] == [
        ("a.gguf", False),
        ("org", True),
    ]
    assert modelyard("hosts", "folders", "local", "/nowhere/at/all", "--json").error()["error"] == "NotFound"


def test_doctor_ends_with_1_only_where_something_is_wrong() -> None:
    ended = modelyard("doctor", "--json")
    document = ended.json()
    assert {"host", "severity", "check", "reason", "remedy"} == set(document["findings"][0])
    assert {one["host"] for one in document["findings"]} == {"modelyard", "local"}
    assert ended.code == (1 if document["worst"] == "error" else 0)
    assert modelyard("doctor", "nowhere").code == 1


def test_inspect_tells_what_a_file_is(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(smollm2, tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    document = done("files", "inspect", "model.gguf", "--json").json()
    assert (document["format"], document["architecture"], document["host"]) == ("gguf", "llama", "local")
    assert "llama" in done("files", "inspect", str(tmp_path)).out
    (tmp_path / "text.gguf").write_text("no model at all")
    assert modelyard("files", "inspect", "text.gguf").code == 1


@pytest.mark.parametrize("command", ["check", "remove", "folders", "edit"])
def test_a_host_that_is_not_there(command: str) -> None:
    ended = modelyard("hosts", command, "nowhere", "--json")
    assert (ended.code, ended.error()["error"]) == (1, "NotFound")


def test_an_address_where_nothing_answers_ends_with_4() -> None:
    ended = modelyard("hosts", "add", "gone", "me@127.0.0.1", "--json")
    assert ended.code == 4
    assert ended.error()["remedy"]
    assert [one["name"] for one in done("hosts", "list", "--cached", "--json").json()["hosts"]] == ["local"]


@pytest.fixture
def first_contact(fleet: Fleet, short_folder: Path) -> tuple[str, ...]:
    """The words that add gpu1, whose key nobody here has met."""
    config = fleet.write_ssh_config(short_folder / "ssh_config", known_hosts=short_folder / "known_hosts")
    return ("hosts", "add", "gpu1", "--ssh-config", str(config))


def _fingerprint(fleet: Fleet) -> str:
    return run("ssh-keygen", "-lf", fleet.hosts[0].host_key.with_suffix(".pub")).split()[1]


def test_an_unknown_key_is_refused_with_the_command_that_accepts_it(
    fleet: Fleet, first_contact: tuple[str, ...]
) -> None:
    refused = modelyard(*first_contact, "--json")
    assert (refused.code, refused.error()["error"]) == (4, "HostKeyUnknown")
    assert any(_fingerprint(fleet) in one for one in refused.error()["fingerprints"])
    command = shlex.split(refused.error()["remedy"].partition("then: ")[2])
    assert command[0] == "modelyard"
    assert done(*command[1:], "--json").json()["name"] == "gpu1"
    assert done("hosts", "check", "gpu1", "--json").json()["worst"] != "error"


def test_a_wrong_fingerprint_is_refused(first_contact: tuple[str, ...]) -> None:
    wrong = f"SHA256:{'A' * 43}"
    assert modelyard(*first_contact, "--accept-host-key", wrong).code == 4
    assert len(done("hosts", "list", "--cached", "--json").json()["hosts"]) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\r", 0), ("n\r", 4)])
def test_on_a_terminal_the_fingerprint_is_shown_and_asked_about(
    fleet: Fleet, first_contact: tuple[str, ...], answer: str, code: int
) -> None:
    terminal = Terminal(*first_contact)
    assert _fingerprint(fleet) in terminal.wait_for("[y/N]")
    terminal.write(answer)
    assert terminal.close() == code, terminal.seen


def test_hosts_are_changed_looked_into_and_forgotten(fleet: Fleet, first_contact: tuple[str, ...]) -> None:
    words = (*first_contact[:3], "--ssh-config", str(fleet.ssh_config))
    added = done(*words, "--models-dir", fleet.hosts[0].models_dir, "--json").json()
    assert (added["models_dir"], added["target"]) == (fleet.hosts[0].models_dir, "gpu1")
    assert done("hosts", "folders", "gpu1", "--json").json()["folder"] == fleet.hosts[0].models_dir
    assert done("hosts", "edit", "gpu1", "--models-dir", "/srv", "--json").json()["models_dir"] == "/srv"
    assert done("hosts", "gpus", "gpu1", "--json").json()["hosts"][0]["reachable"] is True
    assert modelyard("hosts", "remove", "gpu1").code == 3
    assert done("hosts", "remove", "gpu1", "--yes", "--json").json()["removed"] is True
    assert modelyard("hosts", "check", "gpu1").code == 1


def test_a_host_that_is_cut_off_is_told_as_unreachable(
    fleet: Fleet, first_contact: tuple[str, ...], settings: Settings
) -> None:
    settings.config_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.config_dir / "config.toml").write_text("connect_timeout_s = 3\n")
    done(*first_contact[:3], "--ssh-config", str(fleet.ssh_config))
    with fleet.hosts[0].cut():
        gone = {one["name"]: one for one in done("hosts", "list", "--json").json()["hosts"]}["gpu1"]
        assert gone["reachable"] is False
        assert gone["problem"]
        assert modelyard("hosts", "folders", "gpu1").code == 4
        assert done("servers", "list", "--json").json() == {"servers": []}
