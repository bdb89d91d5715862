"""Models that lie on a host: told, inspected from headers alone, and served from another tool's store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from core.app import Modelyard
from core.files.inspect import inspect_model
from core.hosts import stores_there
from core.settings import Settings
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.program import modelyard
from tests.fleet.test_main_job import add_host, inspected
from tests.unit.stores import ollama_store

pytestmark = pytest.mark.timeout(300)
REVISION = "a" * 40


@pytest.fixture
def home(fleet: Fleet, smollm2: Path) -> Iterator[Path]:
    """Root's home on the first host, with the model in Hugging Face's cache and a store of Ollama."""
    home = fleet.hosts[0].plan.folder / "root"
    repo = home / ".cache" / "huggingface" / "hub" / "models--HF--Smol"
    snapshot, blobs = repo / "snapshots" / REVISION, repo / "blobs"
    for folder in (snapshot, blobs, repo / "refs"):
        folder.mkdir(parents=True)
    blob = blobs / hashlib.sha256(smollm2.name.encode()).hexdigest()
    shutil.copyfile(smollm2, blob)
    (snapshot / "smol.gguf").symlink_to(f"../../blobs/{blob.name}")
    (repo / "refs" / "main").write_text(REVISION)
    ollama_store(home / ".ollama" / "models")
    yield home
    shutil.rmtree(home / ".cache")
    shutil.rmtree(home / ".ollama")


async def test_a_host_tells_what_is_there_from_headers_alone(
    fleet: Fleet, home: Path, smollm2: Path, settings: Settings
) -> None:
    """L9, X8: one script for the stores; of a model of 98 MB at most 4 MiB come over the line."""
    host = fleet.hosts[0]
    async with Modelyard.open(settings) as yard:
        await yard.hosts.add("gpu1", target=host.name, ssh_config=str(host.ssh_config), models_dir=host.models_dir)
        connection = yard.hosts.connection(await yard.registry.get_host("gpu1"))
        models = {model.title: model for model in await stores_there.read(connection)}
        assert set(models) == {"HF/Smol", "llama3.2:1b, someone/small:latest"}
        [file] = models["HF/Smol"].files
        assert file["size"] == smollm2.stat().st_size
        came = 0
        read = connection.read

        async def counted(path: str, *, offset: int = 0, length: int) -> bytes:
            nonlocal came
            found = await read(path, offset=offset, length=length)
            came += len(found)
            return found

        connection.read = counted  # type: ignore[method-assign]
        info = await inspect_model(connection, models["HF/Smol"].path)
        assert (info.architecture, info.has_tokenizer, info.has_chat_template) == ("llama", True, True)
        assert came <= 4 << 20
        blob = models["llama3.2:1b, someone/small:latest"].path
        assert (await inspect_model(connection, blob)).layers == 2


def test_a_snapshot_is_served_without_a_copy(clean_hosts: Fleet, llama_image: str, home: Path) -> None:
    """X8: the container reaches the blob through the snapshot's relative link."""
    host: FleetHost = clean_hosts.hosts[0]
    add_host(host)
    listed = modelyard("files", "list", "--host", host.name, "--json").document["models"]
    assert "HF/Smol" in [one["title"] for one in listed]
    record = modelyard("files", "register", "HF/Smol", "--host", host.name, "--name", "smol", "--json").document
    assert record["path"].endswith(f"/snapshots/{REVISION}/smol.gguf")
    modelyard("deploy", "smol", "--host", host.name, "--max-model-len", "1024", "--wait")
    container = inspected(host, f"llamacpp-model-{record['id']}")
    mounts = cast("list[dict[str, Any]]", container["Mounts"])
    assert [(Path(one["Source"]).name, one["RW"]) for one in mounts] == [("models--HF--Smol", False)]
    assert modelyard("chat", "smol", "Say hello.", "--max-tokens", "4").code == 0
    modelyard("stop", "smol")
