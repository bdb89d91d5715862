"""Ollama's library as a source (D2, D12), against its registry's protocol, with a CDN of another host."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.downloads.sources import source_for
from core.downloads.sources.base import Listing
from core.downloads.transfer import fetch
from core.errors import DownloadFailed, InvalidInput, SourceGone, SourceLost, WrongBytes
from tests.cli.program import done
from tests.downloads.ollama import KIND, OllamaRegistry
from tests.downloads.server import Fault
from tests.downloads.test_jobs import end_all

WEIGHTS = random.Random(5).randbytes(1_500_000)
LICENCE = b"\n  SMALL MODELS COMMUNITY LICENSE\x1b[31m AGREEMENT  \nVersion 1\n"
LAYERS = [
    *(("model", WEIGHTS), ("template", b"{{ .Prompt }}"), ("license", LICENCE), ("license", b"Use policy")),
    *(("params", b'{"stop":["<end>"]}'), ("pictures", b"of a kind that nobody knows")),
]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaRegistry]:
    with OllamaRegistry().running() as registry:
        registry.add("library/smol:135m", LAYERS)
        monkeypatch.setenv("MODELYARD_OLLAMA_ENDPOINT", registry.base)
        yield registry


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


async def look(text: str, *patterns: str) -> Listing:
    return await source_for(text).listing(text, patterns=patterns)


@pytest.mark.parametrize(
    "text",
    [
        "ollama:smol:135m",
        "ollama:library/smol:135m",
        "ollama://registry.ollama.ai/library/smol:135m",
        "https://ollama.com/library/smol:135m",
    ],
)
async def test_a_tag_of_the_library(registry: OllamaRegistry, text: str) -> None:
    """D12: the licence and what the config tells; every file has its hash."""
    listing = await look(text)
    assert (listing.source, listing.title, listing.folder) == (
        *("ollama:smol:135m", "smol:135m"),
        "ollama/smol-135m",
    )
    assert {file.path for file in listing.files} == {
        *("smol-135m.gguf", "template.txt", "LICENSE.txt", "LICENSE-2.txt", "params.json"),
    }
    [model] = [file for file in listing.files if file.path.endswith(".gguf")]
    assert (model.size, model.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert listing.licence == "SMALL MODELS COMMUNITY LICENSE AGREEMENT"
    assert listing.revision == hashlib.sha256(registry.manifests["library/smol:135m"]).hexdigest()
    assert listing.metadata == {
        "page": "https://ollama.com/library/smol:135m",
        **{"family": "llama", "size": "135M", "type": "Q8_0"},
    }
    assert Listing.from_dict(json.loads(json.dumps(listing.as_dict()))) == listing


async def test_names_and_files(registry: OllamaRegistry) -> None:
    registry.add("ada/smol:latest", [*LAYERS[:1], ("projector", b"sees"), ("adapter", b"adds")])
    for text in ("ollama:ada/smol", "https://ollama.com/ada/smol", "https://www.ollama.com/ada/smol/tags"):
        listing = await look(text)
        assert (listing.source, listing.folder) == ("ollama:ada/smol:latest", "ollama/ada/smol-latest")
        paths = [file.path for file in listing.files]
        assert paths == ["mmproj-smol-latest.gguf", "smol-latest-adapter.gguf", "smol-latest.gguf"]
        assert (listing.licence, listing.size) == ("", len(WEIGHTS) + 8)
    assert [file.path for file in (await look("ollama:smol:135m", "*.gguf")).files] == ["smol-135m.gguf"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("ollama:smol:7b", SourceGone, "no smol:7b"),
        ("ollama:nobody/smol", SourceGone, "nobody/smol:latest"),
        ("ollama:", InvalidInput, "ollama:model:tag"),
        ("ollama:../smol", InvalidInput, "ollama:model:tag"),
        ("ollama:a/b/c:d", InvalidInput, "ollama:model:tag"),
        ("ollama:smol:135m:q8", InvalidInput, "ollama:model:tag"),
        ("ollama:hf.co/org/name-GGUF:Q4_K_M", InvalidInput, "hf:org/name-GGUF:Q4_K_M"),
        ("https://ollama.com/", InvalidInput, "ollama:model:tag"),
        ("https://user:word@ollama.com/library/smol", InvalidInput, "password"),
    ],
)
async def test_what_is_not_there(registry: OllamaRegistry, text: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as raised:
        await look(text)
    assert words in str(raised.value) + str(getattr(raised.value, "remedy", ""))


async def test_a_registry_that_is_away_busy_or_strange(
    registry: OllamaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.downloads.sources.site.WAITS_S", (0.01, 0.01))
    registry.busy = 2
    assert (await look("ollama:smol:135m")).source == "ollama:smol:135m"
    registry.busy = 3
    with pytest.raises(SourceLost, match="busy"):
        await look("ollama:smol:135m")
    registry.manifests["library/smol:large"] = b"[" * (33 << 20)
    with pytest.raises(SourceLost, match="without an end"):
        await look("ollama:smol:large")
    monkeypatch.setenv("MODELYARD_OLLAMA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceLost, match="can't be reached"):
        await look("ollama:smol:135m")


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"layers": "none"},
        {"layers": [7]},
        {"layers": [{"mediaType": KIND + "model", "digest": "sha256:../../../etc/passwd", "size": 1}]},
        {"layers": [{"mediaType": KIND + "model", "digest": f"sha256:{'0' * 64}", "size": -1}]},
        {"layers": [{"mediaType": KIND + "model", "digest": f"sha256:{'0' * 64}", "size": "1"}]},
    ],
)
async def test_a_manifest_that_lies(registry: OllamaRegistry, change: dict[str, Any]) -> None:
    registry.tell("library/bad:latest", {**registry.add("library/bad:latest", LAYERS), **change})
    with pytest.raises(SourceLost, match="does not answer as Ollama's registry does"):
        await look("ollama:bad")


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"null", b"<html>"])
async def test_what_is_no_manifest(registry: OllamaRegistry, body: bytes) -> None:
    registry.manifests["library/bad:latest"] = body
    with pytest.raises(SourceLost, match="does not answer as Ollama's registry does"):
        await look("ollama:bad")


async def test_what_only_ollama_loads_is_refused(registry: OllamaRegistry) -> None:
    """Models of its own servers have no weights, and others come as tensors."""
    registry.add("library/far:cloud", [("license", b"terms")])
    registry.add("library/apart:latest", [("tensor", b"one"), ("tensor", b"two")])
    for text in ("ollama:far:cloud", "ollama:apart"):
        with pytest.raises(DownloadFailed, match="not kept as a GGUF"):
            await look(text)


async def test_a_config_or_licence_that_is_another_one_is_not_told(registry: OllamaRegistry) -> None:
    for digest, body in list(registry.blobs.items()):
        if body in {LICENCE} or b"model_family" in body:
            registry.blobs[digest] = body.replace(b"SMALL", b"OTHER").replace(b"llama", b"other")
    listing = await look("ollama:smol:135m")
    assert (listing.licence, set(listing.metadata)) == ("", {"page"})


async def test_other_bytes_are_not_kept_and_expired_addresses_are_asked_for_anew(
    registry: OllamaRegistry, tmp_path: Path
) -> None:
    listing = await look("ollama:smol:135m", "*.gguf")
    remote = source_for(listing.source).remote(listing, listing.files[0])
    registry.cdn.uses = 0
    registry.cdn.expire()
    late = iter([0, 1_000_000])
    signed = registry.cdn.signed

    def later(name: str) -> str:
        registry.cdn.uses = next(late, 1_000_000)
        return signed(name)

    registry.cdn.signed = later  # type: ignore[method-assign]
    assert fetch(remote, tmp_path / "one").path.read_bytes() == WEIGHTS
    [served] = [one for one in registry.cdn.files.values() if one.content == WEIGHTS]
    served.fault = lambda number, start: Fault(flip=700)
    with pytest.raises(WrongBytes):
        fetch(remote, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_by_command(registry: OllamaRegistry, smollm2: Path, short_folder: Path) -> None:
    """A model under Ollama's name, fetched, inspected and ready to be deployed."""
    registry.add("library/smollm2:135m", [("model", smollm2.read_bytes()), *LAYERS[1:]])
    told = done("download", "start", "ollama:smollm2:135m", "--json").json()
    assert (told["state"], told["source"]) == ("done", "ollama:smollm2:135m")
    folder = short_folder / "data" / "modelyard" / "models" / "ollama" / "smollm2-135m"
    assert (folder / "smollm2-135m.gguf").read_bytes() == smollm2.read_bytes()
    assert (folder / "template.txt").read_bytes() == b"{{ .Prompt }}"
    [model] = done("files", "list", "--no-stores", "--json").json()["models"]
    assert (model["title"], model["licence"]) == ("smollm2:135m", "SMALL MODELS COMMUNITY LICENSE AGREEMENT")
    info = done("files", "inspect", "ollama:smollm2:135m", "--json").json()
    assert (info["format"], info["architecture"]) == ("gguf", "llama")
    done("files", "register", "smollm2:135m", "--name", "smol")
    plan = done("plan", "smol", "--host", "local", "--runtime", "process", "--gpus", "none", "--json").json()
    assert str(folder / "smollm2-135m.gguf") in plan["command"]
