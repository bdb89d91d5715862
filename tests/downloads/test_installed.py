"""The models folder by command (D7, D8, D9, L8, L9): told of, verified, taken up when carried in, deleted if asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.db import Database
from core.errors import FileProblem, InvalidInput, NotFound, Refused
from core.events import EventBus, Progress
from core.files import installed
from core.files.installed import InstalledModel
from core.files.paths import stays_inside
from core.files.service import FileChecked, FilesService, find
from core.files.verify import Verification
from core.registry.jobs import Job
from core.registry.records import Server
from core.registry.store import Registry
from core.registry.values import LOCAL_HOST, ServerStatus
from core.settings import Settings
from tests.cli.program import done, modelyard
from tests.unit.model_files import safetensors
from tests.unit.pickles import running, zipped
from tests.unit.stores import hf_cache, ollama_store

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
    assert usage["stores"] == {}
    assert usage["models"]["org/tuned"] == usage["families"]["org"] == told["models"][0]["size"]
    assert usage["total"] > usage["models"]["org/tuned"]
    assert "org/tuned" in done("files", "list", "--search", "HF: tun").out


def test_files_that_are_gone_and_a_folder_that_is_none_are_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7, D9: what was deleted by hand is not shown as if it was there."""
    assert [model["gone"] for model in done("files", "list", "--json").json()["models"]] == [[]]
    (models / "org" / "tuned" / "b.safetensors").unlink()
    assert done("files", "list", "--json").json()["models"][0]["gone"] == ["org/tuned/b.safetensors"]
    assert "org/tuned: 1 file gone from the disk" in done("files", "list").out
    monkeypatch.setenv("MODELS_DIR", str(models / "carried.gguf"))
    ended = modelyard("files", "list", "--json")
    assert (ended.code, ended.error()["error"]) == (1, "FileProblem")


def test_many_files_that_nobody_told_of_take_one_line_and_a_folder_that_is_not_there_is_said(models: Path) -> None:
    """D7."""
    (models / "by hand").mkdir()
    for number in range(40):
        (models / "by hand" / f"{number}.gguf").write_bytes(b"GGUF")
    listed = done("files", "list").out.splitlines()
    assert f"Not told of: 40 model files in {models}/by hand (modelyard files adopt takes them up)" in listed
    assert f"Not told of: {models}/carried.gguf (modelyard files adopt takes it up)" in listed
    assert sum(line.startswith("Not told of") for line in listed) == 2
    ended = modelyard("files", "adopt", "by foot", "--json")
    assert (ended.code, ended.error()["error"]) == (1, "NotFound")


@pytest.mark.parametrize(("ref", "at"), [("flux1-dev", 0), ("dev", 0), ("house-style", 1), ("tiny", 2)])
def test_an_installed_model_has_a_short_name(ref: str, at: int) -> None:
    """D10: the end of its path or title, without a weights' ending or Ollama's usual tag; two of one name are told."""
    known = [
        InstalledModel(path="org/dev/flux1-dev.safetensors", title="org/dev"),
        InstalledModel(path="custom/house-style.GGUF", title="x"),
        InstalledModel(path="/blobs/1", title="tiny:latest", store="ollama"),
    ]
    assert find(known, ref, PurePosixPath("/models")) is known[at]
    with pytest.raises(NotFound, match="Several"):
        find([*known, *known], ref, PurePosixPath("/models"))


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


def test_what_other_tools_keep_is_listed_and_used_in_place(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X8: a snapshot of Hugging Face's cache and a blob of Ollama's store become records; nothing is deleted there."""
    hub, store = models.parent / "hub", models.parent / "ollama"
    snapshot = hf_cache(hub) / "snapshots" / "aaa"
    ollama_store(store)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("OLLAMA_MODELS", str(store))
    told = {one["title"]: one for one in done("files", "list", "--json").json()["models"]}
    assert told["org/tiny"]["path"] == str(snapshot)
    assert {one["store"] for one in told.values()} == {"", "huggingface", "ollama"}
    record = done("files", "register", "someone/small:latest", "--name", "small", "--json").json()
    assert (record["provider"], record["context_length"]) == ("llamacpp", 2048)
    assert Path(record["path"]).read_bytes()[:4] == b"GGUF"
    refused = modelyard("files", "delete", "llama3.2:1b", "--yes", "--json")
    assert (refused.code, refused.error()["remedy"]) == (3, "ollama rm llama3.2:1b")
    assert Path(record["path"]).exists()


def test_what_other_tools_keep_is_checked_and_not_mended(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X8, D9: it says who has to fetch it again."""
    store = models.parent / "ollama"
    ollama_store(store)
    monkeypatch.setenv("OLLAMA_MODELS", str(store))
    blob = max((store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    damaged = blob.read_bytes()[:-1] + b"?"
    blob.write_bytes(damaged)
    checked = modelyard("files", "verify", "llama3.2:1b", "--repair", "--json")
    assert checked.code == 3
    assert "ollama pull llama3.2:1b" in checked.err
    assert blob.read_bytes() == damaged


def test_what_a_pickle_would_do_is_told(models: Path) -> None:
    """D5: taken up and inspected; it never runs."""
    victim = models / "victim"
    (models / "carried.gguf").unlink()
    (models / "evil.ckpt").write_bytes(zipped(running(victim)))
    assert "would run code when it is loaded: it imports posix.system" in done("files", "adopt").out
    shown = done("files", "inspect", str(models / "evil.ckpt"), "--json").json()
    assert (shown["format"], shown["extra"]["pickle"]) == ("pickle", "dangerous")
    assert not victim.exists()


@pytest.fixture
async def files(models: Path, settings: Settings) -> AsyncIterator[tuple[FilesService, Registry]]:
    """The service of that folder, with a registry."""
    database = Database(settings.db_path)
    settings.ensure_folders()
    await database.open()
    registry = Registry(database, EventBus(), user_id="me")
    await registry.ensure_local_host(models_dir=str(models))
    yield FilesService(replace(settings, models_dir=models), registry), registry
    await database.close()


Files = tuple[FilesService, Registry]


async def test_a_carried_folder_is_recognised_by_its_own_word(models: Path, files: Files) -> None:
    """D7: source, revision and hashes come with it, and no byte of it has to be read."""
    carried = models / "usb" / "stick"
    (carried / "org").mkdir(parents=True)
    (carried / "org" / "m.gguf").write_bytes(CONTENT)
    told = {"path": "org/m.gguf", "size": len(CONTENT), "sha256": "a" * 64}
    model = InstalledModel(path="org/m.gguf", title="m", source="hf:org/m", revision="abc", files=(told,))
    installed.record(carried, model)
    installed.record(carried, InstalledModel(path="gone.gguf", title="x", files=({**told, "path": "gone.gguf"},)))
    service, _ = files
    events = [event async for event in service.adopt("usb")]
    [taken] = [event for event in events if isinstance(event, InstalledModel)]
    assert (taken.path, taken.source, taken.revision) == ("usb/stick/org/m.gguf", "hf:org/m", "abc")
    assert taken.files[0]["sha256"] == "a" * 64
    seen = await service.survey(await service.installed())
    assert [(found.path, found.size) for found in seen.unknown] == [("carried.gguf", 4 + len(CONTENT))]
    [bad] = [event async for event in service.verify([taken]) if isinstance(event, FileChecked)]
    assert bad.condition == "changed"
    assert [event async for event in service.adopt("usb")] == []


async def test_a_carried_folder_without_a_word_is_inspected(models: Path, files: Files) -> None:
    """D7: its parts are one model, and progress is told within a file."""
    folder = models / "org" / "new"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    for number in (1, 2):
        content = safetensors({f"w{number}": ("BF16", [10], 20)})
        (folder / f"model-{number:05}-of-00002.safetensors").write_bytes(content)
    (folder / "notes.xyz").write_text("mine")
    service, _ = files
    events = [event async for event in service.adopt("org/new")]
    [taken] = [event for event in events if isinstance(event, InstalledModel)]
    names = [Path(file["path"]).name for file in taken.files]
    assert names == ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert taken.more == {"format": "safetensors", "architecture": "LlamaForCausalLM"}
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.total for event in progress} == {taken.size}
    with pytest.raises(InvalidInput, match="not in the models folder"):
        await anext(service.adopt("../elsewhere"))


async def test_progress_is_told_within_a_file(models: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: a file that takes long to read shows how far it is."""
    goes_on = threading.Event()

    def slow(check: Verification, path: str) -> str:
        check._done = 7
        assert goes_on.wait(30)
        return "b" * 64

    monkeypatch.setattr(Verification, "sha256", slow)
    monkeypatch.setattr("core.files.service._TELL_S", 0.01)
    service, _ = files
    seen: list[int | None] = []
    async for event in service.adopt():
        if isinstance(event, Progress):
            seen.append(event.done)
            if 7 in seen:
                goes_on.set()
    assert seen[0] in {0, 7}
    assert 7 in seen


async def test_files_put_there_by_hand_are_deleted_only_by_their_exact_path(models: Path, files: Files) -> None:
    """L8."""
    service, _ = files
    (models / "sub").mkdir()
    (models / "sub" / "mine.gguf").write_bytes(CONTENT)
    with pytest.raises(NotFound):
        await service.delete("mine.gguf")
    await service.delete("sub/mine.gguf")
    assert not (models / "sub").exists()
    (models / "sub").mkdir()
    (models / "sub" / "mine.gguf").write_bytes(CONTENT)
    async for _ in service.adopt("sub"):
        pass
    with pytest.raises(Refused, match="named exactly") as refused:
        await service.delete("mine.gguf")
    assert refused.value.remedy == "modelyard files delete sub/mine.gguf"
    assert (models / "sub" / "mine.gguf").exists()


async def test_files_that_another_model_has_stay(models: Path, files: Files) -> None:
    """L8: one file was fetched alone, then with all others."""
    service, _ = files
    [tuned] = await service.installed()
    alone = InstalledModel(path="org/tuned/a.safetensors", title="a", files=tuned.files[:1])
    installed.record(models, alone)
    told = await service.to_delete("org/tuned")
    assert (len(told.files), told.problem) == (
        2,
        "1 of its files stay, because org/tuned/a.safetensors has them, too.",
    )
    await service.delete("org/tuned")
    assert [path.name for path in (models / "org/tuned").iterdir()] == ["a.safetensors"]
    await service.delete("a")
    assert not (models / "org").exists()


async def test_what_can_not_be_deleted_stays_told_of(models: Path, files: Files) -> None:
    """L8: the error says how far it came."""
    service, _ = files
    (models / "org/tuned/b.safetensors").unlink()
    (models / "org/tuned/b.safetensors").mkdir()
    with pytest.raises(FileProblem, match=r"b.safetensors can't be deleted; [12] of 3 files were"):
        await service.delete("tuned")
    assert [model.path for model in await service.installed()] == ["org/tuned"]


@pytest.mark.parametrize("path", ["org/tuned", "{models}/org/tuned", "{models}/link", "org/tuned/a.safetensors"])
async def test_files_in_use_by_a_server_are_not_deleted(models: Path, files: Files, path: str) -> None:
    """L8: however its record writes the path."""
    service, registry = files
    (models / "link").symlink_to(models / "org" / "tuned")
    place = path.format(models=models)
    values = {"name": "m", "provider": "vllm", "model_id": "org/m", "path": place, "host": LOCAL_HOST}
    model = await registry.add_model(values)
    host = await registry.get_host(LOCAL_HOST)
    known: dict[str, Any] = {
        "user_id": "me",
        "model_id": model.id,
        "model_name": "m",
        "served_name": "m",
        "server_type": "vllm",
    }
    server = Server(**known, runtime="process", host_id=host.id, host_name=LOCAL_HOST, status=ServerStatus.RUNNING)
    await registry.add_server(server)
    with pytest.raises(Refused, match="m serves org/tuned now"):
        await service.delete("org/tuned")
    assert (models / "org" / "tuned" / "a.safetensors").exists()


@pytest.mark.parametrize("kind", ["download", "copy", "verify"])
async def test_files_that_a_job_works_on_are_not_deleted(models: Path, files: Files, kind: str) -> None:
    """L8."""
    service, registry = files
    there = models / "org" / "tuned"
    specs: dict[str, dict[str, Any]] = {
        "download": {"listing": {"files": [{"path": "a.safetensors"}]}},
        "copy": {"files": [{"path": str(there / "a.safetensors")}]},
        "verify": {"files": [{"path": "org/tuned/a.safetensors"}]},
    }
    folder, host = (str(models), LOCAL_HOST) if kind == "verify" else (str(there), LOCAL_HOST)
    job = Job(
        user_id="me", title="x", kind=kind, folder=folder, host="h1" if kind == "copy" else host, spec=specs[kind]
    )
    await registry.add_job(job)
    with pytest.raises(Refused, match="needs org/tuned"):
        await service.delete("tuned")
    await registry.edit_job(job.id, {"state": "done"})
    await service.delete("tuned")
    assert not there.exists()


async def test_files_behind_a_link_are_not_deleted(models: Path, files: Files, tmp_path: Path) -> None:
    """L8: they are not this folder's."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.gguf").write_bytes(CONTENT)
    (models / "linked").symlink_to(tmp_path / "elsewhere")
    file = {"path": "linked/x.gguf", "size": 1, "sha256": ""}
    installed.record(models, InstalledModel(path="linked/x.gguf", title="x", files=(file,)))
    service, _ = files
    with pytest.raises(Refused, match="behind a link"):
        await service.delete("linked/x.gguf")
    assert (tmp_path / "elsewhere" / "x.gguf").exists()


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
    assert modelyard("files", "base-dir", "--set", "relative").code == 2
    assert "is no folder" in modelyard("files", "base-dir", "/etc/hostname").err


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
