"""The models folder by command (D7, D8, D9, L8, L9): told of, verified, taken up when carried in, deleted if asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import FileProblem
from core.files import installed
from core.files.installed import InstalledModel
from core.files.paths import stays_inside
from tests.cli.program import done, modelyard

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def models(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one installed model of three files and one file that nobody told of."""
    folder = short_folder / "models"
    (folder / "org" / "tuned").mkdir(parents=True)
    files = []
    for name in ("config.json", "a.safetensors", "b.safetensors"):
        path = folder / "org" / "tuned" / name
        path.write_bytes(CONTENT + name.encode())
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"path": f"org/tuned/{name}", "size": path.stat().st_size, "sha256": sha256})
    installed.record(folder, InstalledModel(path="org/tuned", title="tuned", source="hf:org/tuned", files=tuple(files)))
    (folder / "carried.gguf").write_bytes(b"GGUF" + CONTENT)
    monkeypatch.setenv("MODELS_DIR", str(folder))
    return folder


def test_what_is_there_is_told(models: Path) -> None:
    """D7, D8."""
    told = done("files", "list", "--json").json()
    assert [(model["path"], len(model["files"])) for model in told["models"]] == [("org/tuned", 3)]
    assert told["unknown"] == [str(models / "carried.gguf")]
    usage = done("files", "usage", "--json").json()
    assert usage["models"]["org/tuned"] == usage["families"]["org"] == told["models"][0]["size"]
    assert usage["total"] > usage["models"]["org/tuned"]
    assert "org/tuned" in done("files", "list", "--search", "HF: tun").out


def test_damage_is_named(models: Path) -> None:
    """D9."""
    fine = done("files", "verify", "--json").out.splitlines()
    assert {json.loads(line)["condition"] for line in fine} == {"fine"}
    folder = models / "org" / "tuned"
    (folder / "config.json").unlink()
    with (folder / "a.safetensors").open("r+b") as file:
        file.seek(500_000)
        file.write(b"\x00\xff\x00")
    with (folder / "b.safetensors").open("r+b") as file:
        file.truncate(1000)
    ended = modelyard("files", "verify", "tuned", "--json")
    assert ended.code == 1
    found = {Path(line["path"]).name: line["condition"] for line in map(json.loads, ended.out.splitlines())}
    assert found == {"config.json": "missing", "a.safetensors": "changed", "b.safetensors": "short"}
    assert "3 files are not what was installed" in modelyard("files", "verify").out


def test_what_was_carried_in_is_taken_up(models: Path) -> None:
    """D7."""
    [taken] = done("files", "adopt", "--json").json()["adopted"]
    assert taken["path"] == "carried.gguf"
    assert taken["files"][0]["sha256"] == hashlib.sha256(b"GGUF" + CONTENT).hexdigest()
    assert done("files", "list", "--json").json()["unknown"] == []
    assert done("files", "adopt", "--json").json() == {"adopted": []}


def test_deleting_files_is_asked_for_and_spares_the_rest(models: Path) -> None:
    """L8: removing a record touches no file; deleting files is an action of its own."""
    (models / "org" / "tuned" / "mine.txt").write_text("mine")
    done("models", "add", "tuned", "--provider", "vllm", "--model-id", "org/tuned", "--path", str(models / "org/tuned"))
    done("models", "delete", "tuned", "--yes")
    assert (models / "org" / "tuned" / "a.safetensors").exists()
    assert modelyard("files", "delete", "tuned").code == 3
    assert (models / "org" / "tuned" / "a.safetensors").exists()
    done("files", "delete", "tuned", "--yes")
    assert [path.name for path in (models / "org" / "tuned").iterdir()] == ["mine.txt"]
    assert done("files", "list", "--json").json()["models"] == []
    assert (models / "carried.gguf").exists()


def test_the_models_folder_of_a_host(models: Path) -> None:
    """L9."""
    assert done("files", "base-dir").out.strip() == str(models)
    assert modelyard("files", "base-dir", "/other").code == 3, "the environment's word stands"


def test_the_models_folder_of_this_machine_is_kept(short_folder: Path) -> None:
    """L9."""
    config = short_folder / "config" / "modelyard" / "config.toml"
    config.parent.mkdir(mode=0o700)
    config.write_text('# mine\ntheme = "nord"\nmodels_dir = "/old"\n[keymap]\nquit = "f9"\n')
    wanted = str(short_folder / 'with "quotes"')
    assert done("files", "base-dir", wanted, "--json").json()["models_dir"] == wanted
    assert done("files", "base-dir").out.strip() == wanted
    text = config.read_text()
    assert text.startswith('# mine\ntheme = "nord"\n')
    assert "[keymap]\nquit" in text
    assert "/old" not in text
    assert modelyard("files", "base-dir", "relative").code == 2


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b", "", "a\x1bb"])
def test_a_folder_that_names_files_outside_of_it_is_refused(tmp_path: Path, path: str) -> None:
    """A folder that was carried here may tell anything."""
    told = {"models": [{"path": "x", "title": "x", "files": [{"path": path, "size": 1, "sha256": ""}]}]}
    (tmp_path / installed.NAME).write_text(json.dumps(told))
    with pytest.raises(FileProblem, match="outside") as raised:
        installed.read(tmp_path)
    assert "\x1b" not in raised.value.message


@pytest.mark.parametrize("content", ["", "{", "[" * 50_000, "[]", '{"models": 3}', '{"models": [{"title": "x"}]}'])
def test_a_damaged_file_is_never_written_over(tmp_path: Path, content: str) -> None:
    (tmp_path / installed.NAME).write_text(content)
    with pytest.raises(FileProblem):
        installed.read(tmp_path)
    with pytest.raises(FileProblem):
        installed.record(tmp_path, InstalledModel(path="x", title="x"))
    assert (tmp_path / installed.NAME).read_text() == content


_names = st.text(min_size=1, max_size=20).filter(stays_inside)


@given(st.dictionaries(_names, st.tuples(_names, st.integers(0, 2**50)), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, models: dict[str, tuple[str, int]]) -> None:
    folder = tmp_path_factory.mktemp("models")
    expected: dict[str, Any] = {}
    for path, (title, size) in models.items():
        files = ({"path": path, "size": size, "sha256": "0" * 64},)
        expected[path] = installed.record(folder, InstalledModel(path=path, title=title, files=files))
    assert {model.path: model for model in installed.read(folder)} == expected
