"""`modelyard models …` as scripts and people use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.program import Ended, done, modelyard

P16 = {
    *("id", "name", "provider", "model_id", "context_length", "max_output_tokens", "default_temperature"),
    *("default_top_p", "supports_streaming", "supports_tools", "supports_vision", "is_global", "user_id"),
    *("created_at", "updated_at"),
}
OURS = {"served_name", "path", "host", "status", "port", "url", "metadata", "archived_at", "tags", "flags"}


def add(name: str, *words: str) -> Ended:
    return done("models", "add", name, "--provider", "vllm", "--model-id", "org/model", *words, "--json")


def test_add_show_edit_archive_restore_delete() -> None:
    """P3, P4, P5, P6, L11: a model from its adding to its deletion by command."""
    added = add("first", "--path", "/srv/models/first", "--host", "gpu1", "--context-length", "8192").json()
    assert set(added) >= P16 | OURS
    assert added["context_length"] == 8192
    assert (added["path"], added["host"], added["metadata"]) == (
        "/srv/models/first",
        "gpu1",
        {"model_path": "/srv/models/first"},
    )
    for ref in (added["id"], "first", "org/model"):
        assert done("models", "show", ref, "--json").json() == added

    edited = done("models", "edit", "first", "--name", "second", "--temperature", "0.5", "--tools", "--json").json()
    assert (edited["id"], edited["name"], edited["default_temperature"]) == (added["id"], "second", 0.5)
    assert edited["supports_tools"] is True
    assert edited["context_length"] == 8192

    assert done("models", "archive", "second", "--json").json()["archived_at"]
    assert done("models", "list", "--json").json()["models"] == []
    assert [one["name"] for one in done("models", "list", "--archived", "--json").json()["models"]] == ["second"]
    assert done("models", "restore", "second", "--json").json()["archived_at"] is None

    assert done("models", "delete", "second", "--yes", "--json").json()["deleted"] is True
    assert modelyard("models", "show", "second").code == 1


def test_list_filters_pages_and_counts() -> None:
    for name in ("alpha one", "alpha two", "beta one"):
        add(name)
    done("models", "add", "gamma", "--provider", "openai", "--model-id", "gpt")

    def names(*words: str) -> list[str]:
        return [one["name"] for one in done("models", "list", *words, "--json").json()["models"]]

    assert names() == ["alpha one", "alpha two", "beta one", "gamma"]
    assert names("--search", "ONE") == ["alpha one", "beta one"]
    assert names("--search", "one alpha") == ["alpha one"]
    assert names("--provider", "openai") == ["gamma"]
    assert names("--provider", "all", "--ownership", "mine", "--limit", "2") == ["alpha one", "alpha two"]
    assert names("--ownership", "global") == []
    assert names("--offset", "2", "--limit", "1") == ["beta one"]
    assert names("--limit", "0") == []
    page = done("models", "list", "--search", "alpha", "--limit", "1", "--json").json()
    assert (page["shown"], page["total"], page["offset"]) == (2, 4, 0)


def test_more_models_than_a_page_are_all_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, (f"model {number:02}" for number in range(6))))
    assert len(done("models", "list", "--json").json()["models"]) == 6
    people = done("models", "list").out.splitlines()
    assert people[-1] == "Showing 6 of 6 models"
    assert [line.index("vllm") for line in people[1:-1]] == [people[0].index("PROVIDER")] * 6


def test_options_may_stand_anywhere() -> None:
    add("one")
    wanted = done("models", "list", "--json").json()
    assert done("--json", "models", "list").json() == wanted
    assert done("models", "--json", "list").json() == wanted
    assert done("models", "show", "--json", "one").json()["name"] == "one"


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--provider", "vllm", "--model-id", "x", "--context-length", "0"), "context_length"),
        (("--provider", "vllm", "--model-id", "x", "--temperature", "2.1"), "default_temperature"),
        (("--provider", "vllm", "--model-id", "x", "--top-p", "-0.1"), "default_top_p"),
        (("--provider", "nobody", "--model-id", "x"), "provider"),
        (("--provider", "vllm"), "model_id"),
        (("--model-id", "x"), "provider"),
        (("--provider", "vllm", "--model-id", "x", "--metadata", "{"), "extra"),
        (("--provider", "vllm", "--model-id", "x", "--flags", "[1]"), "flags"),
    ],
)
def test_wrong_values_are_named_by_field(words: tuple[str, ...], field: str) -> None:
    ended = modelyard("models", "add", "name", *words, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert list(ended.error()["fields"]) == [field]


def test_a_duplicate_name_is_refused_beside_its_field() -> None:
    add("one")
    ended = modelyard("models", "add", "one", "--provider", "vllm", "--model-id", "y", "--json")
    assert ended.code == 2
    assert set(ended.error()["fields"]) == {"name"}


def test_an_edit_that_is_wrong_changes_nothing() -> None:
    before = add("one").json()
    assert modelyard("models", "edit", "one", "--max-output-tokens", "0").code == 2
    assert done("models", "show", "one", "--json").json() == before


def test_a_relative_path_is_one_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert add("here", "--path", "weights/m.gguf").json()["path"] == str(tmp_path / "weights/m.gguf")
    assert add("there", "--path", "weights/m.gguf", "--host", "gpu1").json()["path"] == "weights/m.gguf"


def test_the_model_id_is_read_from_the_path() -> None:
    added = done("models", "add", "n", "--provider", "local", "--path", "/x/Qwen3-8B/checkpoint-100", "--json").json()
    assert added["model_id"] == "Qwen3-8B"


def test_deleting_needs_a_yes_where_nobody_can_be_asked() -> None:
    add("one")
    ended = modelyard("models", "delete", "one", "--json")
    assert (ended.code, ended.out) == (3, "")
    assert ended.error()["error"] == "NeedsConfirmation"
    assert "--yes" in ended.error()["remedy"]
    assert done("models", "show", "one").code == 0


def test_what_is_not_there_is_told_with_a_remedy() -> None:
    ended = modelyard("models", "show", "nothing", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert ended.error()["error"] == "NotFound"
    assert ended.error()["remedy"]


def test_programs_at_once_on_a_new_registry_lose_nothing() -> None:
    names = [f"model {number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    assert [one["name"] for one in done("models", "list", "--json").json()["models"]] == names


def test_of_programs_that_add_one_name_at_once_exactly_one_wins() -> None:
    def attempt(_: int) -> Ended:
        return modelyard("models", "add", "same", "--provider", "vllm", "--model-id", "x", "--json")

    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(attempt, range(6)))
    assert sorted(one.code for one in ended) == [0, 2, 2, 2, 2, 2]
    assert {one.error()["error"] for one in ended if one.code} == {"InvalidInput"}


def test_the_registry_is_private(short_folder: Path) -> None:
    add("one")
    database = short_folder / "data" / "modelyard" / "registry.db"
    assert database.stat().st_mode & 0o777 == 0o600
    assert database.parent.stat().st_mode & 0o777 == 0o700
