"""CivitAI as a source (D3, D11), against its API as it is documented, with a CDN of another host."""

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
from core.errors import DownloadDenied, InvalidInput, SourceGone, SourceLost, WrongBytes
from tests.cli.program import done
from tests.downloads.civitai import Civitai
from tests.downloads.server import Fault
from tests.downloads.test_jobs import end_all

WEIGHTS = random.Random(3).randbytes(1_500_000)
FILES = {"painter.safetensors": WEIGHTS, "painter-fp32.safetensors": WEIGHTS[::-1]}
TOKEN = "civitai_planted_token"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Civitai]:
    with Civitai().running() as site:
        site.add(7, 70, FILES)
        site.tokens = {TOKEN}
        monkeypatch.setenv("MODELYARD_CIVITAI_ENDPOINT", site.base)
        yield site


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


async def look(text: str, *patterns: str, token: str = "") -> Listing:
    return await source_for(text).listing(text, patterns=patterns, token=token)


@pytest.mark.parametrize(
    "text",
    [
        "civitai:70",
        "https://civitai.com/models/7",
        "https://civitai.com/models/7/painter-of-things?modelVersionId=70",
        "https://www.civitai.com/api/download/models/70?type=Model&fp=fp16",
        "https://civitai.com/api/v1/model-versions/70",
        "urn:air:sdxl:checkpoint:civitai:7@70",
    ],
)
async def test_the_version_and_its_main_file_are_found(site: Civitai, text: str) -> None:
    """D3: all hashes and the scans are kept, the other variants are named."""
    listing = await look(text)
    assert (listing.source, listing.title, listing.folder, listing.key) == (
        *("civitai:70", "Painter v1"),
        *("sdxl", "civitai"),
    )
    [file] = listing.files
    assert (file.path, file.size) == ("painter.safetensors", len(WEIGHTS))
    assert file.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert file.url.startswith(f"{site.base}/api/download/models/70")
    assert set(listing.metadata["hashes"][file.path]) == {"SHA256", "CRC32", "AutoV2", "BLAKE3"}
    assert listing.metadata["scans"] == {file.path: {"pickle": "Success", "virus": "Success"}}
    assert listing.metadata["left_out"] == ["painter-fp32.safetensors"]
    assert Listing.from_dict(json.loads(json.dumps(listing.as_dict()))) == listing


async def test_other_files_of_a_version(site: Civitai) -> None:
    both = await look("civitai:70", "*.safetensors")
    assert {file.path for file in both.files} == set(FILES)
    assert both.folder == "sdxl/Painter-v1"
    by_address = await look("https://civitai.com/api/download/models/70?type=Model&fp=fp32")
    assert [file.path for file in by_address.files] == ["painter-fp32.safetensors"]
    twins = site.add(8, 80, FILES)
    for file in twins["files"]:
        file["name"] = "same.safetensors"
    assert [file.path for file in (await look("civitai:80", "*")).files] == [
        "same-100.safetensors",
        "same-101.safetensors",
    ]
    beside = site.add(9, 90, {**FILES, "pictures.zip": b"zip"})
    beside["files"][1] |= {"type": "VAE", "name": "painter.vae.pt"}
    assert [file.path for file in (await look("civitai:90")).files] == ["painter.safetensors", "painter.vae.pt"]
    with pytest.raises(InvalidInput, match="not a model's file"):
        await look("civitai:90", "*.zip")


@pytest.mark.parametrize(
    ("kind", "base", "folder"),
    [
        ("Checkpoint", "Flux.1 D", "flux"),
        ("Checkpoint", "Illustrious", "sdxl"),
        ("Checkpoint", "Pony", "sdxl"),
        ("Checkpoint", "Qwen", "qwen"),
        ("Checkpoint", "ZImageTurbo", "zimage"),
        ("Checkpoint", "SD 1.5", "custom"),
        ("LORA", "Flux.1 D", "lora"),
        ("DoRA", "SDXL 1.0", "lora"),
        ("VAE", "SDXL 1.0", "vae"),
        ("Controlnet", "SDXL 1.0", "adapter"),
        ("Workflows", "Other", "custom"),
    ],
)
async def test_the_folder_by_type_and_family(site: Civitai, kind: str, base: str, folder: str) -> None:
    site.add(9, 90, {"x.safetensors": b"x"}, model={"name": "X", "type": kind}, baseModel=base)
    assert (await look("civitai:90")).folder == folder


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("civitai:71", SourceGone),
        ("https://civitai.com/models/4711", SourceGone),
        ("urn:air:sdxl:checkpoint:civitai:6@70", SourceGone),
        ("https://civitai.com/images/1", InvalidInput),
        ("https://civitai.com/api/download/models/70?token=abcdef", InvalidInput),
    ],
)
async def test_what_is_not_there(site: Civitai, text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await look(text)


async def test_a_login_page_is_no_model(site: Civitai) -> None:
    """D11: found before the download, where the site would redirect to a page for people."""
    site.closed = {70}
    for token in ("", "another_token"):
        with pytest.raises(DownloadDenied) as raised:
            await look("civitai:70", token=token)
        assert f"{site.base}/models/7?modelVersionId=70" in raised.value.remedy
    assert (await look("civitai:70", token=TOKEN)).source == "civitai:70"


async def test_a_site_that_is_away_busy_or_strange(site: Civitai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.downloads.sources.site.WAITS_S", (0.01, 0.01))
    site.busy = 2
    assert (await look("civitai:70")).source == "civitai:70"
    site.busy = 3
    with pytest.raises(SourceLost, match="busy"):
        await look("civitai:70")
    damages: list[dict[str, Any]] = [{"files": "none"}, {"id": None}, {"files": [{"name": None, "id": {}}]}]
    for damage in (*damages, {"files": [7]}):
        site.add(9, 90, FILES, **damage)
        with pytest.raises((SourceLost, SourceGone, InvalidInput)):
            await look("civitai:90")
    site.add(9, 90, {"../../x.safetensors": b"x"})
    with pytest.raises(InvalidInput):
        await look("civitai:90")
    monkeypatch.setenv("MODELYARD_CIVITAI_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceLost, match="can't be reached"):
        await look("civitai:70")


async def test_what_its_scans_say_is_told(site: Civitai) -> None:
    version = site.add(9, 90, {"x.ckpt": b"x"})
    version["files"][0] |= {"pickleScanResult": "Danger", "hashes": {}}
    assert (await look("civitai:90")).metadata["warnings"] == [
        "x.ckpt: CivitAI's pickle scan says Danger",
        "x.ckpt: CivitAI tells no SHA256, so that only the size is checked",
    ]


async def test_the_first_digits_of_a_hash_are_checked_where_no_more_are_told(site: Civitai, tmp_path: Path) -> None:
    """D3: AutoV2 alone."""
    version = site.add(9, 90, {"x.safetensors": WEIGHTS})
    hashes = version["files"][0]["hashes"]
    del hashes["SHA256"]
    listing = await look("civitai:90")
    assert listing.metadata["warnings"] == [
        "x.safetensors: CivitAI tells no SHA256, so that only its first ten digits (AutoV2) are checked"
    ]
    [file] = listing.files
    assert fetch(source_for(listing.source).remote(listing, file), tmp_path / "one").path.read_bytes() == WEIGHTS
    hashes["AutoV2"] = "0123456789"
    other = await look("civitai:90")
    with pytest.raises(WrongBytes):
        fetch(source_for(other.source).remote(other, file), tmp_path / "two")
    assert not (tmp_path / "two").exists()


async def test_the_cdn_sees_no_token_and_other_bytes_are_not_kept(site: Civitai, tmp_path: Path) -> None:
    """D3: the token goes to the site alone, although its API names another host for the file."""
    site.closed = {70}
    listing = await look("civitai:70", token=TOKEN)
    remote = source_for(listing.source).remote(listing, listing.files[0], token=TOKEN)
    assert fetch(remote, tmp_path / "one").path.read_bytes() == WEIGHTS
    [served] = site.cdn.files.values()
    served.fault = lambda number, start: Fault(flip=700)
    with pytest.raises(WrongBytes):
        fetch(remote, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    assert site.cdn.requests
    assert all("Authorization" not in request.headers for request in site.cdn.requests)
    assert all(TOKEN not in request.path for request in (*site.requests, *site.cdn.requests))


def test_by_command(site: Civitai, short_folder: Path) -> None:
    """D3: a page's address, a token from the environment's key."""
    site.closed = {70}
    page = "https://civitai.com/models/7?modelVersionId=70"
    told = done("download", "start", page, "--json", env={"CIVITAI_TOKEN": TOKEN}).json()
    assert (told["state"], told["source"]) == ("done", "civitai:70")
    models = short_folder / "data" / "modelyard" / "models"
    assert (models / "sdxl" / "painter.safetensors").read_bytes() == WEIGHTS
    [model] = json.loads((models / "installed-models.json").read_text())["models"]
    assert (model["path"], model["title"]) == ("sdxl/painter.safetensors", "Painter v1")
