"""The servers screen, used by keys."""

from __future__ import annotations

from core.registry.values import ServerStatus
from tests.tui.fake import Yard
from tests.tui.user import press, screen_text, session, toasts, until
from tui.screens.servers import ServersScreen


async def servers(pilot: object) -> ServersScreen:
    """Go there."""
    await press(pilot, "2")  # type: ignore[arg-type]
    screen = pilot.app.screen  # type: ignore[attr-defined]
    assert isinstance(screen, ServersScreen)
    return screen


async def go_to(pilot: object, screen: ServersScreen, name: str) -> None:
    """To the line of this model."""
    names = [server.model_name for server in screen.servers.snapshot]
    await press(pilot, "home", *["down"] * names.index(name))  # type: ignore[arg-type]


async def test_all_servers_with_their_states_in_words(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await servers(pilot)
        text = screen_text(pilot)
        for part in ("● running", "◐ loading", "✗ failed", "○ stopped", "? unreachable", "1d 2h", "12m", "70.2 GiB"):
            assert part in text


async def test_a_lost_host_is_unreachable_and_not_stopped(yard: Yard) -> None:
    async with session(yard) as pilot:
        screen = await servers(pilot)
        await go_to(pilot, screen, "qwen3-32b")
        await yard.lose_host("atlas", "No route to atlas.")
        await until(pilot, lambda: "Unreachable; last seen: running vLLM" in screen_text(pilot))
        assert "No route to atlas." in screen_text(pilot)
        assert any("No route to atlas." in toast for toast in toasts(pilot))


async def test_a_change_is_shown_live_and_the_selection_stays(yard: Yard) -> None:
    async with session(yard) as pilot:
        screen = await servers(pilot)
        await go_to(pilot, screen, "qwen3-32b")
        other = next(server for server in screen.servers.snapshot if server.model_name == "qwen2.5-vl-7b")
        await yard.change_server(other.id, ServerStatus.FAILED, cause="CUDA out of memory", remedy="Use a larger GPU.")
        await until(pilot, lambda: screen_text(pilot).count("✗ failed") == 2)
        chosen = screen.servers.selected
        assert chosen is not None
        assert chosen.model_name == "qwen3-32b"
        assert any("→ Use a larger GPU." in toast for toast in toasts(pilot))


async def test_stop_asks_then_stops(yard: Yard) -> None:
    async with session(yard) as pilot:
        screen = await servers(pilot)
        await go_to(pilot, screen, "qwen3-32b")
        await press(pilot, "s", "escape")
        assert not [call for call in yard.script.asked if call[0] == "stop"]
        await press(pilot, "s", "y")
        await until(pilot, lambda: "Stopped vLLM" in screen_text(pilot))


async def test_restart_runs_again(yard: Yard) -> None:
    async with session(yard) as pilot:
        screen = await servers(pilot)
        await go_to(pilot, screen, "mistral-small-24b")
        await press(pilot, "r", "y")
        await until(pilot, lambda: any("mistral-small-24b on borealis is running" in toast for toast in toasts(pilot)))


async def test_only_stopped_or_failed_servers_are_removed(yard: Yard) -> None:
    async with session(yard) as pilot:
        screen = await servers(pilot)
        await go_to(pilot, screen, "qwen3-32b")
        await press(pilot, "x")
        assert any("stop it first" in toast for toast in toasts(pilot))
        await go_to(pilot, screen, "mistral-small-24b")
        await press(pilot, "x")
        assert "Model files on the host stay." in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: all(s.model_name != "mistral-small-24b" for s in screen.servers.snapshot))


async def test_nothing_deployed_says_where_to_begin(empty_yard: Yard) -> None:
    async with session(empty_yard) as pilot:
        await servers(pilot)
        await until(pilot, lambda: "Nothing is deployed." in screen_text(pilot))
