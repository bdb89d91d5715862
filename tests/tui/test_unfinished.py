"""What strangers stumbled over in the downloads, by keys: leftovers, files that are gone, a misspelled repository."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.registry.jobs import Job
from core.settings import Settings
from tests.downloads.hub import Hub
from tests.downloads.test_leftovers import leave
from tests.tui.fake import settings_in
from tests.tui.test_downloads import downloads, models, no_hosts_are_watched, no_worker_is_left  # noqa: F401
from tests.tui.test_installed_on_hosts import installed_tab
from tests.tui.there import hosts_in, put
from tests.tui.user import press, rows, screen_text, select, toasts, until
from tui.modals.download import DownloadDialog
from tui.modals.tidy import TidyDialog
from tui.modals.token import TokenDialog
from tui.widgets.fields import Choice, Field
from tui.widgets.plain import TextField


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Without any repository."""
    with Hub().running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.base)
        yield hub


async def test_a_misspelled_repository_is_mended_where_it_was_typed(settings: Settings, hub: Hub) -> None:
    """D11: without a token the Hub doesn't tell; Esc goes back to the text."""
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "a", *"hf:org/nne", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TokenDialog), "the question for a token")
        lines = [line for line in screen_text(pilot).splitlines() if "org/nne" in line]
        assert "There is no org/nne, or it is private." in lines[0]
        assert "Esc goes back to what was typed." in screen_text(pilot)
        await press(pilot, "escape", "x")
        screen = pilot.app.screen
        assert isinstance(screen, DownloadDialog)
        assert screen.query_one("#field-source", Field).value == "hf:org/nnex"


async def test_what_a_removed_download_left_is_shown_and_tidied_up(settings: Settings, models: Path) -> None:  # noqa: F811
    """D6, D8: told in the list and the disk usage; deleted after a yes, and what isn't surely ours never."""
    part, mine = leave(models / "org", "late.gguf", 3 << 20), models / ".mine.part"
    mine.write_text("mine")
    async with downloads(settings, size=(80, 24)) as pilot:
        await until(pilot, lambda: "3.0 MiB unfinished" in screen_text(pilot), "the summary")
        await press(pilot, "U")
        await until(pilot, lambda: "3.0 MiB of it in 2 unfinished downloads" in screen_text(pilot))
        await press(pilot, "escape", "t")
        await until(pilot, lambda: isinstance(pilot.app.screen, TidyDialog))
        for told in (
            "Delete 1 leftover (3.0 MiB) from the disk",
            "org/.late.gguf.part",
            "just now",
            "nothing beside it",
        ):
            assert told in screen_text(pilot), told
        await press(pilot, "enter")
        assert part.exists()
        await press(pilot, "t")
        await until(pilot, lambda: isinstance(pilot.app.screen, TidyDialog))
        await press(pilot, "y")
        await until(pilot, lambda: "Deleted 1 leftover: 3.0 MiB are free again" in toasts(pilot))
        assert (part.exists(), mine.exists()) == (False, True)
        await until(pilot, lambda: "3.0 MiB unfinished" not in screen_text(pilot), "the summary afterwards")
        await press(pilot, "t")
        await until(pilot, lambda: "All that is unfinished on the disk is kept." in screen_text(pilot))
        await press(pilot, "y")
        assert mine.exists()
        mine.unlink()
        await press(pilot, "t")
        await until(pilot, lambda: "Nothing unfinished lies on this machine" in toasts(pilot))


async def test_models_whose_files_are_gone_say_so(settings: Settings, models: Path) -> None:  # noqa: F811
    """D8, D9: deleted by hand; a filter finds them."""
    (models / "org" / "tuned" / "b.safetensors").unlink()
    (models / "flux" / "schnell.safetensors").unlink()
    async with downloads(settings) as pilot:
        await until(pilot, lambda: "1 file gone" in screen_text(pilot), "the state")
        assert re.search(r"schnell\.safetensors .* ✗ gone ", screen_text(pilot))
        await select(pilot, "org/tuned")
        for told in ("1 of 3 files gone from the disk", "org/tuned/b.safetensors", "then R fetches"):
            assert told in screen_text(pilot), told
        await press(pilot, "f", *"gone", "enter")
        await until(pilot, lambda: sorted(rows(pilot)) == ["flux/schnell.safetensors", "org/tuned"])


async def test_the_form_of_a_download_shows_its_keys_however_tall_it_is(settings: Settings, tmp_path: Path) -> None:
    """D8: at 80x24, with a listing and a complaint."""
    for number in range(9):
        (tmp_path / f"m{number}.safetensors").write_bytes(b"x")
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "a")
        pilot.app.screen.query_one("#field-source TextField", TextField).value = str(tmp_path)
        await press(pilot, "enter")
        await until(pilot, lambda: "9 B in 9 files" in screen_text(pilot), "the listing")
        pilot.app.screen.query_one("#field-folder TextField", TextField).value = "../../etc"
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "is refused" in screen_text(pilot), "the complaint")
        for told in ("leads out of the folder", "Start", "Esc Close"):
            assert told in screen_text(pilot), told


async def test_a_host_is_tidied_up_and_tells_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6, D9, L9: the same on the host that is shown."""
    settings = settings_in(tmp_path)
    hosts = hosts_in(tmp_path, settings, monkeypatch)
    put(settings.models_dir, "org/mine", "hf:org/mine@1", ("config.json",))
    there = hosts.folders["gpu1"]
    put(there, "org/tuned", "hf:org/tuned@1", ("config.json", "a.safetensors"))
    (there / "org" / "tuned" / "config.json").unlink()
    old, new = (there / f".modelyard-{digit * 12}-{digit * 12}.part" for digit in "ab")
    for path in (old, new):
        path.write_bytes(b"x" * 2000)
    os.utime(old, (0, 0))
    async with installed_tab(settings, hosts, size=(80, 24)) as pilot:
        await until(pilot, lambda: "1 file gone" in screen_text(pilot), "the state")
        await press(pilot, "t")
        await until(pilot, lambda: "from the disk of gpu1, for good?" in screen_text(pilot), "the question")
        for told in (old.name, new.name, "it changed a moment ago"):
            assert told in screen_text(pilot), told
        await press(pilot, "y")
        await until(pilot, lambda: not old.exists(), "it is gone")
        assert new.exists()
        await until(pilot, lambda: "Deleted 1 leftover on gpu1: 2.0 KiB are free again" in toasts(pilot))


async def test_a_long_list_of_leftovers_is_walked_through(settings: Settings, models: Path) -> None:  # noqa: F811
    """D8: whatever goes can be seen before it does."""
    for number in range(40):
        leave(models / "org", f"m{number:02}.gguf")
    async with downloads(settings, size=(80, 24)) as pilot:
        await press(pilot, "t")
        await until(pilot, lambda: "Delete 40 leftovers" in screen_text(pilot))
        assert "m39" not in screen_text(pilot)
        await press(pilot, "end")
        await until(pilot, lambda: ".m39.gguf.part" in screen_text(pilot))
        await press(pilot, "enter", "escape")
        assert len(list((models / "org").glob(".*.part"))) == 40


async def test_a_link_to_another_file_system_is_refused_in_the_form(settings: Settings) -> None:
    """D5: what works instead is said."""
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        (elsewhere / "model.gguf").write_bytes(b"GGUF" + bytes(100))
        async with downloads(settings, size=(80, 24)) as pilot:
            await press(pilot, "a")
            pilot.app.screen.query_one("#field-source TextField", TextField).value = str(elsewhere / "model.gguf")
            await press(pilot, "enter")
            await until(pilot, lambda: "104 B in 1 file" in screen_text(pilot), "the listing")
            pilot.app.screen.query_one("#field-how Choice", Choice).value = "link"
            await press(pilot, "ctrl+s")
            await until(pilot, lambda: "on another file system" in screen_text(pilot), "the refusal")
            assert "modelyard files register" in " ".join(screen_text(pilot).replace("│", " ").split())
            await press(pilot, "escape", "right")
            assert rows(pilot) == []
    finally:
        shutil.rmtree(elsewhere)


async def test_a_speed_of_the_first_seconds_tells_no_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: in the list and on the card."""
    settings = settings_in(tmp_path)
    hosts = hosts_in(tmp_path, settings, monkeypatch)
    put(settings.models_dir, "org/mine", "hf:org/mine@1", ("config.json",))
    async with installed_tab(settings, hosts) as pilot:
        registry = pilot.app.yard.registry  # type: ignore[attr-defined]
        job = Job(user_id="ada", title="org/big", host="gpu1", kind="copy", state="running", rate=10_000, is_early=True)
        job.bytes_total, job.bytes_done = 10**9, 10**6
        await registry.add_job(job)
        await press(pilot, "right")
        await until(pilot, lambda: "9.8 KiB/s" in screen_text(pilot), "the speed")
        assert "27h" not in screen_text(pilot)
        await registry.edit_job(job.id, {"is_early": False})
        await until(pilot, lambda: "27h 45m" in screen_text(pilot), "the time left")
