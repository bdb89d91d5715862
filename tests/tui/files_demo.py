"""A models folder, a queue and a source for the pictures of the Downloads screen; nothing is fetched."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from textual.pilot import Pilot

from core.downloads.service import DownloadService
from core.downloads.sources.base import Listing, SourceFile
from core.files import installed
from core.files.installed import InstalledModel
from core.files.model_files import FoundFile, Survey, Usage, usage_of
from core.hosts.files_of import FilesOf
from core.registry.jobs import Job
from core.registry.values import LOCAL_HOST
from tests.tui.fake import GIB, Yard
from tests.tui.user import press, rows, screen_text, select, until
from tests.unit.stores import ollama_store

_AT = datetime(2026, 7, 2, 9, 15, tzinfo=UTC)
_PARTS = ("config.json", "model.safetensors")
_MODELS = (
    (
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "hf:Qwen/Qwen2.5-VL-7B-Instruct@cc594898",
        15.4,
        ("config.json", "model.safetensors"),
    ),
    ("Qwen/Qwen3-32B", "hf:Qwen/Qwen3-32B@9216db58", 61.0, _PARTS),
    ("flux/flux1-schnell.safetensors", "hf:black-forest-labs/FLUX.1-schnell@741f7c3c", 22.2, ()),
    (
        "mistralai/Mistral-Small-24B",
        "hf:mistralai/Mistral-Small-24B@20b2ed1c",
        43.9,
        ("config.json", "model.safetensors"),
    ),
    ("sdxl/painter.safetensors", "civitai:4201", 6.5, ()),
)
_SCAN = {"level": "suspicious", "found": ["torch._utils._rebuild_parameter"], "scanner": "picklescan"}


def _told(place: str, source: str, gib: float, names: tuple[str, ...], **more: Any) -> InstalledModel:
    """A model as a folder's record tells of it."""
    files = []
    for path in [f"{place}/{name}" for name in names] or [place]:
        amount = 1_400 if path.endswith(".json") else int(gib * GIB)
        files.append({"path": path, "size": amount, "sha256": hashlib.sha256(path.encode()).hexdigest(), **more})
    return InstalledModel(
        path=place,
        title=place.rpartition("/")[2],
        source=source,
        licence="apache-2.0",
        installed_at=(_AT - timedelta(days=9)).isoformat(),
        files=tuple(files),
    )


def _put(folder: Path, place: str, source: str, gib: float, names: tuple[str, ...], **more: Any) -> None:
    told = _told(place, source, gib, names, **more)
    for one in told.files:
        path = folder / str(one["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(int(one["size"]))  # a hole: it takes no room
    known = [*installed.read(folder), told]
    (folder / installed.NAME).write_text(installed.text_of(known), encoding="utf-8")


def _fill_folder(yard: Yard) -> None:
    """Sizes and what is free are the same on every machine."""
    folder = yard.settings.models_dir
    folder.mkdir(parents=True, exist_ok=True)
    for place, source, gib, names in _MODELS:
        _put(folder, place, source, gib, names)
    _put(folder, "lora/style.ckpt", "civitai:77", 0.2, (), pickle=_SCAN)
    (folder / "carried.gguf").write_bytes(b"GGUF")
    stores = folder.parent / "stores"
    ollama_store(stores)
    os.environ |= {"OLLAMA_MODELS": str(stores), "HF_HUB_CACHE": str(stores / "none")}
    usage = shutil._ntuple_diskusage(1900 * GIB, 1400 * GIB, 500 * GIB)
    setattr(shutil, "disk_usage", lambda _: usage)  # noqa: B010 - a name of another module


def _job(title: str, state: str, done: float, total: float, **values: Any) -> Job:
    listing = {"source": f"hf:{title}@main", "licence": "apache-2.0", "files": [{"path": "model.safetensors"}]}
    amounts = {"bytes_done": int(done * GIB), "bytes_total": int(total * GIB), "created_at": _AT}
    more: dict[str, Any] = {"spec": {"listing": listing}, "folder": f"/srv/models/{title}", **amounts, **values}
    return Job(user_id="ada", title=title, state=state, **more)


async def _fill_queue(yard: Yard) -> None:
    assert yard.registry is not None
    check = {"models": ["Qwen/Qwen3-32B"], "files": [_checked("config.json"), _checked("model.safetensors")]}
    lost = {
        "error": "There is no room for black-forest-labs/FLUX.1-dev.",
        "cause": "22.2 GiB are needed, 3.1 GiB are free.",
        "remedy": "Make room, then try again.",
    }
    jobs = [
        _job("Qwen/Qwen3-235B-A22B", "running", 181.2, 438.0, rate=412.0 * (1 << 20), attempts=1),
        _job("Qwen/Qwen3-32B", "running", 44.8, 61.0, kind="copy", host="europa", rate=289.0 * (1 << 20)),
        _job("openai/gpt-oss-120b", "running", 7.9, 60.8, kind="direct", host="titan", rate=96.0 * (1 << 20)),
        _job("Qwen/Qwen3-32B", "done", 61, 61, kind="verify", spec=check, finished_at=_AT, files=_found()),
        _job("zai-org/GLM-4.5-Air", "queued", 0, 205.8),
        _job("mistralai/Mistral-Large", "paused", 12.4, 228.9, wanted="pause"),
        _job("black-forest-labs/FLUX.1-dev", "failed", 19.1, 22.2, finished_at=_AT, **lost),
        _job("mistralai/Mistral-Small-24B", "done", 43.9, 43.9, finished_at=_AT),
    ]
    for job in jobs:
        await yard.registry.add_job(job)


def _checked(name: str) -> dict[str, str]:
    return {"path": f"Qwen/Qwen3-32B/{name}", "model": "Qwen/Qwen3-32B"}


def _found() -> list[dict[str, Any]]:
    return [{"path": f"Qwen/Qwen3-32B/{name}", "condition": "fine"} for name in ("config.json", "model.safetensors")]


async def _open(pilot: Pilot[None], yard: Yard) -> None:
    """With everything there; no worker is started."""

    async def rest(self: DownloadService) -> None:
        """The queue stands still."""

    setattr(DownloadService, "wake", rest)  # noqa: B010
    setattr(yard_of(pilot).catalog, "_chosen", "")  # noqa: B010
    _fill_folder(yard)
    await _fill_queue(yard)
    await press(pilot, "6")
    await until(pilot, lambda: "carried.gguf" in rows(pilot) and len(rows(pilot)) > len(_MODELS) + 2, "the folder")
    await until(pilot, lambda: "Catalog 0" not in screen_text(pilot), "the catalog")


def yard_of(pilot: Pilot[None]) -> Any:
    """The core of the program."""
    return pilot.app.yard  # type: ignore[attr-defined]


async def _card(pilot: Pilot[None]) -> None:
    if pilot.app.size.width < 100:
        await press(pilot, "enter")


async def catalog(pilot: Pilot[None], yard: Yard) -> None:
    """The catalog, narrowed by a search."""
    await _open(pilot, yard)
    await press(pilot, "left", "slash", *"flux", "enter", "down")


async def installed_tab(pilot: Pilot[None], yard: Yard) -> None:
    """What is installed, one line marked as a pickle."""
    await _open(pilot, yard)
    await select(pilot, "lora/style.ckpt")
    await _card(pilot)


_THERE = (
    ("Qwen/Qwen3-235B-A22B", "hf:Qwen/Qwen3-235B-A22B@8efa61", 438.0, _PARTS),
    ("Qwen/Qwen3-32B", "hf:Qwen/Qwen3-32B@9216db58", 61.0, _PARTS),
    ("openai/gpt-oss-120b", "hf:openai/gpt-oss-120b@b5c939de", 60.8, _PARTS),
    ("zai-org/GLM-4.5-Air", "hf:zai-org/GLM-4.5-Air@a24ceef6", 205.8, _PARTS),
)


class PlayedFiles:
    """The models folder of a host that is not there."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.folder = PurePosixPath("/data/models")

    async def installed(self) -> list[InstalledModel]:
        return [_told(place, source, gib, names) for place, source, gib, names in _THERE]

    async def stores(self) -> list[InstalledModel]:
        return []

    async def survey(self, models: list[InstalledModel]) -> Survey:
        unknown = [FoundFile(path="carried/Kimi-K2-Q4_K_M.gguf", size=int(578.6 * GIB))]
        total, free = sum(model.size for model in models) + unknown[0].size, int(1210.4 * GIB)
        usage = usage_of(models, [], host=self.host, folder=self.folder, total=total, free=free)
        return Survey(unknown=unknown, stores=[], usage=usage)

    async def usage(self) -> Usage:
        return (await self.survey(await self.installed())).usage


def _play_hosts() -> None:
    """Hosts have models."""

    here = FilesOf.__call__

    async def files_of(self: FilesOf, host: str) -> Any:
        return await here(self, host) if host == LOCAL_HOST else PlayedFiles(host)

    setattr(FilesOf, "__call__", files_of)  # noqa: B010


async def _of_a_host(pilot: Pilot[None], yard: Yard) -> None:
    """The installed tab, and the hosts to choose from."""
    _play_hosts()
    await _open(pilot, yard)
    await yard_of(pilot).registry.edit_host(LOCAL_HOST, {"models_dir": "/srv/models"})
    await press(pilot, "h")
    await until(pilot, lambda: "asking" not in screen_text(pilot), "the hosts have answered")


async def hosts_to_choose(pilot: Pilot[None], yard: Yard) -> None:
    """Whose models to show."""
    await _of_a_host(pilot, yard)
    await press(pilot, "down")


async def host_tab(pilot: Pilot[None], yard: Yard) -> None:
    """What is installed on a host."""
    await _of_a_host(pilot, yard)
    await press(pilot, *"atlas", "enter")
    await until(pilot, lambda: "Installed 5 on atlas" in screen_text(pilot), "its models")
    await select(pilot, "Qwen/Qwen3-32B")
    await _card(pilot)


async def host_picker(pilot: Pilot[None], yard: Yard) -> None:
    """A host's models, where a form asks for one."""
    await _of_a_host(pilot, yard)
    await press(pilot, "escape", "1", "a", "ctrl+o")
    await until(pilot, lambda: "Showing" in screen_text(pilot), "the picker")
    await press(pilot, "ctrl+g", *"atlas", "enter")
    await until(pilot, lambda: "Showing 4 of 4" in screen_text(pilot), "its models")


async def jobs_tab(pilot: Pilot[None], yard: Yard) -> None:
    """Jobs of every kind."""
    await _open(pilot, yard)
    await press(pilot, "right")
    await select(pilot, "black-forest-labs/FLUX.1-dev")
    await _card(pilot)


async def usage_dialog(pilot: Pilot[None], yard: Yard) -> None:
    """Who takes the room."""
    _play_hosts()
    await _open(pilot, yard)
    screen: Any = pilot.app.screen
    screen.known = replace(screen.known, usage=replace(screen.known.usage, folder="/srv/models"))
    await press(pilot, "U")


async def start_dialog(pilot: Pilot[None], yard: Yard) -> None:
    """A gated model was looked at."""
    listing = Listing(
        source="hf:black-forest-labs/FLUX.1-dev@3de623fc",
        title="black-forest-labs/FLUX.1-dev",
        folder="black-forest-labs/FLUX.1-dev",
        files=(SourceFile(path="flux1-dev.safetensors", size=int(22.2 * GIB)),),
        revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
        licence="flux-1-dev-non-commercial-license",
        gated="auto",
    )

    async def look(self: DownloadService, source: str, **_: Any) -> Listing:
        return listing

    setattr(DownloadService, "look", look)  # noqa: B010
    await _open(pilot, yard)
    await press(pilot, "left", "slash", *"flux.1 dev", "enter")
    await select(pilot, "Flux.1 Dev")
    await press(pilot, "d")
    await until(pilot, lambda: "non-commercial" in screen_text(pilot), "the listing")
