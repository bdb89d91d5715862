"""The screen of downloads and installed models, used by keys, over the real core, its worker and a file server."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from core.app import Modelyard
from core.deploy.service import DeployService
from core.downloads.service import DownloadService
from core.downloads.sources.base import Listing
from core.files import installed
from core.files.installed import InstalledModel
from core.registry.jobs import Job, ListedJob
from core.settings import Settings
from tests.downloads.server import Fault, FileServer, Served
from tests.downloads.test_jobs import end_all
from tests.tui.user import press, rows, screen_text, select, settle, start, toasts, type_text, until
from tui.app import ModelyardApp
from tui.modals.download import DownloadDialog
from tui.modals.files import AdoptDialog
from tui.modals.installed_form import InstalledForm
from tui.modals.token import TokenDialog
from tui.screens.download_cards import left, share
from tui.screens.downloads import DownloadsScreen
from tui.widgets.fields import Field

CONTENT = random.Random(7).randbytes(3_000_000)
TOKEN = "hf_planted_token_0815"
HOSTILE = "a\x1b]0;owned\x07[b]\u202edne"
_LONG_S = 40.0


@pytest.fixture(autouse=True)
def no_worker_is_left(short_folder: Path) -> Iterator[None]:
    yield
    end_all(short_folder)


@pytest.fixture(autouse=True)
def no_hosts_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of this machine's engine would lie over the dialogs."""

    async def watch(self: DeployService) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(DeployService, "watch", watch)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(model=CONTENT).running() as server:
        yield server


@pytest.fixture
def models(settings: Settings) -> Path:
    """A models folder: one model of three files, one single file, and one that nobody told of."""
    settings.ensure_folders()
    folder = settings.models_dir
    _put(folder, "org/tuned", "hf:org/tuned@9f1c2e", ("config.json", "a.safetensors", "b.safetensors"))
    _put(folder, "flux/schnell.safetensors", "https://example.org/schnell.safetensors", ())
    (folder / "carried.gguf").write_bytes(b"GGUF" + CONTENT[:1000])
    return folder


def _put(folder: Path, place: str, source: str, names: tuple[str, ...]) -> None:
    files = []
    for path in [f"{place}/{name}" for name in names] or [place]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(CONTENT[:200_000] + path.encode())
        sha256 = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        files.append({"path": path, "size": (folder / path).stat().st_size, "sha256": sha256})
    title = place.rpartition("/")[2]
    installed.record(folder, InstalledModel(path=place, title=title, source=source, files=tuple(files)))


@asynccontextmanager
async def downloads(settings: Settings, *, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    """The program on its Downloads screen."""
    app = ModelyardApp(settings)
    async with app.run_test(size=size, notifications=True) as pilot:
        await start(pilot)
        await press(pilot, "6")
        await until(pilot, lambda: "Showing" in screen_text(pilot))
        yield pilot


def jobs(pilot: Pilot[None]) -> list[ListedJob]:
    """What the screen knows of downloads."""
    screen: Any = pilot.app.screen_stack[0]
    assert isinstance(screen, DownloadsScreen)
    return list(screen.known.jobs)


def _is(pilot: Pilot[None], state: str) -> bool:
    return [job.state for job in jobs(pilot)] == [state]


async def _ends(pilot: Pilot[None], state: str) -> None:
    await until(pilot, lambda: _is(pilot, state), f"the download is {state}", within_s=_LONG_S)


async def _look(pilot: Pilot[None], source: str) -> None:
    """Open the dialog and look at a source."""
    await press(pilot, "a")
    assert isinstance(pilot.app.screen, DownloadDialog)
    await _paste(pilot, source)
    await press(pilot, "enter")


async def _paste(pilot: Pilot[None], text: str) -> None:
    assert pilot.app.focused is not None
    pilot.app.focused.post_message(events.Paste(text))
    await settle(pilot)


async def test_a_download_is_looked_at_started_and_followed_to_the_end(settings: Settings, server: FileServer) -> None:
    """D4, D6, D8: what comes is told before it is fetched; it is installed at the end, without a key pressed."""
    server.files["model.gguf"].slow_s = 0.1
    async with downloads(settings, size=(80, 24)) as pilot:
        assert "Nothing is installed yet" in screen_text(pilot)
        await _look(pilot, server.url("model.gguf"))
        await until(pilot, lambda: "2.9 MiB in 1 file" in screen_text(pilot), "the listing")
        assert "are free" in screen_text(pilot)
        assert server.sent < len(CONTENT)
        await press(pilot, "enter")
        await until(pilot, lambda: rows(pilot) == ["model.gguf"], "the line of the download", within_s=_LONG_S)
        await until(pilot, lambda: "/s" in screen_text(pilot).split("model.gguf")[1], "a speed", within_s=_LONG_S)
        await _ends(pilot, "done")
        await until(pilot, lambda: "✓ done" in screen_text(pilot))
        await press(pilot, "left")
        await until(pilot, lambda: rows(pilot) == ["custom/model.gguf"])
        assert "2.9 MiB in 1 model" in screen_text(pilot)
    assert (settings.models_dir / "custom" / "model.gguf").read_bytes() == CONTENT


async def test_a_download_is_paused_resumed_cancelled_and_forgotten(settings: Settings, server: FileServer) -> None:
    """D6: by keys, each with its reason when it can't be."""
    server.files["model.gguf"].slow_s = 0.3
    async with downloads(settings) as pilot:
        await _look(pilot, server.url("model.gguf"))
        await until(pilot, lambda: "2.9 MiB in 1 file" in screen_text(pilot))
        await press(pilot, "ctrl+s")
        await _ends(pilot, "running")
        await press(pilot, "x")
        assert "Forget: It is running; c cancels it first." in toasts(pilot)
        await press(pilot, "p")
        await _ends(pilot, "paused")
        await press(pilot, "p")
        assert "Pause: It is paused already." in toasts(pilot)
        await press(pilot, "r")
        await _ends(pilot, "running")
        await press(pilot, "c")
        await _ends(pilot, "cancelled")
        await press(pilot, "f", *"cancel", "enter")
        assert "state cancelled ✕" in screen_text(pilot)
        assert "Showing 1 of 1" in screen_text(pilot)
        await press(pilot, "escape", "x")
        assert "Only the line goes." in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: not jobs(pilot))
        assert "No downloads yet" in screen_text(pilot)


async def test_a_token_is_asked_for_hidden_and_kept_nowhere(
    settings: Settings, server: FileServer, short_folder: Path
) -> None:
    """D11: asked again when the source refuses; sent to no other source."""
    wanted = f"Bearer {TOKEN}"
    server.files["other.gguf"] = Served(content=CONTENT)
    served = server.files["model.gguf"]
    served.fault = lambda number, start: (
        None if server.requests[-1].headers.get("Authorization") == wanted else Fault(status=401)
    )
    async with downloads(settings, size=(80, 24)) as pilot:
        await _look(pilot, server.url("model.gguf"))
        await until(pilot, lambda: isinstance(pilot.app.screen, TokenDialog), "the question for a token")
        assert "accept the model's licence" in " ".join(screen_text(pilot).replace("│", " ").split())
        await type_text(pilot, "wrong")
        await press(pilot, "enter")
        await until(pilot, lambda: "wrong" not in screen_text(pilot) and _asks(pilot), "the question again")
        await _paste(pilot, TOKEN)
        assert TOKEN not in screen_text(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: "2.9 MiB in 1 file" in screen_text(pilot))
        await press(pilot, "enter")
        await _ends(pilot, "done")
        await _look(pilot, server.url("other.gguf"))
        await until(pilot, lambda: "2.9 MiB in 1 file" in screen_text(pilot))
        assert "Authorization" not in server.requests[-1].headers
        await press(pilot, "escape")
    for path in short_folder.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def _asks(pilot: Pilot[None]) -> bool:
    screen = pilot.app.screen
    return isinstance(screen, TokenDialog) and screen.query_one("#field-token", Field).value == ""


async def test_a_failed_download_says_why_and_is_tried_again_with_a_token(
    settings: Settings, server: FileServer
) -> None:
    """D6, D11: the worker was refused; r asks for what is missing."""
    wanted = f"Bearer {TOKEN}"
    server.files["model.gguf"].fault = lambda number, start: (
        None if number == 1 or server.requests[-1].headers.get("Authorization") == wanted else Fault(status=403)
    )
    async with downloads(settings) as pilot:
        await _look(pilot, server.url("model.gguf"))
        await until(pilot, lambda: "2.9 MiB in 1 file" in screen_text(pilot))
        await press(pilot, "enter")
        await _ends(pilot, "failed")
        for part in ("✗ failed", "The server answered 403", "r tries again"):
            assert part in " ".join(screen_text(pilot).split()), part
        await press(pilot, "r")
        await until(pilot, lambda: isinstance(pilot.app.screen, TokenDialog))
        await _paste(pilot, TOKEN)
        await press(pilot, "enter")
        await _ends(pilot, "done")


async def test_a_source_that_is_none_is_said_beside_the_field(settings: Settings, tmp_path: Path) -> None:
    """D5: kinds of files that are no models are refused with the reason."""
    (tmp_path / "notes.docx").write_text("x")
    async with downloads(settings, size=(80, 24)) as pilot:
        for source in ("nonsense", str(tmp_path / "notes.docx")):
            await _look(pilot, source)
            await until(pilot, lambda: bool(pilot.app.screen.query_one("#field-source", Field).problem))
            await press(pilot, "escape")
        await _look(pilot, "/nowhere/model.gguf")
        await until(pilot, lambda: "There is no /nowhere/model.gguf" in screen_text(pilot))


async def test_a_folder_of_this_machine_is_linked(settings: Settings, tmp_path: Path) -> None:
    """D5: include patterns, place and what happens with the originals are chosen by keys."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(CONTENT)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("x")
    async with downloads(settings) as pilot:
        await press(pilot, "a")
        await _paste(pilot, str(folder))
        await press(pilot, "tab")
        await _paste(pilot, "*.safetensors, *.json")
        await press(pilot, "tab", "down", "down", "enter", "ctrl+s")
        await until(pilot, lambda: "2.9 MiB in 2 files" in screen_text(pilot))
        field = pilot.app.screen.query_one("#field-folder", Field)
        field.control.focus()
        await press(pilot, "end", *"/x", "ctrl+s")
        await _ends(pilot, "done")
    placed = settings.models_dir / "custom" / "tuned" / "x"
    assert sorted(path.name for path in placed.iterdir()) == ["config.json", "model.safetensors"]
    assert (placed / "model.safetensors").stat().st_ino == (folder / "model.safetensors").stat().st_ino


async def test_what_is_installed_is_searched_filtered_and_told_with_its_sizes(settings: Settings, models: Path) -> None:
    """D8: by model, by family, in total and free."""
    async with downloads(settings) as pilot:
        assert rows(pilot) == ["carried.gguf", "flux/schnell.safetensors", "org/tuned"]
        for part in ("org 586 KiB", "flux 195 KiB", "free", "? not known"):
            assert part in screen_text(pilot), part
        await select(pilot, "org/tuned")
        for part in ("586 KiB in 3 files", "hf:org/tuned@9f1c2e", "config.json"):
            assert part in screen_text(pilot), part
        await press(pilot, "slash")
        await type_text(pilot, "HF: tun")
        await until(pilot, lambda: rows(pilot) == ["org/tuned"])
        await press(pilot, "escape", "escape")
        await until(pilot, lambda: len(rows(pilot)) == 3)
        await press(pilot, "f", *"fl", "enter")
        await until(pilot, lambda: rows(pilot) == ["flux/schnell.safetensors"])
        await press(pilot, "backspace", "o", "down", "enter")
        await until(pilot, lambda: rows(pilot) == ["org/tuned", "flux/schnell.safetensors", "carried.gguf"])
        assert "by size ▼" in screen_text(pilot)


async def test_what_was_carried_in_is_taken_up(settings: Settings, models: Path) -> None:
    """D7: no file is changed; what is not known says so, and what to press."""
    async with downloads(settings) as pilot:
        await press(pilot, "home", "V")
        assert "Verify: Nothing is known of this file; u takes it up first." in toasts(pilot)
        await press(pilot, "u")
        assert isinstance(pilot.app.screen, AdoptDialog)
        await until(pilot, lambda: "1 file taken up" in screen_text(pilot))
        await press(pilot, "escape")
        await until(pilot, lambda: "? not known" not in screen_text(pilot))
        await press(pilot, "u")
        assert "Take up: All files are known already." in toasts(pilot)
    assert "carried.gguf" in [model.path for model in installed.read(models)]


async def test_files_are_deleted_only_after_a_yes_that_names_them(settings: Settings, models: Path) -> None:
    """L8: the safe answer has the focus; other files stay."""
    (models / "org" / "tuned" / "mine.txt").write_text("mine")
    async with downloads(settings, size=(80, 24)) as pilot:
        await select(pilot, "org/tuned")
        await press(pilot, "D")
        for part in ("3 files, 586 KiB", "org/tuned/config.json", "Kept: other files there"):
            assert part in screen_text(pilot), part
        await press(pilot, "enter")
        assert (models / "org" / "tuned" / "config.json").exists()
        await press(pilot, "D", "y")
        await until(pilot, lambda: "org/tuned" not in rows(pilot))
    assert [path.name for path in (models / "org" / "tuned").iterdir()] == ["mine.txt"]


async def test_an_installed_model_becomes_a_record(settings: Settings, models: Path) -> None:
    """D7: path, id and provider are filled in; the form is that of every model."""
    async with downloads(settings) as pilot:
        await select(pilot, "org/tuned")
        await press(pilot, "m")
        await until(pilot, lambda: isinstance(pilot.app.screen, InstalledForm))
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: any("Added the model tuned" in toast for toast in toasts(pilot)))
        yard = pilot.app.yard  # type: ignore[attr-defined]
        assert isinstance(yard, Modelyard)
        model = await yard.registry.get_model("tuned")
        assert (model.provider, model.model_id, model.path) == ("vllm", "org/tuned", str(models / "org/tuned"))


async def test_the_catalog_is_offered_for_download(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    """D1, D8: sizes, access and what is here are told; d looks at the offer's source, with its files alone."""
    site = short_folder / "site.yaml"
    site.write_text(_SITE)
    monkeypatch.setenv("MODELYARD_CATALOG", str(site))
    asked: list[Any] = []

    async def look(self: DownloadService, source: str, **more: Any) -> Listing:
        asked.append((source, more["patterns"]))
        return Listing(source=source, title="org/tuned", folder="org/tuned", files=(), licence="mit", gated="manual")

    monkeypatch.setattr(DownloadService, "look", look)
    async with downloads(Settings.load()) as pilot:
        await press(pilot, "left", "slash")
        await type_text(pilot, "HF:org/")
        await until(pilot, lambda: rows(pilot) == ["Lab large", "Lab tuned", "Lab unknown"])
        await press(pilot, "enter", "down")
        await until(pilot, lambda: "hf:org/tuned" in screen_text(pilot), "the card")
        for part in ("23.0 GiB", "request", "✓ installed", "hf:org/tuned", "a.safetensors"):
            assert part in screen_text(pilot), part
        await press(pilot, "d")
        await until(pilot, lambda: "Its licence has to be accepted" in screen_text(pilot))
    assert asked == [("hf:org/tuned", ("a.safetensors", "config.json"))]


_SITE = """
family: Lab
defaults: {provider: vllm}
models:
  - {id: lab/large, name: Lab large, model_id: org/large, size: 24696061952, gated: true}
  - id: lab/tuned
    name: Lab tuned
    model_id: org/tuned
    files: [{name: a.safetensors, size: 5}, {name: config.json, size: 2}]
  - {id: lab/unknown, name: Lab unknown, model_id: org/unknown}
"""


async def test_names_from_outside_are_harmless_and_a_damaged_record_is_explained(settings: Settings) -> None:
    """S-rules of the terminal: nothing of a title or an error acts there."""
    settings.ensure_folders()
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    (settings.models_dir / installed.NAME).write_text("{")
    async with downloads(settings) as pilot:
        assert "is damaged" in " ".join(screen_text(pilot).split())
        app: Any = pilot.app
        spec = {"listing": {"source": HOSTILE, "files": []}}
        job = Job(user_id="ada", title=HOSTILE, state="failed", error=HOSTILE, folder=HOSTILE, spec=spec)
        await app.yard.registry.add_job(job)
        await press(pilot, "v")
        await until(pilot, lambda: "a[b]dne" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)
        assert "\u202e" not in screen_text(pilot)


async def test_a_folder_that_cannot_be_read_is_explained(settings: Settings, models: Path) -> None:
    """D8: the downloads are there all the same."""
    async with downloads(settings, size=(80, 24)) as pilot:
        models.rename(models.with_name("moved"))
        models.write_text("no folder")
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "can't be read" in screen_text(pilot))
        await press(pilot, "v")
        await until(pilot, lambda: "No downloads yet" in screen_text(pilot))


async def test_nothing_is_asked_while_nothing_is_under_way(settings: Settings, models: Path) -> None:
    """X9: an idle screen reads nothing and draws nothing."""
    async with downloads(settings) as pilot:
        screen: Any = pilot.app.screen
        before = screen.known
        for _ in range(3):
            screen._look()
            await pilot.pause()
        assert screen.known is before


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "-"), (11.2, "12s"), (199.5, "3m 20s"), (7500, "2h 5m"), (4 * 86400 + 3700, "4d 1h")]
)
def test_the_time_that_is_left(seconds: float | None, said: str) -> None:
    assert left(seconds) == said


def test_the_share_that_is_done() -> None:
    assert share(1, 2) == "███░░░  50%"
    assert share(2, 2) == "██████ 100%"
    assert share(2048, None) == "2.0 KiB"
