"""The global models by command (P7)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.app import Modelyard
from core.catalog.service import record_id
from core.db import Database
from core.events import EventBus
from core.registry.records import Host
from core.registry.store import Registry
from core.registry.values import ModelQuery, Ownership, ServerStatus
from core.settings import Settings
from tests.cli.endpoint import endpoint
from tests.cli.program import done, modelyard
from tests.unit.test_routes import server as server_of

GLOBAL = "gpt-oss 20B"


@pytest.fixture
def builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in catalog, and no site's."""
    monkeypatch.setenv("MODELYARD_CATALOG", "/dev/null/none.yaml")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site catalog of two models and nothing else."""
    path = tmp_path / "site.yaml"
    path.write_text(
        "replace: true\nas_of: 2026-11-20\nmodels:\n"
        "  - {id: our/one, name: One, provider: openai, model_id: one-1, region: eu}\n"
        "  - {id: our/two, name: Two, provider: vllm, model_id: our/two, context_length: 9000}\n"
    )
    monkeypatch.setenv("MODELYARD_CATALOG", str(path))
    return path


def names(*words: str) -> list[str]:
    return [one["name"] for one in done("models", "list", *words, "--json").json()["models"]]


def test_global_models_are_listed_and_read_only(builtin: None) -> None:
    """P7, P10: built-in models are global, found, and not edited, deleted, archived or deployed; why is said."""
    listed = done("models", "list", "--ownership", "global", "--search", "gpt-oss", "--json").json()["models"]
    assert GLOBAL in [one["name"] for one in listed]
    assert {(one["is_global"], one["user_id"]) for one in listed} == {(True, None)}
    shown = done("models", "show", GLOBAL, "--json").json()
    assert shown["model_id"] == "openai/gpt-oss-20b"
    assert shown["context_length"] == 131072
    assert (shown["metadata"]["licence"], shown["metadata"]["facts_as_of"]) == ("apache-2.0", "2026-11-21")
    for words in (
        ("edit", GLOBAL, "--context-length", "1"),
        ("delete", GLOBAL, "--yes"),
        ("archive", GLOBAL),
    ):
        ended = modelyard("models", *words, "--json")
        assert (ended.code, ended.out) == (3, ""), words
        assert "global" in ended.error()["message"]
        assert "--from" in ended.error()["remedy"]
    refused = modelyard("deploy", GLOBAL, "--host", "local", "--yes", "--json")
    assert refused.code == 3
    assert "global" in refused.err + refused.out
    done("models", "add", "hosted", "--provider", "openai", "--model-id", "gpt")
    rows = done("models", "list", "--sort", "owner").out.splitlines()[1:-1]  # one's own first
    states = {row.split()[0]: row.split()[-2] for row in rows}
    assert (rows[0].split()[0], states["hosted"], states["BGE"]) == ("hosted", "hosted", "-")
    assert "openai serves it itself" in modelyard("deploy", "hosted", "--host", "local", "--yes", "--json").err
    assert done("models", "show", GLOBAL, "--json").json() == shown


def test_a_copy_is_mine(builtin: None, tmp_path: Path) -> None:
    """P7: `models add NAME --from GLOBAL` makes a personal model that may be changed and deployed."""
    words = ("--from", GLOBAL, "--path", str(tmp_path), "--temperature", "0.3", "--metadata", '{"note": "x"}')
    mine = done("models", "add", "my oss", *words, "--json").json()
    assert (mine["is_global"], mine["provider"], mine["model_id"]) == (False, "vllm", "openai/gpt-oss-20b")
    assert (mine["context_length"], mine["default_temperature"], mine["path"]) == (131072, 0.3, str(tmp_path))
    assert mine["metadata"]["catalog_id"] == "openai/gpt-oss-20b"
    assert mine["metadata"]["note"] == "x"
    assert done("models", "edit", "my oss", "--context-length", "4096", "--json").json()["context_length"] == 4096


def test_a_global_model_is_asked_with_a_key_of_ones_own(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, P8: `models edit GLOBAL --key NAME` sends that key and outlives the next catalog, but not another address."""
    monkeypatch.setenv("MY_OWN", "the-own-key")
    with endpoint(accepts="the-own-key") as served:
        text = site.read_text().replace("provider: openai, model_id: one-1", "provider: openai, model_id: tiny")
        site.write_text(text.replace("region: eu", f"region: eu, endpoint: {served.url!r}, api_key_ref: TEAM"))
        assert done("models", "show", "One", "--json").json()["api_key_ref"] == "TEAM"
        assert done("models", "edit", "One", "--key", "MY_OWN", "--json").json()["api_key_ref"] == "MY_OWN"
        tests = done("models", "test", "--all", "--json").json()["tests"]
        assert [(one["model"], one["ok"]) for one in tests] == [("One", True)]
        assert set(served.got) == {"the-own-key"}
        assert "edited model: One" in done("models", "history").out
        site.write_text(site.read_text().replace("region: eu", "region: us"))
        shown = done("models", "show", "One", "--json").json()
        assert (shown["region"], shown["api_key_ref"]) == ("us", "MY_OWN")
        assert done("models", "edit", "One", "--key", "", "--json").json()["api_key_ref"] == "TEAM"
        done("models", "undo", "--yes")
        site.write_text(site.read_text().replace(served.url, "https://elsewhere.example/v1"))
        assert done("models", "show", "One", "--json").json()["api_key_ref"] == "TEAM"
    assert modelyard("models", "edit", "One", "--key", "MY_OWN", "--region", "eu", "--json").code == 3


async def test_names_of_personal_models_win(builtin: None) -> None:
    async with Modelyard.open(Settings.load()) as yard:
        registry = yard.registry
        mine = await registry.add_model({"name": GLOBAL, "provider": "vllm", "model_id": "openai/gpt-oss-20b"})
        for ref in (GLOBAL, "openai/gpt-oss-20b"):
            assert (await registry.get_model(ref)).id == mine.id
        await registry.delete_model(GLOBAL)
        assert (await registry.get_model(GLOBAL)).is_global


def test_the_catalog_can_be_listed_shown_and_checked(site: Path) -> None:
    listed = done("catalog", "list", "--json").json()
    assert [one["id"] for one in listed["entries"]] == ["our/one", "our/two"]
    assert listed["problems"] == []
    assert listed["files"][-1] == str(site)
    shown = done("catalog", "show", "one", "--json").json()
    assert (shown["region"], shown["facts_as_of"], shown["file"], shown["line"]) == ("eu", "2026-11-20", str(site), 4)
    assert [one["id"] for one in done("catalog", "list", "--provider", "vllm", "--json").json()["entries"]] == [
        "our/two"
    ]
    assert done("catalog", "check").out == "Nothing is wrong; 2 models hold.\n"


def test_a_broken_site_file_is_told_and_the_rest_holds(site: Path) -> None:
    """P7: the program starts with what is valid, and file, line and field of the rest are said."""
    site.write_text(site.read_text().replace("context_length: 9000", "context_length: none"))
    assert names() == ["One"]
    ended = modelyard("catalog", "check", "--json")
    assert ended.code == 1
    assert [(one["file"], one["line"], one["field"]) for one in ended.json()["problems"]] == [
        (str(site), 5, "context_length")
    ]
    assert f"{site}:5: context_length: " in modelyard("doctor").out
    other = site.with_name("other.yaml")
    other.write_text("models: [{id: a/b}]\n")
    assert modelyard("catalog", "check", str(other)).out.startswith(f"{other}:1: name: Required.")


async def test_what_changes_in_the_catalog_changes_in_the_registry(site: Path) -> None:
    """P7: ids stay, fields follow, entries that left are gone, personal models are not touched."""
    text = site.read_text()
    async with Modelyard.open(Settings.load()) as yard:
        registry = yard.registry
        mine = await registry.add_model({"name": "mine", "provider": "vllm", "model_id": "x/y"})
        before = await registry.get_model("One")
        assert (before.id, before.region) == (record_id("our/one"), "eu")
        site.write_text(text.replace("name: One", "name: First").replace(", region: eu", "").replace("9000", "100"))
        await yard.catalog.sync()
        after = await registry.get_model("First")
        assert (after.id, after.model_id, after.region) == (before.id, "one-1", "")
        assert (await registry.get_model("Two")).context_length == 100
        site.write_text("replace: true\n")
        await yard.catalog.sync()
        rows = (await registry.search(ModelQuery())).rows
        assert [row.model for row in rows] == [mine]
        site.write_text(text)
        await yard.catalog.sync()
        assert {row.model.name for row in (await registry.search(ModelQuery())).rows} == {"One", "Two", "mine"}


def test_programs_at_once_make_one_catalog(site: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        listed = list(pool.map(lambda _: names(), range(3)))
    assert listed == [["One", "Two"]] * 3


async def test_one_that_left_but_is_served_is_archived_until_it_is_not(site: Path) -> None:
    settings = Settings.load()
    async with Modelyard.open(settings) as yard:
        model = await yard.registry.get_model("Two")
        host = await yard.registry.add_host(Host(name="h"))
        server = await yard.registry.add_server(server_of(model.id, ServerStatus.STOPPED, host=host))
    site.write_text("replace: true\n")
    async with Modelyard.open(settings) as yard:
        assert (await yard.registry.search(ModelQuery())).shown == 0
        assert (await yard.registry.search(ModelQuery(archived=True))).rows[0].model.id == model.id
        await yard.registry.remove_server(server.id)
    site.write_text("replace: true\n# again\n")
    async with Modelyard.open(settings) as yard:
        assert (await yard.registry.search(ModelQuery(archived=True))).shown == 0


async def test_two_users_see_the_same_global_models_and_their_own(site: Path, tmp_path: Path) -> None:
    """P7: personal ones belong to the user."""
    async with Modelyard.open(Settings.load()) as yard:
        await yard.registry.add_model({"name": "mine", "provider": "vllm", "model_id": "x"})
        database = Database(yard.settings.db_path)
        await database.open()
        other = Registry(database, EventBus(), user_id="another")
        seen = (await other.search(ModelQuery())).rows
        await database.close()
        assert [row.model.name for row in seen] == ["One", "Two"]
        assert (await yard.registry.search(ModelQuery(ownership=Ownership.MINE))).shown == 1


async def test_opening_again_reads_no_yaml_and_takes_milliseconds(site: Path) -> None:
    import subprocess
    import time

    async with Modelyard.open(Settings.load()) as yard:
        begun = time.perf_counter()
        await yard.catalog.sync()
        assert time.perf_counter() - begun < 0.25
    script = (
        "import asyncio, sys\nfrom core.app import Modelyard\nfrom core.settings import Settings\n"
        "async def main():\n    async with Modelyard.open(Settings.load()) as yard:\n"
        "        print(len((await yard.catalog.load()).entries) if 'yaml' in sys.modules else 'no yaml')\n"
        "asyncio.run(main())"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "no yaml\n"
