"""API keys by the keyboard (P8): list, set, test, remove; the vault is made and unlocked in dialogs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.app import Modelyard
from core.keys import vault as vault_module
from core.registry.store import Registry
from tests.tui.fake import Yard, settings_in
from tests.tui.user import press, screen_text, session, settle, toasts, type_text, until
from tui.modals.key_form import KeyForm
from tui.modals.keys import KeysDialog, pick_key
from tui.modals.passphrase import PassphraseDialog, ensure_unlocked

PLANTED = "sk-9f3c2b7a"
PASSPHRASE = "horse-12"  # typing takes time


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module.Vault.__init__, "__kwdefaults__", {"cost": 16})


async def _fill(registry: Registry) -> None:
    base = {"provider": "openai", "model_id": "gpt"}
    await registry.add_model({**base, "name": "mine", "api_key_ref": "team"})
    await registry.add_model({**base, "name": "theirs"})


@pytest.fixture
def keyed_yard(tmp_path: Path) -> Yard:
    return Yard(settings=settings_in(tmp_path), fill=_fill)


def _app(pilot: Pilot[None]) -> Any:
    return pilot.app


def _yard(pilot: Pilot[None]) -> Modelyard:
    return _app(pilot).yard  # type: ignore[no-any-return]


async def _on(pilot: Pilot[None], dialog: type[Any]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, dialog), dialog.__name__)
    await settle(pilot)


async def _says(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: text in screen_text(pilot), text)


async def _set_by_keys(pilot: Pilot[None], *, first: bool = False) -> None:
    """From the list: press a, fill the form; the first time, a vault is made."""
    await press(pilot, "a")
    await _on(pilot, KeyForm)
    await type_text(pilot, "team")
    await press(pilot, "tab")
    await type_text(pilot, PLANTED)
    assert PLANTED not in screen_text(pilot)
    await press(pilot, "enter")
    if first:
        await _on(pilot, PassphraseDialog)
        await type_text(pilot, PASSPHRASE)
        await press(pilot, "enter")
        await type_text(pilot, PASSPHRASE)
        assert PASSPHRASE not in screen_text(pilot)
        await press(pilot, "enter")
    await _on(pilot, KeysDialog)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_keys_are_listed_set_and_removed_by_keys(keyed_yard: Yard, size: tuple[int, int]) -> None:
    """P8: only names, where each comes from and what uses it are on the screen."""
    async with session(keyed_yard, size=size) as pilot:
        await press(pilot, "K")
        await _on(pilot, KeysDialog)
        await _says(pilot, "team")
        shown = screen_text(pilot)
        assert "Kept in an encrypted vault." in shown
        assert "✗ not set" in shown
        assert "mine" in shown

        await _set_by_keys(pilot, first=True)
        await _says(pilot, "✓ team is set.")
        assert await _yard(pilot).keys.get("team") == PLANTED
        assert PLANTED not in screen_text(pilot)

        await press(pilot, "x")
        await _says(pilot, "Used by mine.")
        await press(pilot, "y")
        await _says(pilot, "Removed team.")
        assert await _yard(pilot).keys.get("team") is None


async def test_a_locked_vault_is_unlocked_in_a_dialog(keyed_yard: Yard) -> None:
    """P8: a wrong passphrase is told beside its field, the right one opens it once for the session."""
    async with session(keyed_yard) as pilot:
        await _yard(pilot).keys.unlock(PASSPHRASE)
        await _yard(pilot).keys.set("team", PLANTED)
        await _yard(pilot).keys.lock()
        await press(pilot, "K")
        await _says(pilot, "? vault is locked")
        assert "It is locked: press u." in screen_text(pilot)
        await press(pilot, "u")
        await _on(pilot, PassphraseDialog)
        await type_text(pilot, "wrongone")
        await press(pilot, "enter")
        await _says(pilot, "✗ This is not the vault's")
        await type_text(pilot, PASSPHRASE)
        await press(pilot, "enter")
        await _on(pilot, KeysDialog)
        await until(pilot, lambda: "is locked" not in screen_text(pilot), "it is open")
        assert await _yard(pilot).keys.get("team") == PLANTED
        await press(pilot, "u")
        assert "Unlock: Nothing is locked." in toasts(pilot)


async def test_the_passphrase_is_changed_by_keys(keyed_yard: Yard) -> None:
    """P8: twice the same, then the old one opens nothing."""
    async with session(keyed_yard) as pilot:
        await _yard(pilot).keys.unlock(PASSPHRASE)
        await press(pilot, "K", "p")
        await _on(pilot, PassphraseDialog)
        await type_text(pilot, "12345678")
        await press(pilot, "enter")
        await type_text(pilot, "12345679")
        await press(pilot, "enter")
        await _says(pilot, "Not the same as above.")
        await press(pilot, "shift+tab")
        await press(pilot, "ctrl+u")
        await type_text(pilot, "12345679")
        await press(pilot, "ctrl+s")
        await _says(pilot, "✓ The vault has a new passphrase.")
        await _yard(pilot).keys.lock()
        await _yard(pilot).keys.unlock("12345679")


async def test_wrong_values_are_told_beside_their_fields(keyed_yard: Yard) -> None:
    """P8: nothing is asked of the vault before the fields are right."""
    async with session(keyed_yard) as pilot:
        await press(pilot, "K", "a")
        await _on(pilot, KeyForm)
        await type_text(pilot, "a name")
        await press(pilot, "ctrl+s")
        await _says(pilot, "✗ A name of up to")
        assert "✗ Empty." in screen_text(pilot)
        assert isinstance(pilot.app.screen, KeyForm)


async def test_a_key_of_the_environment_is_named_by_its_variable(
    keyed_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8, P7: the provider's usual variable is its global key; it can't be removed here."""
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    async with session(keyed_yard) as pilot:
        await press(pilot, "K")
        await _says(pilot, "OPENAI_API_KEY")
        shown = screen_text(pilot)
        assert "theirs" in next(line for line in shown.splitlines() if "OPENAI_API_KEY" in line)
        assert PLANTED not in shown
        await press(pilot, "x")
        assert "Remove: It is not kept by Modelyard." in toasts(pilot)


async def test_other_screens_unlock_only_where_a_model_needs_it(
    keyed_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8: no question where the key comes from elsewhere."""
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    async with session(keyed_yard) as pilot:
        keys, registry = _yard(pilot).keys, _yard(pilot).registry
        await keys.unlock(PASSPHRASE)
        await keys.lock()
        said: dict[str, bool] = {}

        async def ask(name: str) -> None:
            said[name] = await ensure_unlocked(pilot.app, await registry.get_model(name))

        _app(pilot).guard(ask("theirs"))
        await until(pilot, lambda: said == {"theirs": True})
        _app(pilot).guard(ask("mine"))
        await _on(pilot, PassphraseDialog)
        await press(pilot, "escape")
        await until(pilot, lambda: said == {"theirs": True, "mine": False})


async def test_work_that_finds_the_vault_locked_asks_and_goes_on(keyed_yard: Yard) -> None:
    """P8: a chat or a test of a connection needs a key: the passphrase is asked for, and the work goes on."""
    async with session(keyed_yard) as pilot:
        keys = _yard(pilot).keys
        await keys.unlock(PASSPHRASE)
        await keys.set("team", PLANTED)
        await keys.lock()
        got: list[str | None] = []

        async def work() -> None:
            got.append(await keys.get("team"))

        _app(pilot).guard(work())
        await _on(pilot, PassphraseDialog)
        await type_text(pilot, PASSPHRASE)
        await press(pilot, "enter")
        await until(pilot, lambda: got == [PLANTED])
        await keys.lock()
        _app(pilot).guard(work())
        await _on(pilot, PassphraseDialog)
        await press(pilot, "escape")
        await _says(pilot, "The vault with the keys is locked.")
        assert got == [PLANTED]


async def test_a_form_picks_a_key_or_makes_one(keyed_yard: Yard) -> None:
    """P8: records refer to a key by its name."""
    async with session(keyed_yard) as pilot:
        await _yard(pilot).keys.unlock(PASSPHRASE)
        picked: asyncio.Queue[str | None] = asyncio.Queue()

        async def pick() -> None:
            picked.put_nowait(await pick_key(pilot.app))

        _app(pilot).guard(pick())
        await _says(pilot, "A new key…")
        await press(pilot, "A", "enter")
        await _on(pilot, KeyForm)
        await type_text(pilot, "fresh")
        await press(pilot, "tab")
        await type_text(pilot, PLANTED)
        await press(pilot, "enter")
        await until(pilot, lambda: not picked.empty())
        assert picked.get_nowait() == "fresh"
        assert await _yard(pilot).keys.get("fresh") == PLANTED


async def test_testing_a_key_says_what_is_known(keyed_yard: Yard) -> None:
    """P8: a key that nothing holds is told so, with the command that sets it."""
    async with session(keyed_yard) as pilot:
        await press(pilot, "K")
        await _says(pilot, "team")
        await press(pilot, "end", "j", "t")
        await _says(pilot, "Nothing holds it: modelyard keys set")
