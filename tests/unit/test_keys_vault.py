"""The vault's file (P8): what goes in comes out, nothing is readable in it, nothing overwrites a damaged one."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput, KeysLocked, Refused, VaultDamaged, WrongPassphrase
from core.keys import kernel
from core.keys.vault import Unlocked, Vault

CHEAP = 2**4
PASSPHRASE = "correct horse"

SET_MANY = """
import sys
from pathlib import Path
from core.keys.vault import Vault

vault = Vault(Path(sys.argv[1]), cost=16)
unlocked = vault.unlock(sys.argv[3])
for number in range(40):
    vault.change(unlocked, lambda entries: entries.update({f"{sys.argv[2]}-{number}": "x"}))
"""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "private" / "vault", cost=CHEAP)


def _filled(vault: Vault) -> Unlocked:
    unlocked = vault.create(PASSPHRASE)
    vault.change(unlocked, lambda entries: entries.update(openai="sk-planted-1234"))
    return unlocked


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), st.text(), max_size=5), st.text(min_size=8, max_size=20))
def test_any_names_values_and_passphrases_round_trip(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str], passphrase: str
) -> None:
    vault = Vault(tmp_path_factory.mktemp("v") / "p" / "vault", cost=CHEAP)
    vault.change(vault.create(passphrase), lambda kept: kept.update(entries))
    assert vault.entries(vault.unlock(passphrase)) == entries


def test_the_file_and_its_folder_are_the_users_alone_and_tell_nothing(vault: Vault) -> None:
    _filled(vault)
    assert (vault.path.stat().st_mode & 0o777, vault.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    content = vault.path.read_text()
    assert "sk-planted" not in content
    assert "openai" not in content
    document = json.loads(content)
    assert len(b64decode(document["data"])) == 1024 + 16  # padded: the size tells no length of a key
    assert document["kdf"]["name"] == "scrypt"


def test_the_cost_of_a_guess_is_that_of_the_recommendations(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "p" / "vault")
    vault.create(PASSPHRASE)
    kdf = json.loads(vault.path.read_text())["kdf"]
    assert (kdf["n"], kdf["r"], kdf["p"]) == (2**17, 8, 1)


def test_two_equal_vaults_are_different_files(vault: Vault, tmp_path: Path) -> None:
    other = Vault(tmp_path / "other" / "vault", cost=CHEAP)
    _filled(vault)
    _filled(other)
    first, second = (json.loads(one.path.read_text()) for one in (vault, other))
    assert first["kdf"]["salt"] != second["kdf"]["salt"]
    assert first["data"] != second["data"]


def test_a_wrong_passphrase_is_told_from_damage(vault: Vault) -> None:
    _filled(vault)
    before = vault.path.read_bytes()
    with pytest.raises(WrongPassphrase):
        vault.unlock("wrong horse")
    assert vault.path.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "list", "no data", "deep"])
def test_a_damaged_file_is_said_so_and_never_overwritten(vault: Vault, damage: str) -> None:
    unlocked = _filled(vault)
    whole = vault.path.read_bytes()
    at = whole.index(b'"data": "') + 20
    document = json.loads(whole)
    del document["data"]
    damaged = {
        "cut": whole[:-40],
        "flip": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "empty": b"",
        "text": b"\xff\xfe not a vault",
        "list": b"[1, 2]",
        "no data": json.dumps(document).encode(),
        "deep": b"[" * 100_000,
    }[damage]
    vault.path.write_bytes(damaged)
    for work in (
        lambda: vault.unlock(PASSPHRASE),
        lambda: vault.change(unlocked, lambda entries: entries.clear()),
        lambda: vault.change_passphrase(unlocked, "another one"),
    ):
        with pytest.raises(VaultDamaged, match="left as it is"):
            work()
    with pytest.raises(Refused, match="There is a vault"):
        vault.create(PASSPHRASE)
    assert vault.path.read_bytes() == damaged


def _rewrite(vault: Vault, **changes: object) -> None:
    from core.keys.vault import _checksum

    document = json.loads(vault.path.read_text())
    document.update(changes)
    del document["sha256"]
    vault.path.write_text(json.dumps({**document, "sha256": _checksum(document)}))


def test_a_forged_header_is_refused_before_any_work(vault: Vault) -> None:
    _filled(vault)
    kdf = json.loads(vault.path.read_text())["kdf"]
    for forged in ({**kdf, "n": 2**30}, {**kdf, "n": 3}, {**kdf, "salt": ""}, {**kdf, "name": "none"}):
        _rewrite(vault, kdf=forged)
        with pytest.raises(VaultDamaged):
            vault.unlock(PASSPHRASE)


def test_a_changed_header_does_not_open(vault: Vault) -> None:
    _filled(vault)
    kdf = json.loads(vault.path.read_text())["kdf"]
    _rewrite(vault, kdf={**kdf, "n": 2 * CHEAP})
    with pytest.raises(WrongPassphrase):
        vault.unlock(PASSPHRASE)


def test_a_newer_vault_is_not_touched(vault: Vault) -> None:
    _filled(vault)
    _rewrite(vault, version=2)
    with pytest.raises(Refused, match="newer"):
        vault.unlock(PASSPHRASE)


def test_a_new_passphrase_closes_it_for_the_old_one_and_for_open_sessions(vault: Vault) -> None:
    unlocked = _filled(vault)
    renewed = vault.change_passphrase(unlocked, "another one")
    assert vault.entries(renewed) == vault.entries(vault.unlock("another one")) == {"openai": "sk-planted-1234"}
    with pytest.raises(WrongPassphrase):
        vault.unlock(PASSPHRASE)
    with pytest.raises(KeysLocked, match="changed"):
        vault.change(unlocked, lambda entries: entries.clear())


def test_short_passphrases_are_refused(vault: Vault) -> None:
    with pytest.raises(InvalidInput, match="8 characters"):
        vault.create("1234567")
    assert not vault.exists()


@pytest.mark.parametrize(("mode", "what"), [(0o644, "vault"), (0o755, "folder")])
def test_a_wrong_mode_is_refused_with_what_mends_it(vault: Vault, mode: int, what: str) -> None:
    unlocked = _filled(vault)
    wrong = vault.path if what == "vault" else vault.path.parent
    wrong.chmod(mode)
    with pytest.raises(Refused, match="other users") as caught:
        vault.change(unlocked, lambda entries: entries.clear())
    subprocess.run(caught.value.remedy, shell=True, check=True)
    assert vault.entries(unlocked) == {"openai": "sk-planted-1234"}


def test_two_programs_at_once_lose_nothing(vault: Vault) -> None:
    unlocked = _filled(vault)
    words = (sys.executable, "-c", SET_MANY, str(vault.path))
    programs = [subprocess.Popen([*words, name, PASSPHRASE]) for name in ("one", "two")]
    assert [program.wait(60) for program in programs] == [0, 0]
    assert len(vault.entries(unlocked)) == 81


def test_what_a_killed_writer_left_is_no_hindrance(vault: Vault) -> None:
    unlocked = _filled(vault)
    vault.path.with_name("vault.new").write_text("half")
    vault.change(unlocked, lambda entries: entries.update(other="x"))
    assert vault.entries(unlocked) == {"openai": "sk-planted-1234", "other": "x"}


def test_the_key_is_in_no_repr(vault: Vault) -> None:
    unlocked = _filled(vault)
    assert repr(unlocked.key)[2:-1] not in repr(unlocked)


def test_the_kernel_keeps_the_key_for_other_programs_until_told_to_forget(vault: Vault) -> None:
    unlocked = _filled(vault)
    if not kernel.keep(vault.path, unlocked, hours=1):
        assert kernel.kept(vault.path) is None
        pytest.skip("this kernel or container keeps no keys")
    show = (
        "import sys; from core.keys import kernel; from pathlib import Path; print(kernel.kept(Path(sys.argv[1])).salt)"
    )
    other = subprocess.run([sys.executable, "-c", show, str(vault.path)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == repr(unlocked.salt)
    assert kernel.kept(vault.path) == unlocked
    assert kernel.forget(vault.path)
    assert kernel.kept(vault.path) is None
