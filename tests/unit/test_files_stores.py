"""Models that other tools keep (X8): told by one script, used in place, and never changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFound, Refused
from core.files import stores
from core.files.installed import InstalledModel
from core.files.service import find
from tests.unit.model_files import LLAMA, TENSORS, gguf
from tests.unit.stores import half_a_pull, hf_cache, ollama_store


def told() -> dict[str, InstalledModel]:
    return {model.title: model for model in stores.parse(stores.local(stores.argv()))}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Of Hugging Face's cache, and of Ollama's store."""
    hub, ollama = tmp_path / "hub with spaces", tmp_path / "ollama"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("OLLAMA_MODELS", str(ollama))
    return hub, ollama


def test_a_cache_tells_its_revisions(places: tuple[Path, Path]) -> None:
    hub, _ = places
    root = hf_cache(hub)
    content = b"weights"
    blob = root / "blobs" / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    link = root / "snapshots" / "aaa" / "model.safetensors"
    link.unlink()
    link.symlink_to(f"../../blobs/{blob.name}")
    models = told()
    main = models["org/tiny"]
    assert (main.path, main.store, main.source) == (str(root / "snapshots" / "aaa"), "huggingface", "hf:org/tiny")
    [weights] = [file for file in main.files if file["path"].endswith(".safetensors")]
    assert (weights["size"], weights["sha256"]) == (len(content), blob.name)
    assert models["org/tiny@bbb"].revision == "bbb"
    assert main.problem == ""
    blob.unlink()
    assert "did not end" in told()["org/tiny"].problem


def test_the_cache_is_found_as_hugging_face_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hf_cache(tmp_path / "xdg" / "huggingface" / "hub", "models--org--one")
    hf_cache(tmp_path / "home" / "hub", "models--org--two")
    hf_cache(tmp_path / "old", "models--org--three")
    found = []
    for variable, value in (("XDG_CACHE_HOME", "xdg"), ("HF_HOME", "home"), ("HUGGINGFACE_HUB_CACHE", "old")):
        monkeypatch.setenv(variable, str(tmp_path / value))
        found.append(min(told()))
    assert found == ["org/one", "org/two", "org/three"]


def test_a_store_of_ollama_tells_its_models(places: tuple[Path, Path]) -> None:
    _, folder = places
    ollama_store(folder)
    half_a_pull(folder)
    models = told()
    model = models["llama3.2:1b, someone/small:latest"]
    digest = hashlib.sha256(gguf(LLAMA, TENSORS)).hexdigest()
    assert model.path == str(folder / "blobs" / f"sha256-{digest}")
    assert digest in [file["sha256"] for file in model.files]
    assert "did not end" in models["broken:latest"].problem
    assert not any("passwd" in one.path for one in models.values())
    assert find(models.values(), "someone/small:latest", Path("/m")) == model


def test_a_host_of_busybox_tells_the_same(places: tuple[Path, Path], tmp_path: Path) -> None:
    hub, folder = places
    hf_cache(hub)
    ollama_store(folder)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "stat", "find", "head", "tr", "printf"):
        (tmp_path / "bin" / name).symlink_to("/bin/busybox")
    if not Path("/bin/busybox").exists():
        pytest.skip("no busybox here")
    environment = {**os.environ, "PATH": str(tmp_path / "bin")}
    words = [str(tmp_path / "bin" / "sh"), *stores.argv()[1:]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert stores.parse(done.stdout) == stores.parse(stores.local(stores.argv()))
    assert done.stderr == ""


def test_no_store_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    assert told() == {}


def test_a_disk_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_PATIENCE_S", 0.3)
    said = stores.local(["sh", "-c", "echo hub /x; exec sleep 60"])
    assert said == "hub /x\n"


def test_names_made_to_lie_are_left_out(places: tuple[Path, Path]) -> None:
    hub, _ = places
    root = hf_cache(hub)
    (root / "snapshots" / "aaa" / "a\nstore\t").write_bytes(b"x")
    (root / "snapshots" / "aaa" / "b\x1b[2J.gguf").write_bytes(b"x")
    (root / "snapshots" / "aaa" / "c\tx.gguf").write_bytes(b"x")
    names = [Path(file["path"]).name for file in told()["org/tiny"].files]
    assert names == ["config.json", "model.safetensors"]


_KINDS = ("hub", "main", "blob", "file", "gone", "store", "manifest", "layer")
_WORDS = (
    *("1", "-1", "x", "1:2", "/s", "", "é", "[[[", '{"layers": [{"digest": 3}, 4]}', '{"layers": {}}'),
    *("models--o--n/refs/main", "./models--o--n/snapshots/a/x.gguf", "./models--o--n/snapshots/../x.gguf"),
    "manifests/registry.ollama.ai/library/a/b",
)
_words = st.sampled_from((*_KINDS, *_WORDS))


@given(st.lists(st.lists(_words | st.text(max_size=5), max_size=6).map("\t".join), max_size=12).map("\n".join))
def test_any_answer_is_read(answer: str) -> None:
    for model in stores.parse(answer):
        assert "/../" not in model.path
        assert model.store in stores.LABELS


@pytest.mark.parametrize(("store", "remedy"), [("ollama", "ollama rm a:b"), ("huggingface", "hf cache rm model/a:b")])
def test_another_tools_files_are_not_changed(store: str, remedy: str) -> None:
    """L8: and the error names the tool to use."""
    with pytest.raises(Refused) as refused:
        stores.refuse_change(InstalledModel(path="/x", title="a:b, c:d", store=store))
    assert refused.value.remedy == remedy
    stores.refuse_change(InstalledModel(path="x", title="x"))


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/h/models--o--n/snapshots/aaa", "/h/models--o--n"),
        ("/h/models--o--n/snapshots/aaa/sub/x.gguf", "/h/models--o--n"),
        ("/h/models--o--n/blobs/aaa", ""),
        ("/srv/models/org/name", ""),
    ],
)
def test_a_snapshot_needs_the_folder_with_its_blobs(path: str, root: str) -> None:
    assert stores.root_of(path) == root


def test_a_model_with_two_places_must_be_named_by_its_path() -> None:
    models = [InstalledModel(path=path, title="same") for path in ("a/same", "b/same")]
    assert find(models, "a/same", Path("/m")) == models[0]
    assert find(models, "/m/b/same", Path("/m")) == models[1]
    assert find(models, "other", Path("/m")) is None
    with pytest.raises(NotFound, match="Several"):
        find(models, "same", Path("/m"))
