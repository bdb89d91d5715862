"""What a copy to hosts is made of, and what the hosts are told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.app import Modelyard
from core.downloads.entries import entries
from core.files import installed
from core.files.installed import InstalledModel
from core.settings import Settings
from tests.unit.stores import hf_cache, ollama_store


async def test_what_other_tools_keep_goes_under_the_model_s_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X8: a snapshot of Hugging Face's cache and a blob of Ollama's store are copied from where they are."""
    hf_cache(tmp_path / "hub")
    ollama_store(tmp_path / "ollama")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    async with Modelyard.open(settings) as yard:
        snapshot = await yard.copies.find("org/tiny")
        assert [file.place for file in snapshot.files] == ["org/tiny/config.json", "org/tiny/model.safetensors"]
        [told] = entries(snapshot, yard.files.folder)
        assert (told["path"], told["source"], told["revision"]) == ("org/tiny", "hf:org/tiny", "aaa")
        blob = await yard.copies.find("llama3.2:1b")
        assert [file.place for file in blob.files] == ["llama3.2-1b/llama3.2-1b.gguf"]
        assert blob.files[0].noted == blob.files[0].path.name.removeprefix("sha256-")
        [told] = entries(blob, yard.files.folder)
        assert (told["path"], told["source"]) == ("llama3.2-1b/llama3.2-1b.gguf", "ollama:llama3.2:1b")
        assert (await yard.copies.find("llama3.2:1b", folder="gguf")).place == "gguf/llama3.2-1b.gguf"


async def test_entries_of_several_models_and_of_what_is_left_over(settings: Settings) -> None:
    """D7: each model of a folder keeps its own entry, with what else is noted of its files."""
    async with Modelyard.open(settings) as yard:
        folder = yard.files.folder
        for place in ("org/a/x.gguf", "org/a/y.json", "org/b.gguf", "org/loose.bin"):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(b"12345")
        files = ({"path": "org/a/x.gguf", "size": 5, "note": 1}, {"path": "org/a/y.json", "size": 5})
        installed.record(folder, InstalledModel(path="org/a", title="a", source="hf:org/a", files=files))
        one = ({"path": "org/b.gguf", "size": 5},)
        installed.record(folder, InstalledModel(path="org/b.gguf", title="b", files=one))
        told = {entry["path"]: entry for entry in entries(await yard.copies.find(str(folder / "org")), folder)}
        assert set(told) == {"org/a", "org/b.gguf", "org/loose.bin"}
        assert told["org/a"]["files"][0]["note"] == 1
        assert told["org/loose.bin"]["source"] == "copy"
        moved = await yard.copies.find("org/a", folder="elsewhere")
        [entry] = entries(moved, folder)
        assert (entry["path"], [file["path"] for file in entry["files"]]) == (
            "elsewhere",
            ["elsewhere/x.gguf", "elsewhere/y.json"],
        )
