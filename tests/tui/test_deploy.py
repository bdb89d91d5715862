"""The deploy dialog, used by keys: refused, warned, fine, failed, left and stopped."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot
from textual.widgets import Button

from core.errors import StartFailed
from core.findings import Severity
from core.registry.values import DeployOptions, EngineName, ServerStatus
from tests.tui.fake import Yard, finding
from tests.tui.user import press, screen_text, select, session, settle, toasts, type_text, until
from tui.modals.deploy import DeployDialog
from tui.widgets.fields import Field
from tui.widgets.plain import Flow

_MODEL = "deepseek-r1-distill-14b"


async def open_dialog(pilot: Pilot[None]) -> DeployDialog:
    """On a model that can be deployed."""
    await select(pilot, _MODEL)
    await press(pilot, "d")
    dialog = pilot.app.screen
    assert isinstance(dialog, DeployDialog)
    return dialog


def asked(yard: Yard, what: str) -> list[Any]:
    """What the core was asked."""
    return [call for call in yard.script.asked if call[0] == what]


async def fill(pilot: Pilot[None], name: str, text: str) -> None:
    pilot.app.screen.query_one(f"#field-{name}", Field).control.focus()
    await press(pilot, "end", "ctrl+u")
    await type_text(pilot, text)


async def test_defaults_are_those_of_the_requirements(yard: Yard) -> None:
    async with session(yard) as pilot:
        await open_dialog(pilot)
        await press(pilot, "ctrl+s")
        _, name, host, options = asked(yard, "plan")[0]
        assert (name, host) == (_MODEL, "atlas")
        assert options == DeployOptions(max_model_len=8192)


async def test_options_off_are_said_beside_the_field_and_nothing_is_asked(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        dialog = await open_dialog(pilot)
        await fill(pilot, "gpu_memory_utilization", "1.5")
        await fill(pilot, "port", "99999")
        await press(pilot, "ctrl+s")
        assert "up to 1" in dialog.query_one("#field-gpu_memory_utilization", Field).problem
        assert "65535" in dialog.query_one("#field-port", Field).problem
        assert asked(yard, "plan") == []


async def test_only_the_options_of_the_chosen_engine_show(yard: Yard) -> None:
    async with session(yard) as pilot:
        dialog = await open_dialog(pilot)
        dialog.query_one("#field-engine", Field).control.focus()
        await press(pilot, "enter", "down", "down", "enter")
        text = screen_text(pilot)
        assert "Parallel slots" in text
        assert "Tensor parallel" not in text
        await fill(pilot, "parallel", "4")
        await press(pilot, "ctrl+s")
        options = asked(yard, "plan")[0][3]
        assert (options.engine, options.parallel) == (EngineName.LLAMACPP, 4)


async def test_errors_refuse_and_say_why(yard: Yard) -> None:
    yard.script.findings = [finding(Severity.ERROR, "The path does not exist on atlas.", "Correct the model's path.")]
    async with session(yard, size=(80, 24)) as pilot:
        dialog = await open_dialog(pilot)
        await press(pilot, "ctrl+s")
        text = screen_text(pilot)
        assert "✗ error" in text
        assert "→ Correct the model's path." in text
        assert "Refused: 1 error" in text
        assert dialog.query_one("#button-next", Button).disabled
        await press(pilot, "ctrl+s")
        assert asked(yard, "deploy") == []


async def test_the_dry_run_shows_memory_gpus_and_the_command(yard: Yard) -> None:
    async with session(yard, size=(120, 40)) as pilot:
        await open_dialog(pilot)
        await press(pilot, "ctrl+s")
        text = pilot.app.screen.query_one("#plan-text", Flow).text
        for part in ("21.7 GiB", "✓ fits", "✗ too full", "--gpu-memory-utilization 0.8", "! warning", "Mounts"):
            assert part in text


async def test_warnings_are_confirmed_first(yard: Yard) -> None:
    async with session(yard) as pilot:
        dialog = await open_dialog(pilot)
        await press(pilot, "ctrl+s", "ctrl+s")
        assert "despite 1 warning?" in screen_text(pilot)
        await press(pilot, "enter")
        assert asked(yard, "deploy") == []
        assert dialog.step == "plan"
        await press(pilot, "ctrl+s", "y")
        assert asked(yard, "deploy") == [("deploy", _MODEL, "atlas", True)]


async def test_progress_shows_phases_and_lines_and_ends_running(yard: Yard) -> None:
    yard.script.findings = []
    async with session(yard) as pilot:
        await open_dialog(pilot)
        await press(pilot, "ctrl+s", "ctrl+s")
        await until(pilot, lambda: "Application startup complete" in screen_text(pilot))
        text = screen_text(pilot)
        assert "◔ starting" in text
        assert "◐ loading" in text
        yard.script.go_on.set()
        await until(pilot, lambda: "Answers at http://127.0.0.1:8000/v1/chat/completions" in screen_text(pilot))
        await until(pilot, lambda: any(f"{_MODEL} on atlas is running" in toast for toast in toasts(pilot)))
        await press(pilot, "enter")
        assert len(pilot.app.screen_stack) == 1
        assert "Running vLLM on port 8000" in screen_text(pilot)


async def test_a_failed_start_says_cause_and_remedy_and_leads_back(yard: Yard) -> None:
    yard.script.findings = []
    yard.script.fail_start = StartFailed(
        "The server did not come up", cause="CUDA out of memory.", remedy="Lower the GPU memory share."
    )
    yard.script.go_on.set()
    async with session(yard) as pilot:
        dialog = await open_dialog(pilot)
        await press(pilot, "ctrl+s", "ctrl+s")
        await until(pilot, lambda: "CUDA out of memory." in screen_text(pilot))
        assert "Lower the GPU memory share." in screen_text(pilot)
        await until(pilot, lambda: bool(dialog.query("#button-back")))
        await settle(pilot)
        await pilot.click("#button-back")
        await until(pilot, lambda: dialog.step == "options")


async def test_leaving_asks_and_lets_the_server_load(yard: Yard) -> None:
    yard.script.findings = []
    async with session(yard) as pilot:
        await open_dialog(pilot)
        await press(pilot, "ctrl+s", "ctrl+s")
        await until(pilot, lambda: "Application startup complete" in screen_text(pilot))
        await press(pilot, "escape")
        assert "Leave it loading" in screen_text(pilot)
        await press(pilot, "down", "enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert yard.registry is not None
        assert (await yard.registry.get_server(_MODEL)).status == ServerStatus.LOADING
        assert asked(yard, "stop") == []


async def test_leaving_can_stop_the_server(yard: Yard) -> None:
    yard.script.findings = []
    async with session(yard) as pilot:
        await open_dialog(pilot)
        await press(pilot, "ctrl+s", "ctrl+s")
        await until(pilot, lambda: "Application startup complete" in screen_text(pilot))
        await press(pilot, "escape", "down", "down", "enter")
        await until(pilot, lambda: "○ stopped" in screen_text(pilot))
        assert yard.registry is not None
        assert (await yard.registry.get_server(_MODEL)).status == ServerStatus.STOPPED


async def test_gpus_are_marked_in_a_list_of_the_hosts(yard: Yard) -> None:
    """P11: index, name and free memory are shown, UUIDs go into the options; another host begins anew."""
    async with session(yard, size=(80, 24)) as pilot:
        dialog = await open_dialog(pilot)
        field = dialog.query_one("#field-gpus", Field)
        field.control.focus()
        await press(pilot, "enter")
        text = screen_text(pilot)
        assert "[ ] 0 H200" in text
        assert "free of" in text
        await press(pilot, "space", "down", "down", "space", "enter")
        assert field.value == "GPU-0f1c6b1e,GPU-2f1c6b1e"
        await until(pilot, lambda: "0 H200, 2 H200" in screen_text(pilot))
        await press(pilot, "ctrl+s")
        assert asked(yard, "plan")[0][3].gpus == ("GPU-0f1c6b1e", "GPU-2f1c6b1e")
        await press(pilot, "escape")


async def test_gpus_of_a_host_without_any_or_out_of_reach_are_explained(yard: Yard) -> None:
    """P11: the field stays empty, and it is said why."""
    async with session(yard) as pilot:
        dialog = await open_dialog(pilot)
        host: Any = dialog.query_one("#field-host", Field).control
        field = dialog.query_one("#field-gpus", Field)
        field.put("GPU-0f1c6b1e")
        host.value = "cygnus"
        await settle(pilot)
        assert field.value == ""
        field.control.focus()
        await press(pilot, "enter")
        await until(pilot, lambda: "No GPU of cygnus can be chosen." in screen_text(pilot))
        assert "No answer from cygnus within 10 s." in screen_text(pilot)
