"""The hosts screen, used by keys."""

from __future__ import annotations

from dataclasses import replace

from core.errors import LoginRefused
from tests.tui.fake import FINGERPRINTS, FakeHosts, Yard
from tests.tui.user import press, rows, screen_text, select, session, toasts, type_text, until
from tui.modals.fingerprint import FingerprintDialog
from tui.modals.host_form import HostForm


async def test_hosts_with_engine_gpus_disk_and_state(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: "? unreachable" in screen_text(pilot))
        text = screen_text(pilot)
        for part in ("● ready", "! limited", "4 x H200 25%", "1.2 TiB", "no engine"):
            assert part in text


async def test_card_shows_gpus_and_the_doctor(yard: Yard) -> None:
    async with session(yard, size=(120, 60)) as pilot:
        await press(pilot, "3")
        await select(pilot, "atlas")
        text = screen_text(pilot)
        assert "GPU 3  NVIDIA H200" in text
        assert "70.2 GiB of 140 GiB" in text
        await press(pilot, "h")
        await until(pilot, lambda: "Remove what is not used" in screen_text(pilot))
        assert "! warning" in screen_text(pilot)


async def test_unreachable_host_says_why_and_what_to_do(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "3")
        await select(pilot, "cygnus")
        text = " ".join(screen_text(pilot).split())
        assert "No answer from cygnus within 10 s." in text
        assert "ssh ops@cygnus.lab" in text.replace(" │ ", " ")


async def test_refresh_asks_again(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "3")
        await select(pilot, "atlas")
        overview = yard.script.overviews["atlas"]
        yard.script.overviews["atlas"] = replace(overview, engine="Docker 29.0.0")
        await press(pilot, "r")
        await until(pilot, lambda: "Docker 29.0.0" in screen_text(pilot))


async def test_first_contact_shows_the_fingerprint_and_no_adds_nothing(yard: Yard) -> None:
    yard.script.known_key = False
    async with session(yard) as pilot:
        await press(pilot, "3", "a")
        await type_text(pilot, "dione")
        await press(pilot, "ctrl+s")
        assert isinstance(pilot.app.screen, FingerprintDialog)
        assert FINGERPRINTS[0] in screen_text(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, HostForm)
        assert "the key was not accepted" in screen_text(pilot)
        await press(pilot, "escape")
        assert "dione" not in rows(pilot)


async def test_accepted_fingerprint_adds_the_host(yard: Yard) -> None:
    yard.script.known_key = False
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "3", "a")
        await type_text(pilot, "dione")
        await press(pilot, "tab")
        await type_text(pilot, "ops@dione.lab")
        await press(pilot, "ctrl+s", "y")
        await until(pilot, lambda: "dione" in rows(pilot))
        calls = [call for call in yard.script.asked if call[0] == "add host"]
        assert calls[-1] == ("add host", "dione", "ops@dione.lab", FINGERPRINTS[0])


async def test_what_is_wrong_stands_beside_the_field(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "3", "a", "ctrl+s")
        assert "✗ Required." in screen_text(pilot)
        await type_text(pilot, "two words")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "✗ Must not contain spaces." in screen_text(pilot))


async def test_refused_login_is_explained_in_the_form(yard: Yard, monkeypatch: object) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise LoginRefused("dione refuses ops", cause="No key is accepted.", remedy="Add your key there: ssh-copy-id")

    monkeypatch.setattr(FakeHosts, "add", refuses)  # type: ignore[attr-defined]
    async with session(yard) as pilot:
        await press(pilot, "3", "a")
        await type_text(pilot, "dione")
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: "Add your key there: ssh-copy-id" in screen_text(pilot))
        assert "No key is accepted." in screen_text(pilot)


async def test_remove_asks_and_this_machine_stays(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "3")
        await select(pilot, "local")
        await press(pilot, "x")
        assert any("always there" in toast for toast in toasts(pilot))
        assert yard.registry is not None
        for server in await yard.registry.servers():
            await yard.registry.remove_server(server.id)
        await select(pilot, "cygnus")
        await press(pilot, "x")
        assert "Nothing on the host is stopped or deleted." in screen_text(pilot)
        await press(pilot, "y")
        await until(pilot, lambda: "cygnus" not in rows(pilot))
