"""`modelyard keys …` (P8): set in every way, used, and found nowhere that others or logs could see."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from core.cli import hidden
from core.cli.main import main
from core.keys import kernel
from core.keys.ring import Ring
from core.settings import Settings
from tests.cli.endpoint import MODEL, endpoint
from tests.cli.program import Ended, Terminal, done, modelyard
from tests.unit import keyrings

PASSPHRASE = "correct horse"
PLANTED = "zq-planted-5d41402abc4b"  # in no well-known form of a key
WRONG = "zq-refused-7c9e6679f743"


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    path.chmod(0o600)
    return path


@contextmanager
def _watched_arguments(seen: set[str]) -> Iterator[None]:
    """Collect the arguments of every process that starts, about fifty times a second in its first second."""
    end, since = Event(), dict[str, float]()

    def watch() -> None:
        while not end.wait(0.02):
            now = time.monotonic()
            for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - this one is quick
                if now - since.setdefault(pid, now) < 1:
                    with suppress(OSError):
                        seen.add(Path("/proc", pid, "cmdline").read_bytes().decode("utf-8", "replace"))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _holding(secret: str, folder: Path, *, but: Path | None = None) -> list[Path]:
    """The files below a folder that hold the secret: registry, journals, logs, drafts, reports, exports."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != but]
    assert any(path.name == "registry.db" for path in files)
    return [path for path in files if secret.encode() in path.read_bytes()]


def _plant(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> Path | None:
    """Set the key `planted` in this way, or prepare the keyring for it; the file that may hold it."""
    if way == "environment":
        monkeypatch.setenv("planted", value)
        return None
    if way == "file":
        path = tmp_path / "planted.key"
        path.write_text(f"{value}\n")
        path.chmod(0o600)
        monkeypatch.setenv("planted_FILE", str(path))
        return path
    if way == "keyring":
        patient = {"probe_s": 30.0, "answer_s": 30.0}  # other tests hold the processor, too
        monkeypatch.setattr(Ring.__init__, "__kwdefaults__", patient)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{keyrings.__name__}.FileKeyring")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        monkeypatch.setenv(keyrings.VARIABLE, str(tmp_path / "keyring.json"))
        return tmp_path / "keyring.json"
    return None


Run = Callable[..., Ended]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The same command line without a process of its own, which costs a second each."""

    def run(*words: str, stdin: str = "") -> Ended:
        path = tmp_path / "stdin"
        path.write_text(stdin)
        capfd.readouterr()
        with path.open() as file, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", file)
            code = main(words)
        out, err = capfd.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


def _clean(ended: Ended, secret: str) -> Ended:
    assert secret not in ended.out + ended.err
    return ended


@pytest.mark.parametrize("way", ["environment", "file", "keyring", "vault"])
def test_a_planted_key_is_used_and_found_nowhere(
    way: str,
    inside: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    short_folder: Path,
    passphrase_file: Path,
) -> None:
    """P8: set in each way, used for a test and a chat, then searched for in everything that the program left."""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE_FILE", str(passphrase_file))
    run = partial(modelyard, fresh=True) if way == "vault" else inside  # real programs once, for their arguments
    arguments: set[str] = set()
    with endpoint(PLANTED) as served, _watched_arguments(arguments):
        kept = _plant(way, monkeypatch, tmp_path, PLANTED)
        if way in {"vault", "keyring"}:
            assert _clean(run("keys", "set", "planted", "--stdin", stdin=f"{PLANTED}\n"), PLANTED).code == 0
        words = ("--provider", "openai", "--model-id", MODEL, "--endpoint", served.url, "--api-key-ref", "planted")
        _clean(inside("models", "add", "hosted", *words, "--json"), PLANTED)
        listed = _clean(inside("keys", "list", "--json"), PLANTED).json()
        (key,) = [key for key in listed["keys"] if key["name"] == "planted"]
        assert (key["source"], key["used_by"]) == (way, ["hosted"])
        tested = _clean(run("keys", "test", "planted", "--json"), PLANTED).json()
        assert (tested["readable"], tested["accepted"], tested["asked"]) == (True, True, served.url)
        assert "Hello." in _clean(run("chat", "hosted", "Hi", "--keep", "--json"), PLANTED).out
        assert set(served.got) == {PLANTED}
        assert "hosted" in _clean(inside("models", "export"), PLANTED).out
        assert "hosted" in _clean(inside("models", "history", "--json"), PLANTED).out
    assert _holding(PLANTED, short_folder) == []
    assert kept is None or PLANTED in kept.read_text()
    assert way != "vault" or any("planted" in words for words in arguments)
    assert [words for words in arguments if PLANTED in words] == []


def test_a_key_that_the_server_repeats_is_not_repeated(
    inside: Run, monkeypatch: pytest.MonkeyPatch, short_folder: Path, passphrase_file: Path
) -> None:
    """P8: what a server says of a refused key is told and kept without it."""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE_FILE", str(passphrase_file))
    with endpoint(PLANTED) as served:
        inside("keys", "set", "planted", "--stdin", stdin=WRONG)
        words = ("--provider", "openai", "--model-id", MODEL, "--endpoint", served.url, "--api-key-ref", "planted")
        inside("models", "add", "hosted", *words)
        tested = _clean(inside("keys", "test", "planted", "--json"), WRONG)
        assert (tested.code, tested.json()["accepted"]) == (1, False)
        assert WRONG in served.got
        for line in (("chat", "hosted", "Hi"), ("models", "show", "hosted"), ("models", "test", "hosted")):
            _clean(inside(*line), WRONG)
    assert _holding(WRONG, short_folder) == []


def test_the_value_is_typed_unseen_and_the_vault_is_made_on_the_way() -> None:
    """P8: on a terminal; then any command asks for the passphrase, and a wrong one is told."""
    setting = Terminal("keys", "set", "team")
    setting.wait_for("Value of team")
    setting.write(f"{PLANTED}\n")
    setting.wait_for("New passphrase")
    setting.write(f"{PASSPHRASE}\n")
    setting.wait_for("The same again")
    setting.write(f"{PASSPHRASE}\n")
    said = setting.wait_for("Set team")
    assert setting.close() == 0
    assert PLANTED not in said
    assert PASSPHRASE not in said

    reading = Terminal("keys", "test", "team")
    reading.wait_for("Passphrase of the vault")
    reading.write("wrong horse\n")
    reading.wait_for("not the vault's passphrase")
    reading.write(f"{PASSPHRASE}\n")
    reading.wait_for("team (vault): can be read.")
    assert reading.close() == 0


def test_ctrl_c_at_a_hidden_prompt_ends_at_once_and_typing_is_seen_again() -> None:
    """P8: the terminal is left as it was."""
    asking = Terminal("keys", "set", "team")
    asking.wait_for("Value of team")
    asking.write("\x03")
    asking.wait_for("interrupted")
    assert asking.close() == 130


def test_without_a_terminal_the_remedy_is_told(
    inside: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """P8: no command waits for a prompt that nobody sees."""
    monkeypatch.setattr(hidden, "_TERMINAL", "/none")
    asked = inside("keys", "set", "team", "--json", stdin=PLANTED)
    assert (asked.code, asked.error()["error"]) == (2, "UsageError")
    assert "--stdin" in asked.error()["remedy"]
    locked = inside("keys", "set", "team", "--stdin", "--json", stdin=PLANTED)
    assert (locked.code, locked.error()["error"]) == (1, "KeysLocked")
    assert "MODELYARD_VAULT_PASSPHRASE_FILE" in locked.error()["remedy"]
    assert not (settings.data_dir / "vault").exists()
    listed = inside("keys", "list", "--json").json()
    assert (listed["backend"]["kind"], listed["keys"]) == ("vault", [])


def test_set_remove_and_a_new_passphrase(inside: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """P8: by command, in scripts."""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", PASSPHRASE)
    inside("keys", "set", "one", "--stdin", stdin=PLANTED)
    assert inside("keys", "set", "a b", "--stdin", "--json", stdin=PLANTED).error()["fields"].keys() == {"name"}
    assert inside("keys", "set", "two", "--stdin", "--json", stdin="").error()["fields"].keys() == {"value"}
    assert inside("keys", "passphrase", "--stdin", "--json", stdin="another horse\n").json() == {"changed": True}
    old = inside("keys", "remove", "one", "--yes", "--json")
    assert (old.code, old.error()["error"]) == (1, "WrongPassphrase")
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", "another horse")
    refused = inside("keys", "remove", "one", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "NeedsConfirmation")
    assert inside("keys", "remove", "one", "--yes", "--json").json() == {"name": "one", "removed": True}
    assert inside("keys", "test", "one", "--json").error()["error"] == "KeyMissing"
    assert (settings.data_dir / "vault").stat().st_mode & 0o777 == 0o600


def test_one_unlock_lasts_for_the_login_session(
    inside: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """P8: the kernel keeps it for the commands that follow; lock ends it."""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", PASSPHRASE)
    inside("keys", "set", "one", "--stdin", stdin=PLANTED)
    kept = inside("keys", "unlock", "--hours", "1", "--json").json()["kept"]
    monkeypatch.delenv("MODELYARD_VAULT_PASSPHRASE")
    assert kept == (kernel.kept(settings.data_dir / "vault") is not None)
    reads = inside("keys", "test", "one", "--json")
    assert (reads.code == 0) == kept
    locked = inside("keys", "lock", "--json").json()
    assert locked["locked"] is True
    assert inside("keys", "test", "one", "--json").error()["error"] == "KeysLocked"


@pytest.mark.parametrize("name", ["vault", "registry.db", ".", "config"])
def test_a_wrong_mode_is_refused_with_the_command_that_mends_it(
    inside: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str
) -> None:
    """P8: files 0600, folders 0700."""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", PASSPHRASE)
    inside("keys", "set", "one", "--stdin", stdin=PLANTED)
    wrong = settings.config_dir if name == "config" else settings.data_dir / name
    wrong.mkdir(mode=0o700, parents=True, exist_ok=True) if name == "config" else None
    wrong.chmod(0o755 if wrong.is_dir() else 0o640)
    refused = inside("keys", "list", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "Refused")
    mends = refused.error()["remedy"]
    assert mends.startswith("chmod ")
    assert os.system(mends) == 0
    inside("keys", "list")


def test_the_doctor_says_where_keys_are_kept(inside: Run, settings: Settings) -> None:
    """P8: which one is in use, why, and what is wrong when the one that was asked for does not work."""

    def told() -> dict[str, str]:
        findings: list[dict[str, str]] = inside("doctor", "--json").json()["findings"]
        return next(finding for finding in findings if finding["check"] == "keys")

    keys = told()
    assert (keys["severity"], keys["reason"][:18]) == ("ok", "Kept in the vault.")
    settings.config_dir.mkdir(mode=0o700, parents=True)
    (settings.config_dir / "config.toml").write_text('keys = "keyring"\n')
    keys = told()
    assert keys["severity"] == "error"
    assert 'keys = "vault"' in keys["remedy"]
    (settings.config_dir / "config.toml").write_text('keys = "safe"\n')
    assert inside("keys", "list", "--json").code == 2


def test_two_programs_that_set_keys_at_once_lose_none(inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """P8"""
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", PASSPHRASE)
    inside("keys", "set", "a", "--stdin", stdin="a")
    threads = [Thread(target=done, args=("keys", "set", name, "--stdin"), kwargs={"stdin": name}) for name in "bc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [key["name"] for key in inside("keys", "list", "--json").json()["keys"]] == ["a", "b", "c"]


def test_a_keyring_that_hangs_is_waited_for_briefly(
    inside: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """P8: the probe has a time-out, and nothing else waits for it."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{keyrings.__name__}.HangingKeyring")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv(keyrings.VARIABLE, str(tmp_path / "none"))
    began = time.monotonic()
    backend = inside("keys", "list", "--json").json()["backend"]
    assert time.monotonic() - began < 15
    assert backend["kind"] == "vault"
    assert "did not answer within 4 s" in backend["detail"]
