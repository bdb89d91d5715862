"""Where keys come from (P7, P8): the environment, files, a keyring that is probed, the vault."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.cli.crash import save
from core.errors import (
    InvalidInput,
    KeyMissing,
    KeyProblem,
    KeysLocked,
    ModelyardError,
    NotAllowed,
    Refused,
    WrongPassphrase,
)
from core.findings import Finding, Severity
from core.keys.choice import key_name
from core.keys.store import KeyStore
from core.keys.values import KeySource
from core.registry.records import Head, Model
from tests.unit.key_place import KeyPlace

PLANTED = "sk-planted-77aa12bc"
PASSPHRASE = "correct horse"


# The environment


async def test_the_environment_comes_first_by_name_then_by_the_usual_variables(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keys.unlock(PASSPHRASE)
    await keys.set("google", "from-the-vault")
    assert await keys.get("google") == "from-the-vault"
    for variable in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "google"):  # each before the one before
        monkeypatch.setenv(variable, f"from-{variable}")
        assert await keys.get("google") == f"from-{variable}"
    (info,) = [info for info in await keys.names() if info.name == "google"]
    assert (info.source, info.detail) == (KeySource.ENVIRONMENT, "google")


async def test_a_file_must_be_private_and_its_line_break_is_cut(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a key"
    path.write_text(f"{PLANTED}\n")
    path.chmod(0o644)
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(path))
    with pytest.raises(Refused, match="other users") as caught:
        await keys.get("openai")
    subprocess.run(caught.value.remedy, shell=True, check=True)
    assert await keys.get("openai") == PLANTED
    assert await keys.get("OPENAI_API_KEY") == PLANTED


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", None, b"x" * 70_000])
async def test_a_file_that_holds_no_key_is_said_so(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key"
    monkeypatch.setenv("MINE_FILE", str(path))
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(KeyProblem, match="MINE_FILE"):
        await keys.get("MINE")


async def test_a_pipe_in_place_of_a_file_holds_nothing_up(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.setenv("MINE_FILE", str(tmp_path / "pipe"))
    async with asyncio.timeout(5):
        with pytest.raises(KeyProblem, match="can't be used"):
            await keys.get("MINE")


async def test_what_no_header_can_hold_is_no_key_and_is_not_repeated(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (f"{PLANTED}\nX-Evil: 1", f"{PLANTED} é", f" {PLANTED}"):
        monkeypatch.setenv("MINE", value)
        with pytest.raises(KeyProblem) as caught:
            await keys.get("MINE")
        assert PLANTED not in json.dumps(caught.value.as_dict())
        with pytest.raises(InvalidInput):
            await keys.set("other", value)


async def test_only_the_environment_where_the_configuration_says_so(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = place.store(keys="environment")
    monkeypatch.setenv("MINE", PLANTED)
    assert (await keys.backend()).kind == "environment"
    assert await keys.get("MINE") == PLANTED
    assert await keys.get("other") is None
    with pytest.raises(NotAllowed, match="can't be set"):
        await keys.set("other", PLANTED)


# The vault


async def test_nothing_is_asked_while_there_is_no_vault(keys: KeyStore) -> None:
    async def never(new: bool, problem: str) -> str | None:
        raise AssertionError

    keys.ask_with(never)
    assert await keys.get("openai") is None
    assert await keys.names() == []
    assert not keys.locked
    backend = await keys.backend()
    assert (backend.kind, backend.new, backend.locked) == ("vault", True, False)
    assert "keeps nothing safe" in backend.detail


async def test_the_vault_is_unlocked_once_by_whoever_can(place: KeyPlace, keys: KeyStore) -> None:
    asked: list[tuple[bool, str]] = []
    answers = iter(["short", PASSPHRASE, "wrong horse", PASSPHRASE])

    async def ask(new: bool, problem: str) -> str | None:
        asked.append((new, problem))
        return next(answers)

    keys.ask_with(ask)
    await keys.set("team", PLANTED)
    other = place.store()
    other.ask_with(ask)
    values = await asyncio.gather(*(other.get("team") for _ in range(3)))
    assert values == [PLANTED] * 3
    assert [new for new, _ in asked] == [True, True, False, False]
    assert "8 characters" in asked[1][1]
    assert "not the vault's" in asked[3][1]


async def test_a_locked_vault_is_an_error_that_says_how_to_open_it(
    place: KeyPlace, keys: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await keys.unlock(PASSPHRASE)
    await keys.set("team", PLANTED)
    await place.registry.add_model({"name": "m", "provider": "openai", "model_id": "x", "api_key_ref": "team"})
    other = place.store()
    with pytest.raises(KeysLocked) as caught:
        await other.get("team")
    assert "MODELYARD_VAULT_PASSPHRASE_FILE" in caught.value.remedy
    assert other.locked
    assert (await other.names())[0].source is KeySource.LOCKED
    model = await place.registry.get_model("m")
    assert await other.needs_unlock(model)

    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    path.chmod(0o600)
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE_FILE", str(path))
    assert not await other.needs_unlock(model)
    assert await other.for_model(model) == PLANTED
    monkeypatch.delenv("MODELYARD_VAULT_PASSPHRASE_FILE")
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", "wrong horse")
    with pytest.raises(WrongPassphrase):
        await place.store().get("team")


async def test_a_passphrase_changed_elsewhere_is_asked_for_again(place: KeyPlace, keys: KeyStore) -> None:
    await keys.unlock(PASSPHRASE)
    await keys.set("team", PLANTED)
    other = place.store()
    await other.unlock(PASSPHRASE)
    await other.change_passphrase("another horse")
    with pytest.raises(KeysLocked):
        await keys.get("team")
    await keys.unlock("another horse")
    assert await keys.get("team") == PLANTED


async def test_removing_says_what_it_can_not_remove(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await keys.unlock(PASSPHRASE)
    await keys.set("team", PLANTED)
    await keys.remove("team")
    assert await keys.get("team") is None
    with pytest.raises(KeyMissing):
        await keys.remove("team")
    monkeypatch.setenv("team", PLANTED)
    with pytest.raises(NotAllowed) as caught:
        await keys.remove("team")
    assert caught.value.remedy == "Unset team."


@pytest.mark.parametrize("name", ["", "a b", "-x", "é", "x" * 65, "a/b", PLANTED])
async def test_names_are_words_and_never_keys_themselves(keys: KeyStore, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await keys.set(name, "value")
    assert caught.value.fields.keys() == {"name"}


# Which key a model uses


def _model(**values: Any) -> Model:
    return Model(name="m", served_name="m", model_id="x", **values)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (_model(provider="openai", is_global=True), "openai"),
        (_model(provider="anthropic", is_global=True), "anthropic"),
        (_model(provider="google", is_global=True, api_key_ref="mine"), "mine"),
        (_model(provider="openai"), "openai"),
        (_model(provider="openai", endpoint="https://eu.api.openai.com/v1"), "openai"),
        (_model(provider="openai", endpoint="http://api.openai.com/v1"), ""),
        (_model(provider="openai", endpoint="https://api.openai.com.evil.example/v1"), ""),
        (_model(provider="openai", endpoint="https://evilopenai.com/v1"), ""),
        (_model(provider="vllm", endpoint="http://gpu1:8000"), ""),
        (_model(provider="vllm", endpoint="http://gpu1:8000", api_key_ref="lab"), "lab"),
    ],
)
def test_a_providers_key_goes_to_the_provider_only(model: Model, name: str) -> None:
    """P7"""
    assert key_name(model) == name


async def test_a_model_that_names_a_missing_key_gets_no_other(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    assert await keys.for_model(_model(provider="openai")) == PLANTED
    assert await keys.for_model(_model(provider="vllm")) is None
    with pytest.raises(KeyMissing, match="'mine'"):
        await keys.for_model(_model(provider="openai", api_key_ref="mine"))


async def test_the_list_says_who_uses_a_key(place: KeyPlace, keys: KeyStore) -> None:
    base = {"model_id": "x", "provider": "openai"}
    for number in range(25):
        await place.registry.add_model({**base, "name": f"m{number:02}", "api_key_ref": "team"})
    await place.registry.add_model({**base, "name": "plain"})
    await place.registry.add_model({**base, "name": "elsewhere", "endpoint": "https://other.example/v1"})
    await place.registry._save(Head(name="front", api_key_ref="gate"), "head", "added")
    found = {info.name: info for info in await keys.names()}
    assert set(found) == {"team", "openai", "gate"}
    assert (found["team"].uses, found["team"].used_by[:2]) == (25, ("m00", "m01"))
    assert len(found["team"].used_by) == 20
    assert found["openai"].used_by == ("plain",)
    assert found["gate"].used_by == ("head front",)
    assert {info.source for info in found.values()} == {KeySource.MISSING}


# What could repeat a key


async def test_no_error_finding_or_report_repeats_a_key_that_was_read(place: KeyPlace, keys: KeyStore) -> None:
    await keys.unlock(PASSPHRASE)
    await keys.set("team", "an-unusual-key-0815")
    said = "Incorrect API key provided: an-unusual-key-0815."
    assert "0815" not in json.dumps(ModelyardError(said, cause=said).as_dict())
    assert "0815" not in json.dumps(Finding(severity=Severity.ERROR, check="key", reason=said).as_dict())
    report = save(RuntimeError(said))
    assert report is not None
    assert "0815" not in report.read_text()
    assert "Incorrect API key provided" in report.read_text()
    assert report.parent.parent.stat().st_mode & 0o777 == 0o700


async def test_events_name_keys_and_hold_no_values(place: KeyPlace, keys: KeyStore) -> None:
    async with place.bus.subscribe() as events:
        await keys.unlock(PASSPHRASE)
        await keys.set("team", PLANTED)
        await keys.remove("team")
        seen = []
        async for event in events:
            seen.append(event.as_dict())
            if event.as_dict().get("action") == "deleted":
                break
    assert [event["id"] for event in seen][-2:] == ["team", "team"]
    assert PLANTED not in json.dumps(seen)
