"""The keyring (P8): one that works is used, one that hangs, asks or talks harms nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import KeyringTrouble
from core.keys.store import KeyStore
from core.keys.values import KeySource
from tests.unit import keyrings
from tests.unit.key_place import KeyPlace

PLANTED = "sk-planted-77aa12bc"


def _use(monkeypatch: pytest.MonkeyPatch, backend: type[Any], folder: Path) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{keyrings.__name__}.{backend.__name__}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv(keyrings.VARIABLE, str(folder / "keyring.json"))


async def test_a_keyring_that_works_is_used_through_the_library(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _use(monkeypatch, keyrings.FileKeyring, tmp_path)
    keys, other = place.store(), place.store()
    await asyncio.gather(keys.set("one", PLANTED), other.set("two", "second"))
    assert (await keys.backend()).kind == "keyring"
    assert [(info.name, info.source) for info in await keys.names()] == [
        ("one", KeySource.KEYRING),
        ("two", KeySource.KEYRING),
    ]
    assert await other.get("one") == PLANTED
    await keys.remove("one")
    assert await other.get("one") is None
    assert not (place.settings.data_dir / "vault").exists()
    await keys.close()
    await other.close()


async def test_a_keyring_that_hangs_is_given_up_and_its_process_is_gone(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _use(monkeypatch, keyrings.HangingKeyring, tmp_path)
    keys = place.store(probe_s=0.8)
    began = time.monotonic()
    backend = await keys.backend()
    assert time.monotonic() - began < 10
    assert backend.kind == "vault"
    assert "did not answer" in backend.detail
    assert (await keys.backend()) == backend  # not probed again
    with pytest.raises(KeyringTrouble, match="keyring"):
        await place.store(keys="keyring", probe_s=0.8).get("one")
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "ring_child"], capture_output=True, check=False)
    assert children.stdout == b""


async def test_a_keyring_that_asks_on_the_terminal_can_not(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _use(monkeypatch, keyrings.AskingKeyring, tmp_path)
    assert (await place.store(probe_s=1).backend()).kind == "vault"


async def test_a_keyring_that_repeats_the_key_is_not_repeated(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, keyrings.TalkativeKeyring, tmp_path)
    keys = place.store()
    with pytest.raises(KeyringTrouble) as caught:
        await keys.set("one", PLANTED)
    await keys.close()
    assert caught.value.cause == "it failed: PasswordSetError"
    assert PLANTED not in "".join(capfd.readouterr())


@pytest.mark.parametrize("backend", ["keyring.backends.fail.Keyring", "keyrings.alt.file.PlaintextKeyring"])
async def test_what_keeps_nothing_safe_is_never_used(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    assert (await keys.backend()).kind == "vault"


async def test_without_a_session_bus_nothing_is_started(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")

    async def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", never)
    assert "no D-Bus session bus" in (await keys.backend()).detail


REAL = """
import asyncio, sys
from pathlib import Path
from core.keys.ring import Ring

async def main():
    ring = Ring(Path(sys.argv[1]), probe_s=30, answer_s=30)
    print(repr(await ring.why_not()))
    await ring.set("one", "first"); await ring.set("two", "second"); await ring.remove("one")
    print(await ring.get("one"), await ring.get("two"), await ring.names())
    import secretstorage
    from secretstorage.collection import get_collection_by_alias
    get_collection_by_alias(secretstorage.dbus_init(), "default").lock()
    print(await Ring(Path(sys.argv[1]), probe_s=30).why_not())
    await ring.close()

asyncio.run(main())
"""


@pytest.mark.skipif(not shutil.which("gnome-keyring-daemon"), reason="needs gnome-keyring and dbus")
def test_a_real_secret_service_is_used_and_never_prompts(tmp_path: Path) -> None:
    start = "printf pw | gnome-keyring-daemon --foreground --unlock --components=secrets >&2 & "
    wait = "for i in $(seq 100); do dbus-send --session --dest=org.freedesktop.secrets / x.y 2>&1; sleep 0.05; "
    wait += "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner "
    wait += "string:org.freedesktop.secrets | grep -q true && break; done; "
    script = f'{start}{wait}"$0" -c "$1" "$2"; code=$?; kill %1; exit $code'
    env = {name: value for name, value in os.environ.items() if name != "PYTHON_KEYRING_BACKEND"}
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", script, sys.executable, REAL, str(tmp_path / "lock")],
        capture_output=True,
        text=True,
        env={**env, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[-3:-1] == ["''", "None second ['two']"], done.stderr
    assert "is locked" in lines[-1]
