"""What the Downloads screen says where something is in the way: of searches, refusals, waits, several offers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from core.app import Modelyard
from core.downloads.launch import the_only_one
from core.downloads.service import DownloadService
from core.errors import SourceGone
from core.files import installed
from core.files.installed import InstalledModel
from core.registry.jobs import Job
from core.settings import Settings
from tests.tui.test_downloads import _paste, downloads, no_hosts_are_watched  # noqa: F401 - a fixture
from tests.tui.user import press, rows, screen_text, type_text, until
from tui.widgets.columns import Cell

_OFFERS = """
replace: true
weights:
  - {id: a, name: A tuning, family: flux, type: image, source: hf:o/flux.1-dev-a}
  - {id: b, name: Flux.1 Dev, family: flux, type: image, source: hf:o/b}
  - {id: c, name: Flux.1 Dev Q8, family: flux, type: image, source: hf:o/c}
"""


@pytest.fixture
def offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.yaml").write_text(_OFFERS)
    monkeypatch.setenv("MODELYARD_CATALOG", str(tmp_path / "site.yaml"))


@pytest.mark.usefixtures("offers")
async def test_a_search_shows_first_what_is_called_so(settings: Settings) -> None:
    """D8: what only mentions it comes after; in an order of the user's own, nothing is moved."""
    async with downloads(settings) as pilot:
        await press(pilot, "left", "slash")
        await type_text(pilot, "flux.1 dev")
        await until(pilot, lambda: rows(pilot) == ["Flux.1 Dev", "Flux.1 Dev Q8", "A tuning"])
        await press(pilot, "enter", "o", "down", "enter")
        await until(pilot, lambda: rows(pilot) == ["A tuning", "Flux.1 Dev", "Flux.1 Dev Q8"], "by family, then name")


@pytest.mark.usefixtures("offers")
async def test_what_to_do_is_seen_beside_a_long_cause_and_so_is_how_many_are_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2, D8: at 80 by 24 cells, without scrolling."""

    async def look(self: DownloadService, source: str, **_: Any) -> None:
        url = f"https://huggingface.co/black-forest-labs/{source[3:]}/resolve/{'0123456789' * 4}/flux1-dev.safetensors"
        cause = f"404 Client Error. Entry Not Found for url: {url}. The file of this name is not there any more."
        raise SourceGone(f"{source} has no such file.", cause=cause, remedy="See its page, and take another REVISION.")

    monkeypatch.setattr(DownloadService, "look", look)
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "left", "asterisk", "d")
        for number, source in enumerate(("hf:o/flux.1-dev-a", "hf:o/b"), 1):
            await until(pilot, lambda: "another REVISION" in screen_text(pilot), "what to do")
            assert f"✗ {source} has no such file." in screen_text(pilot)
            assert f"Download {number} of 3" in screen_text(pilot)
            await press(pilot, "escape")
            await until(pilot, partial(_shows, pilot, f"Download {number + 1} of 3"), "the next one")


async def test_a_job_that_waits_for_the_line_or_was_paused_is_not_said_to_run(settings: Settings) -> None:
    """D6, D8."""
    async with Modelyard.open(settings) as yard:
        doing = "waiting for the line: gpu1 does not answer."
        told: dict[str, dict[str, Any]] = {
            "cut": {"state": "running", "doing": doing},
            "slow": {"state": "running"},
            "held": {"state": "paused", "wanted": "pause"},
            "lost": {"state": "failed", "rate": 0.0},
        }
        for title, values in told.items():
            common: dict[str, Any] = {
                "user_id": yard.registry.user_id,
                "kind": "copy",
                "bytes_done": 1,
                "bytes_total": 9,
            }
            await yard.registry.add_job(Job(title=title, **common, **values))
    with the_only_one(settings):  # so that no worker takes them
        async with downloads(settings, size=(80, 24)) as pilot:
            await press(pilot, "v")
            seen = screen_text(pilot)
    lines = {title: _line(seen, title) for title in ("cut", "slow", "held")}
    assert "! waits" in lines["cut"]
    assert "0 B/s" in lines["slow"]
    assert "/s" not in lines["held"]
    assert "✗ 1 failed" in seen
    assert seen.index("1 failed") < seen.index("1 paused"), "where there is no room, what is worse stays"


def _shows(pilot: Pilot[None], text: str) -> bool:
    return text in screen_text(pilot)


def _line(screen: str, title: str) -> str:
    return next(line for line in screen.splitlines() if f" {title} " in line)


async def test_models_of_one_file_name_are_told_apart_on_a_narrow_screen(settings: Settings) -> None:
    """D8: most repositories of one file call it model.safetensors."""
    settings.ensure_folders()
    path = "an-organisation/Qwen3-0.6B/model.safetensors"
    file = {"path": path, "size": 9, "sha256": "0" * 64}
    installed.record(settings.models_dir, InstalledModel(path=path, title=path, files=(file,)))
    async with downloads(settings, size=(80, 24)) as pilot:
        assert " …/Qwen3-0.6B/model.safetensors " in screen_text(pilot)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("sdxl/painter.safetensors", "sdxl/painter.safetensors"),
        ("unsloth/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-GGUF/…-8B-Q4_K_M.gguf"),
        ("lab/model-07-with-a-rather-long-name-Instruct", "model-07-with-…g-name-Instruct"),
        ("lab/" + "模型" * 20, "模型模型模型模…型模型模型模型"),
        ("a" * 80, "a" * 14 + "…" + "a" * 15),
    ],
)
def test_of_a_long_path_its_beginning_and_its_end_stay(path: str, shown: str) -> None:
    assert Cell(path, is_path=True).within(30) == shown
    assert cell_len(shown) <= 30


async def test_what_another_program_begins_is_seen_soon(settings: Settings) -> None:
    """D6: without a key, also where nothing was under way."""
    async with downloads(settings) as pilot:
        await press(pilot, "v")
        assert "No downloads yet" in screen_text(pilot)
        async with Modelyard.open(settings) as other:
            job = Job(user_id=other.registry.user_id, title="theirs", state="paused", wanted="pause", bytes_total=9)
            await other.registry.add_job(job)
        await until(pilot, lambda: rows(pilot) == ["theirs"], "their download", within_s=10)
