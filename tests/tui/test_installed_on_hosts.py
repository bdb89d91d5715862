"""The installed tab of another host (D7 to D10, L8), by keys, over lines that are good, held or cut."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.downloads.service import DownloadService
from core.events import HostChanged, now
from core.files import installed
from core.registry.jobs import Job
from core.settings import Settings
from tests.tui.fake import Yard, settings_in
from tests.tui.there import Hosts, choose_host, hosts_in, put
from tests.tui.user import press, rows, screen_text, select, session, toasts, type_text, until
from tui.modals.asking import AskingDialog
from tui.modals.deploy import DeployDialog
from tui.modals.host_picker import HostPicker
from tui.modals.installed_form import InstalledForm
from tui.modals.usage import UsageDialog
from tui.screens.downloads import DownloadsScreen
from tui.widgets.fields import Field

HERE = ["org/mine"]
THERE = ["carried.gguf", "org/tuned", "Qwen/Qwen3-8B"]
WEIGHTS = ("config.json", "model.safetensors")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def hosts(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """`gpu1` has two models and a file that nobody told of; `gpu2` has nothing."""
    made = hosts_in(tmp_path, settings, monkeypatch)
    put(settings.models_dir, "org/mine", "hf:org/mine@1", WEIGHTS)
    put(made.folders["gpu1"], "Qwen/Qwen3-8B", "hf:Qwen/Qwen3-8B@1", WEIGHTS)
    put(made.folders["gpu1"], "org/tuned", "hf:org/tuned@9f1c2e", ("config.json", "a.safetensors"))
    (made.folders["gpu1"] / "carried.gguf").write_bytes(b"GGUF")

    async def nobody_works(self: DownloadService, **_: Any) -> None:
        """The queue alone is looked at here."""

    monkeypatch.setattr(DownloadService, "wake", nobody_works)
    return made


@asynccontextmanager
async def installed_tab(
    settings: Settings, hosts: Hosts, host: str = "gpu1", *, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Pilot[None]]:
    """The program on the installed tab of a host."""
    async with session(Yard(settings, fill=hosts.fill), size=size) as pilot:
        await press(pilot, "6")
        await until(pilot, lambda: rows(pilot) == HERE, "what is on this machine")
        await go_to(pilot, host)
        yield pilot


async def go_to(pilot: Pilot[None], host: str) -> None:
    """The installed tab of another host."""
    await choose_host(pilot, host, key="h", back_on=DownloadsScreen)


async def shown(pilot: Pilot[None], expected: list[str]) -> None:
    await until(pilot, lambda: rows(pilot) == expected, f"{expected}")


def words(pilot: Pilot[None]) -> str:
    return " ".join(screen_text(pilot).replace("│", " ").split())


async def jobs(pilot: Pilot[None]) -> list[Job]:
    yard: Any = pilot.app.yard  # type: ignore[attr-defined]
    found: list[Job] = await yard.registry.jobs()
    return found


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_models_of_a_host_are_shown_searched_and_left(
    settings: Settings, hosts: Hosts, size: tuple[int, int]
) -> None:
    """D8: rows, states, usage and card are the host's; the choice stays on other screens; Escape goes back."""
    async with installed_tab(settings, hosts, size=size) as pilot:
        await shown(pilot, sorted(THERE, key=str.casefold))
        for part in ("Installed 3 on gpu1", "gpu1 ·", "free", "in 2 models", "? not known"):
            assert part in words(pilot), part
        await select(pilot, "org/tuned")
        await press(pilot, *([] if size[0] == 120 else ["enter", "enter"]))
        for part in ("Host gpu1", "14 B in 2 files", "hf:org/tuned@9f1c2e"):
            assert part in words(pilot), part
        await press(pilot, *([] if size[0] == 120 else ["escape"]), "slash")
        await type_text(pilot, "qwen")
        await shown(pilot, ["Qwen/Qwen3-8B"])
        await press(pilot, "enter", "3", "6")
        assert "Installed 3 on gpu1" in screen_text(pilot)
        await press(pilot, "escape")
        await shown(pilot, sorted(THERE, key=str.casefold))
        await press(pilot, "escape")
        await shown(pilot, HERE)
        assert "gpu1" not in screen_text(pilot)


async def test_over_a_slow_line_the_last_look_stays_and_nothing_waits(settings: Settings, hosts: Hosts) -> None:
    """D8: it is said that the host is asked; other tabs, this machine and the way back work meanwhile."""
    line = hosts.lines["gpu1"]
    line.open.clear()
    async with installed_tab(settings, hosts, size=(80, 24)) as pilot:
        assert "Asking gpu1…" in screen_text(pilot)
        await press(pilot, "v", "left", "escape")
        await shown(pilot, HERE)
        line.open.set()
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: "Installed 3 on gpu1" in screen_text(pilot), "what is there")
        line.open.clear()
        (hosts.folders["gpu1"] / "more.gguf").write_bytes(b"GGUF")
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "asking…" in screen_text(pilot), "that it is asked again")
        assert len(rows(pilot)) == 3
        line.open.set()
        await until(pilot, lambda: "more.gguf" in rows(pilot), "what is new there")
        assert "asking…" not in screen_text(pilot)


async def test_a_host_that_does_not_answer_says_why_and_what_to_do(settings: Settings, hosts: Hosts) -> None:
    """D8: what was seen last is told as old; without any, cause and remedy stand there."""
    hosts.lines["gpu1"].cut = True
    async with installed_tab(settings, hosts, size=(80, 24)) as pilot:
        for part in ("gpu1 does not answer.", "It is down.", "→ Try ssh gpu1.", "or Esc for this machine"):
            await until(pilot, lambda part=part: part in words(pilot), part)  # type: ignore[misc]
        hosts.lines["gpu1"].cut = False
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        hosts.lines["gpu1"].cut = True
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "! as of 20" in screen_text(pilot), "that it is old")
        assert len(rows(pilot)) == 3
        assert any("gpu1 does not answer." in toast for toast in toasts(pilot))
        hosts.lines["gpu1"].cut = False
        yard: Any = pilot.app.yard  # type: ignore[attr-defined]
        yard.bus.publish(HostChanged(host="gpu1", reachable=True))
        await until(pilot, lambda: "! as of 20" not in screen_text(pilot), "that it is back, without a key")


async def test_what_was_carried_to_a_host_is_taken_up_there(settings: Settings, hosts: Hosts) -> None:
    """D7: no file is changed, the host's own record tells of it from now on."""
    async with installed_tab(settings, hosts) as pilot:
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        await press(pilot, "u")
        await until(pilot, lambda: "1 file taken up" in screen_text(pilot), "taken up")
        assert "on gpu1, which reads by itself" in screen_text(pilot)
        await press(pilot, "escape")
        await until(pilot, lambda: "? not known" not in screen_text(pilot))
    assert "carried.gguf" in [model.path for model in installed.read(hosts.folders["gpu1"])]
    assert [model.path for model in installed.read(settings.models_dir)] == HERE


async def test_files_of_a_host_are_deleted_after_a_yes_that_names_it(settings: Settings, hosts: Hosts) -> None:
    """L8: what goes is asked there; what was put there by hand is typed; this machine keeps everything."""
    folder = hosts.folders["gpu1"]
    put(settings.models_dir, "org/tuned", "hf:org/tuned@9f1c2e", ("config.json", "a.safetensors"))
    async with session(Yard(settings, fill=hosts.fill), size=(80, 24)) as pilot:
        await press(pilot, "6")
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        await select(pilot, "org/tuned")
        hosts.lines["gpu1"].open.clear()
        await press(pilot, "D")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskingDialog), "that it is asked")
        await press(pilot, "escape", "D")
        hosts.lines["gpu1"].open.set()
        await until(pilot, lambda: "from the disk of gpu1?" in words(pilot), "the question")
        for part in ("2 files, 14 B, in", "org/tuned/config.json"):
            assert part in words(pilot), part
        await press(pilot, "enter")
        assert (folder / "org/tuned/config.json").exists()
        await press(pilot, "D", "y")
        await until(pilot, lambda: len(rows(pilot)) == 2, "gone there")
        assert not (folder / "org/tuned/config.json").exists()
    assert (settings.models_dir / "org/tuned/config.json").exists()


async def test_a_check_of_a_host_is_a_job_there_and_its_result_is_the_hosts(settings: Settings, hosts: Hosts) -> None:
    """D9: what was found bad there is not said of a model here; R offers to fetch it again."""
    put(settings.models_dir, "org/tuned", "hf:org/tuned@9f1c2e", ("config.json", "a.safetensors"))
    async with session(Yard(settings, fill=hosts.fill)) as pilot:
        await press(pilot, "6")
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        await select(pilot, "org/tuned")
        await press(pilot, "V")
        assert any(toast.startswith("Verifying org/tuned on gpu1") for toast in toasts(pilot))
        await until(pilot, lambda: "◑ verifying" in screen_text(pilot), "that it is read")
        [job] = await jobs(pilot)
        assert (job.kind, job.host, job.folder) == ("verify", "gpu1", str(hosts.folders["gpu1"]))
        await _ends_with_a_bad_file(pilot, job)
        await press(pilot, "ctrl+r")
        await until(pilot, lambda: "✗ 1 bad" in screen_text(pilot), "what was found")
        await press(pilot, "R")
        await until(pilot, lambda: "Fetch 1 file of tuned on gpu1 again?" in screen_text(pilot), "the question")
        await press(pilot, "n", "escape")
        await until(pilot, lambda: "org/mine" in rows(pilot), "this machine")
        assert "1 bad" not in screen_text(pilot)
        await _is_mended(pilot, job)
        await go_to(pilot, "gpu1")
        await until(pilot, lambda: "✓ verified" in screen_text(pilot), "what came from this machine since")


async def _ends_with_a_bad_file(pilot: Pilot[None], job: Job) -> None:
    yard: Any = pilot.app.yard  # type: ignore[attr-defined]
    files = [{"path": str(file["path"]), "condition": "fine"} for file in job.spec["files"]]
    files[0]["condition"] = "changed"
    result = {"files": len(files), "bad": 1}
    await yard.registry.edit_job(job.id, {"state": "done", "files": files, "result": result})


async def _is_mended(pilot: Pilot[None], check: Job) -> None:
    """By a copy of just the bad file."""
    yard: Any = pilot.app.yard  # type: ignore[attr-defined]
    spec = {"root": check.folder, "replace": True, "files": [{"place": check.spec["files"][0]["path"]}]}
    more: dict[str, Any] = {"folder": f"{check.folder}/org/tuned", "spec": spec, "finished_at": now()}
    await yard.registry.add_job(Job(user_id="ada", kind="copy", title="x", host="gpu1", state="done", **more))


async def test_a_model_of_a_host_is_recorded_and_deployed_there(settings: Settings, hosts: Hosts) -> None:
    """D10: path and host are filled in, and a deploy begins with that host; a second one needs no form."""
    async with installed_tab(settings, hosts) as pilot:
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        await select(pilot, "Qwen/Qwen3-8B")
        await press(pilot, "a")
        await until(pilot, lambda: pilot.app.screen.query_one("#field-host", Field).value == "gpu1", "fetched there")
        await press(pilot, "escape", "C")
        assert "Copy: Copies start from this machine: Esc goes back to it." in toasts(pilot)
        await press(pilot, "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, InstalledForm), "the form")
        await press(pilot, "ctrl+s")
        for _ in range(2):
            await until(pilot, lambda: isinstance(pilot.app.screen, DeployDialog), "the deploy")
            await until(pilot, lambda: pilot.app.screen.query_one("#field-host", Field).value == "gpu1", "on the host")
            await press(pilot, "escape", "d")
        yard: Any = pilot.app.yard  # type: ignore[attr-defined]
        model = await yard.registry.get_model("Qwen3-8B")
        assert (model.host, model.path) == ("gpu1", str(hosts.folders["gpu1"] / "Qwen/Qwen3-8B"))


async def test_jobs_that_change_a_host_have_it_read_again(settings: Settings, hosts: Hosts) -> None:
    """D8: a copy that came to the host that is shown is seen without a key; one to another host asks nobody."""
    async with installed_tab(settings, hosts) as pilot:
        await until(pilot, lambda: len(rows(pilot)) == 3, "what is there")
        yard: Any = pilot.app.yard  # type: ignore[attr-defined]
        before = hosts.lines["gpu1"].asked
        await yard.registry.add_job(Job(user_id="ada", kind="copy", title="x", host="gpu2", state="done"))
        await until(pilot, lambda: "Downloads 1" in screen_text(pilot), "the job")
        assert hosts.lines["gpu1"].asked == before
        put(hosts.folders["gpu1"], "org/came", "hf:org/came", WEIGHTS)
        await yard.registry.add_job(Job(user_id="ada", kind="copy", title="y", host="gpu1", state="done"))
        await until(pilot, lambda: "org/came" in rows(pilot), "what came")


async def test_hosts_lead_to_their_models_and_usage_counts_them_all(settings: Settings, hosts: Hosts) -> None:
    """D8: m on a host shows what is installed there; U tells of this host and of each other one."""
    async with session(Yard(settings, fill=hosts.fill), size=(80, 24)) as pilot:
        await press(pilot, "3")
        await select(pilot, "gpu1")
        await press(pilot, "m")
        await until(pilot, lambda: "Installed 3 on gpu1" in screen_text(pilot), "what is there")
        await press(pilot, "U")
        await until(pilot, lambda: isinstance(pilot.app.screen, UsageDialog), "the usage")
        assert "in 2 models on gpu1" in screen_text(pilot)
        await press(pilot, "end")
        await until(pilot, lambda: bool(re.search(r"this machine \d+ B", words(pilot))), "this machine's")
        await press(pilot, "escape", "escape", "h")
        dialog: Any = pilot.app.screen
        assert isinstance(dialog, HostPicker)
        await press(pilot, "pagedown", "up")
        assert dialog._shown[dialog._at].key == "gpu1", "arrows walk while one may type"
        await until(pilot, lambda: "asking…" not in screen_text(pilot), "the hosts have told")
        assert "no models folder" not in screen_text(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, DownloadsScreen)


async def test_names_of_hosts_and_models_are_harmless(settings: Settings, hosts: Hosts, tmp_path: Path) -> None:
    """What a host's record says can't steer the terminal."""
    put(hosts.folders["gpu2"], "a[b]", "hf:\x1b]0;owned\x07\u202eorg/x", WEIGHTS)
    async with installed_tab(settings, hosts, "gpu2", size=(80, 24)) as pilot:
        await until(pilot, lambda: "Installed 1 on gpu2" in screen_text(pilot), "what is there")
        assert "a[b]" in screen_text(pilot)
        assert not {"\x1b", "\u202e"} & set(screen_text(pilot))
