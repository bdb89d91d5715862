"""Files and folders of this machine as a source (D5): other kinds refused, pickles scanned, carried hashes checked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import pytest

from core.downloads.placing import How
from core.downloads.run import DownloadRun
from core.downloads.service import DownloadService
from core.downloads.sources.base import Listing
from core.downloads.sources.local import LocalSource
from core.errors import InvalidInput, NotFound, Refused, WrongBytes
from core.files import installed, stores
from core.files.installed import InstalledModel
from core.registry.store import Registry
from core.settings import Settings
from tests.unit.pickles import running, tensors, zipped
from tests.unit.stores import hf_cache, ollama_store


async def look(path: Path, *patterns: str) -> Listing:
    return await LocalSource().listing(str(path), patterns=patterns)


@pytest.mark.parametrize("name", ["a.exe", "a.h5", "a.safetensors.sh", "a", "a.onnx", "a.zip"])
async def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    """D5: with the kinds that are taken."""
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"not a model's file: \.safetensors, \.gguf, \.ckpt, \.pth"):
        await look(tmp_path / name)


async def test_of_a_folder_the_files_of_a_model_are_taken(tmp_path: Path) -> None:
    """D5: texts and code that stand beside weights, nothing else; nothing hidden, no link."""
    taken = ("m.safetensors", "README.md", "LICENSE", "config.json", "merges.txt", "chat.jinja", "code.py", "t.model")
    for name in (*taken, "run.exe", "pic.png", ".secret", installed.NAME):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.gguf").symlink_to("/etc/passwd")
    listing = await look(tmp_path)
    assert {file.path for file in listing.files} == set(taken)
    assert "pic.png, run.exe" in listing.metadata["notes"][0]
    assert {file.path for file in (await look(tmp_path, "*.safetensors")).files} == {"m.safetensors"}
    with pytest.raises(InvalidInput, match=r"run\.exe"):
        await look(tmp_path, "*.exe")
    (tmp_path / "m.safetensors").unlink()
    with pytest.raises(InvalidInput, match="holds no model file"):
        await look(tmp_path)
    with pytest.raises(NotFound):
        await look(tmp_path / "none")


async def test_what_another_tool_keeps_is_copied_and_never_moved_away(tmp_path: Path, settings: Settings) -> None:
    """X8: a snapshot's links to its own blobs are followed, others are not."""
    root = hf_cache(tmp_path / "hub")
    snapshot = root / "snapshots" / "aaa"
    (snapshot / "other.safetensors").symlink_to("/etc/passwd")
    ollama_store(tmp_path / "ollama")
    listing = await look(snapshot)
    assert {file.path for file in listing.files} == {"config.json", "model.safetensors"}
    files = DownloadRun(listing, tmp_path / "models" / "x", known={}).run()
    assert not (tmp_path / "models" / "x" / "model.safetensors").is_symlink()
    assert len(files) == 2
    service = DownloadService(settings, cast("Registry", None))
    with pytest.raises(Refused, match="another program"):
        await service.start(listing, how=How.MOVE)
    [blob] = [path for path in (tmp_path / "ollama" / "blobs").iterdir() if path.read_bytes()[:4] == b"GGUF"]
    assert stores.is_kept(str(blob))
    assert not stores.is_kept(str(tmp_path / "models" / "x" / "model.safetensors"))


async def test_pickles_are_scanned_before_they_are_taken(tmp_path: Path) -> None:
    """D5: one that would run something is warned of, which wants a yes."""
    (tmp_path / "good.pth").write_bytes(zipped(tensors()))
    assert "warnings" not in (await look(tmp_path)).metadata
    (tmp_path / "evil.pth").write_bytes(zipped(running(tmp_path / "victim")))
    [warning] = (await look(tmp_path)).metadata["warnings"]
    assert warning.startswith("evil.pth would run code")
    assert not (tmp_path / "victim").exists()


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """A disk with a models folder of another machine."""
    folder = tmp_path / "disk" / "org" / "m"
    folder.mkdir(parents=True)
    (folder / "m.gguf").write_bytes(b"GGUF whole")
    told = {"path": "org/m/m.gguf", "size": 10, "sha256": hashlib.sha256(b"GGUF whole").hexdigest()}
    model = InstalledModel(path="org/m", title="m", source="hf:org/m", revision="abc", licence="mit", files=(told,))
    installed.record(tmp_path / "disk", model)
    return folder


@pytest.mark.parametrize("how", [How.COPY, How.LINK])
async def test_what_a_carried_disk_tells_goes_with_its_files(carried: Path, tmp_path: Path, how: How) -> None:
    """D7: source, revision, licence; and a file that is damaged on the disk is not taken."""
    listing = await look(carried)
    assert (listing.revision, listing.licence) == ("abc", "mit")
    models = tmp_path / "models"
    files = DownloadRun(listing, models / "x", known={}, how=how).run()
    assert installed.entry(models, models / "x", listing, files).source == "hf:org/m"
    (carried / "m.gguf").write_bytes(b"GGUF other")
    with pytest.raises(WrongBytes, match="damaged"):
        DownloadRun(await look(carried), models / "y", known={}, how=how).run()
    assert not (models / "y" / "m.gguf").exists()
    assert (carried / "m.gguf").exists()
    (tmp_path / "disk" / installed.NAME).write_text("{")
    assert (await look(carried)).revision == "", "a damaged file tells nothing, and stops nothing"
