"""The tabs of the Downloads screen by keys: sources, checks and their repair, marks, priorities, usage."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.downloads.service import DownloadService
from core.downloads.sources.base import Listing, SourceFile
from core.events import now
from core.files import installed
from core.files.installed import InstalledModel
from core.registry.jobs import Job
from core.registry.records import Host
from core.registry.store import Registry
from core.settings import Settings
from tests.downloads.civitai import Civitai
from tests.downloads.hub import Hub
from tests.downloads.ollama import OllamaRegistry
from tests.tui.fake import Yard
from tests.tui.test_copy import FakeCopies
from tests.tui.test_downloads import (  # noqa: F401 - fixtures
    downloads,
    models,
    no_hosts_are_watched,
    no_worker_is_left,
)
from tests.tui.user import press, rows, screen_text, select, session, toasts, type_text, until
from tui.modals.deploy import DeployDialog
from tui.modals.installed_form import InstalledForm
from tui.modals.token import TokenDialog
from tui.screens.download_table import Line, Order, Table, facets
from tui.screens.downloads import DownloadsScreen
from tui.widgets.fields import Field, Toggle

BODY = random.Random(3).randbytes(1_500_000)
TOKEN = "hf_planted_token_2342"
_LONG_S = 40.0


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub().running() as hub:
        hub.tokens = {TOKEN}
        hub.add("org/small", {"config.json": b"{}", "model.safetensors": BODY}, gated="manual", licence="llama3")
        hub.repos["org/small"].readers.add(TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.base)
        yield hub


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Civitai]:
    with Civitai().running() as site:
        site.add(1, 11, {"painter.safetensors": BODY})
        monkeypatch.setenv("MODELYARD_CIVITAI_ENDPOINT", site.base)
        yield site


def screen(pilot: Pilot[None]) -> DownloadsScreen:
    found = pilot.app.screen_stack[0]
    assert isinstance(found, DownloadsScreen)
    return found


async def _done(pilot: Pilot[None], count: int, kind: str) -> None:
    def there() -> bool:
        ended = [job for job in screen(pilot).known.jobs if job.kind == kind and job.state == "done"]
        return len(ended) == count

    await until(pilot, there, f"{count} done: {kind}", within_s=_LONG_S)


async def test_a_model_of_ollamas_library_by_keys(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """D12: its licence and size first; then it is there under its name."""
    with OllamaRegistry().running() as registry:
        registry.add("library/smol:135m", [("model", BODY), ("license", b"SMALL LICENSE\n")])
        monkeypatch.setenv("MODELYARD_OLLAMA_ENDPOINT", registry.base)
        async with downloads(settings, size=(80, 24)) as pilot:
            await press(pilot, "a", *"ollama:smol:135m", "enter")
            await until(pilot, lambda: "SMALL LICENSE" in screen_text(pilot), "the listing")
            assert "1.4 MiB in 2 files" in screen_text(pilot)
            await press(pilot, "enter")
            await _done(pilot, 1, "download")
            await press(pilot, "left")
            await until(pilot, lambda: "ollama/smol-135m" in screen_text(pilot), "it is installed")
    assert (settings.models_dir / "ollama/smol-135m/smol-135m.gguf").read_bytes() == BODY


async def test_hugging_face_and_civitai_by_keys_then_checked_and_mended(
    settings: Settings, hub: Hub, site: Civitai, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2, D3, D9, D11, D12: licence and gating first, a token asked for once; damage alone is fetched again."""
    kept: dict[str, str] = {}

    async def keep(self: Any, name: str, value: str) -> None:
        kept[name] = value

    monkeypatch.setattr("core.keys.store.KeyStore.set", keep)
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "a", *"hf:org/small", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TokenDialog), "the question for a token")
        assert "1.4 MiB in 2 files; licence: llama3" in screen_text(pilot), "what the token would be for"
        await type_text(pilot, TOKEN)
        await press(pilot, "tab", "space")
        assert pilot.app.screen.query_one(Toggle).value
        assert TOKEN not in screen_text(pilot)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "are free here" in screen_text(pilot), "the listing")
        for part in (
            "1.4 MiB in 2 files",
            "Its licence has to be accepted",
            "llama3",
            "let in by its authors",
            "are free here",
        ):
            assert part in screen_text(pilot), part
        assert kept == {"huggingface": TOKEN}
        await press(pilot, "enter")
        await _done(pilot, 1, "download")
        await press(pilot, "a", *"civitai:11", "enter")
        await until(pilot, lambda: "painter.safetensors" in screen_text(pilot), "the listing")
        await press(pilot, "enter")
        await _done(pilot, 2, "download")

        folder = settings.models_dir
        (folder / "org/small/config.json").unlink()
        with (folder / "org/small/model.safetensors").open("r+b") as file:
            file.write(b"\x00\xff\x00")
        await press(pilot, "left")
        await until(pilot, lambda: len(rows(pilot)) == 2, "both installed")
        await press(pilot, "asterisk")
        assert "2 marked" in screen_text(pilot)
        await press(pilot, "V")
        await until(pilot, lambda: "✗ 2 bad" in screen_text(pilot), "what was found", within_s=_LONG_S)
        assert "✓ verified" in screen_text(pilot)
        await select(pilot, "org/small")
        await press(pilot, "enter", "enter")
        for part in ("missing", "changed", "R fetches just these"):
            assert part in screen_text(pilot), part
        await press(pilot, "escape", "R")
        assert "Fetch 2 files of" in screen_text(pilot)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        await press(pilot, "y")
        await _done(pilot, 3, "download")
        await until(pilot, lambda: "bad" not in screen_text(pilot).partition("Fetch bad")[0], "it is whole again")
    assert (folder / "org/small/model.safetensors").read_bytes() == BODY
    assert (folder / "org/small/config.json").read_bytes() == b"{}"


def _job(title: str, state: str, **values: Any) -> Job:
    more = {"wanted": "pause" if state == "paused" else "run", "bytes_total": 4 << 30, **values}
    spec = more.pop("spec", {"listing": {"source": f"hf:{title}", "files": []}})
    return Job(user_id="ada", title=title, state=state, spec=spec, folder="/srv/models/x", **more)


async def _fill_jobs(registry: Registry) -> None:
    at = now()
    told = {"error": "The disk is full.", "cause": "4.0 GiB don't fit.", "remedy": "Make room.", "finished_at": at}
    jobs = [
        _job("org/one", "paused", bytes_done=1 << 30, created_at=at - timedelta(minutes=3)),
        _job("org/two", "paused", created_at=at - timedelta(minutes=2)),
        _job("org/three", "failed", **told),
        _job("org/four", "done", bytes_done=4 << 30, finished_at=at),
        _job("org/five", "done", kind="copy", host="atlas", finished_at=at, spec={"files": []}),
        _job("org/six", "cancelled", kind="direct", host="atlas", finished_at=at),
    ]
    for job in jobs:
        await registry.add_job(job)


async def test_jobs_of_every_kind_and_host_are_told_filtered_moved_and_cleared(settings: Settings) -> None:
    """D6, D8: where each goes, why one failed and what to do, priorities, several at once, all that is over away."""
    async with session(Yard(settings, fill=_fill_jobs), size=(80, 24)) as pilot:
        await press(pilot, "6", "v")
        await until(pilot, lambda: rows(pilot)[:2] == ["org/one", "org/two"], "the jobs")
        for part in ("→ atlas", "↓ atlas", "✗ failed", "25%"):
            assert part in screen_text(pilot), part
        await press(pilot, "down", "plus")
        await until(pilot, lambda: rows(pilot)[:2] == ["org/two", "org/one"], "the other one first")
        await press(pilot, "minus", "minus")
        await until(pilot, lambda: rows(pilot)[:2] == ["org/one", "org/two"], "after the other one")
        await select(pilot, "org/three")
        await press(pilot, "enter", "enter")
        for part in ("The disk is full.", "4.0 GiB don't fit.", "Make room.", "r tries again"):
            await until(pilot, lambda part=part: part in screen_text(pilot), part)  # type: ignore[misc]
        await press(pilot, "escape", "f", *"host", "enter")
        assert set(rows(pilot)) == {"org/five", "org/six"}
        await press(pilot, "f", *"kind copy", "enter")
        assert rows(pilot) == ["org/five"]
        assert "kind copy ✕" in screen_text(pilot)
        await press(pilot, "escape", "asterisk", "c")
        await until(pilot, lambda: not [job for job in screen(pilot).known.jobs if job.wanted == "pause"], "ended")
        await press(pilot, "X")
        assert "every file stays" in screen_text(pilot)
        await press(pilot, "enter")
        assert len(rows(pilot)) == 6
        await press(pilot, "X", "y")
        await until(pilot, lambda: len(rows(pilot)) == 2, "those that are not over")


async def _fill_host(registry: Registry) -> None:
    await registry.add_host(Host(name="atlas", target="atlas", models_dir="/srv/models"))


async def test_what_is_kept_by_other_tools_and_what_is_dangerous_is_marked(settings: Settings) -> None:
    """D5, D8, X8: marked with a word; deleting says why not; the reason of a mark stands on the card."""
    settings.ensure_folders()
    folder = settings.models_dir
    scan = {"level": "dangerous", "found": ["os.system"], "scanner": "x"}
    file = {"path": "lora/evil.ckpt", "size": 5, "sha256": "", "pickle": scan}
    (folder / "lora").mkdir(parents=True)
    (folder / "lora/evil.ckpt").write_bytes(b"12345")
    installed.record(folder, InstalledModel(path="lora/evil.ckpt", title="evil", source="found", files=(file,)))
    async with session(Yard(settings, fill=_fill_host)) as pilot:
        await press(pilot, "6")
        await until(pilot, lambda: "✗ dangerous" in screen_text(pilot), "the mark")
        await until(pilot, lambda: "os.system" in screen_text(pilot), "the reason on the card")
        await press(pilot, "f", *"pickle", "enter")
        assert rows(pilot) == ["lora/evil.ckpt"]
        await press(pilot, "U")
        await until(pilot, lambda: "atlas" in screen_text(pilot), "the host")
        for part in ("By family", "lora", "The largest", "Other hosts", "free"):
            assert part in screen_text(pilot), part


async def test_a_host_downloads_by_itself_and_installed_models_go_to_hosts_and_trainers(
    settings: Settings,
    models: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D6, D8, D10: where a download goes is chosen before it starts; C and T are there for what is installed."""
    begun: list[str] = []

    async def look(self: DownloadService, source: str, **_: Any) -> Listing:
        return Listing(source=source, title="org/one", folder="org/one", files=(SourceFile(path="a.gguf", size=5),))

    async def begin(self: DownloadService, listing: Listing, *, host: str, **_: Any) -> Job:
        begun.append(host)
        return _job("org/one", "done", kind="direct", host=host)

    monkeypatch.setattr(DownloadService, "look", look)
    monkeypatch.setattr(DownloadService, "start", begin)
    copies = FakeCopies()
    async with session(Yard(settings, fill=_fill_host, copies=copies), size=(80, 24)) as pilot:
        await press(pilot, "6", "a", *"hf:org/one", "enter")
        await until(pilot, lambda: "5 B in 1 file" in screen_text(pilot), "the listing")
        pilot.app.screen.query_one("#field-host", Field).control.focus()
        await press(pilot, "enter", "down", "enter")
        assert "atlas, which downloads by itself" in screen_text(pilot)
        await press(pilot, "ctrl+s")
        assert begun == ["atlas"]
        await press(pilot, "left")
        await select(pilot, "flux/schnell.safetensors")
        await press(pilot, "C")
        await until(pilot, lambda: "1 file, 3" in screen_text(pilot), "its files are known")
        await press(pilot, "enter")
        await until(pilot, lambda: copies.hosts == ["atlas"], "the copy is begun")
        await press(pilot, "escape", "T")
        await until(pilot, lambda: "AI Toolkit fetches" in screen_text(pilot), "the config")
        for part in ("Config for training", "Write", "Esc Close"):
            assert part in screen_text(pilot), part


async def test_a_model_is_deployed_in_place(settings: Settings, models: Path) -> None:  # noqa: F811
    """D7: d asks for a record where there is none, and goes on to the deploy; the next time at once."""
    async with downloads(settings) as pilot:
        await select(pilot, "org/tuned")
        await press(pilot, "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, InstalledForm), "the record")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeployDialog), "the deploy")
        await press(pilot, "escape", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeployDialog), "the deploy at once")
        await press(pilot, "escape", "home", "d")
        assert "Deploy: Nothing is known of this file; u takes it up first." in toasts(pilot)


async def test_what_was_put_there_by_hand_is_deleted_only_when_its_path_is_typed(
    settings: Settings,
    models: Path,  # noqa: F811
) -> None:
    """L8: nothing could bring it back, so a y is not enough."""
    async with session(Yard(settings), size=(80, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, lambda: "carried.gguf" in rows(pilot))
        await press(pilot, "home", "D")
        await until(pilot, lambda: "put it there by hand" in screen_text(pilot), "the question")
        await type_text(pilot, "y")
        await press(pilot, "enter")
        assert "That is not its path." in screen_text(pilot)
        assert (models / "carried.gguf").exists()
        await press(pilot, "ctrl+u", *"carried.gguf", "enter")
        await until(pilot, lambda: "carried.gguf" not in rows(pilot), "it is gone")
    assert not (models / "carried.gguf").exists()


def _table() -> Table:
    table = Table([Order("name", "NAME", lambda row: row), Order("size", "SIZE", len, descending=True)])
    names = ["flux dev", "flux schnell", "qwen"]
    table.fill(names, _line)
    return table


def _line(name: str) -> Line:
    return Line(name, name, facets({"family": name.split(maxsplit=1)[0], "state": ["new", ""]}))


def test_words_and_filters_narrow_together_and_one_value_of_a_kind_is_on() -> None:
    table = _table()
    table.text = "FLUX d"
    assert table.found() == ["flux dev"]
    table.toggle("family:qwen")
    assert table.found() == []
    table.clear()
    for key in ("state:new", "family:qwen", "family:flux"):
        table.toggle(key)
    assert table.found() == ["flux dev", "flux schnell"]
    assert [chip.label for chip in table.chips()] == ["state new", "family flux"]
    table.toggle("family:flux")
    assert [option.detail for option in table.filter_options()] == ["2", "1", "on; choose it to take it off"]


def test_the_order_is_kept_by_new_rows_and_turned_round_when_chosen_again() -> None:
    table = _table()
    table.order("size")
    assert (table.found()[0], table.sorted_by) == ("flux schnell", ("SIZE", True))
    table.order("size")
    table.fill(table.rows, _line)
    assert (table.found()[0], table.sorted_by) == ("qwen", ("SIZE", False))
    table.toggle("sort:")
    assert (table.found()[0], table.sorted_by) == ("flux dev", ("", False))
