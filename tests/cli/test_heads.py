"""`modelyard regions …`, `modelyard heads …`, and the fields of models that go with them."""

from __future__ import annotations

import pytest

from tests.cli.program import done, modelyard

HOSTILE = "\x1b]0;owned\x07[b]\u202edne"


def test_regions() -> None:
    """R1, R5: list, add, edit and remove regions by command."""
    rows = {row["code"]: row for row in done("regions", "list", "--json").json()["regions"]}
    assert rows["eu"] == {"code": "eu", "name": "European Union", "builtin": True, "models": 0}
    assert "GERMANY" in done("regions", "list", "--search", "germ").out.upper()
    added = done("regions", "add", "US-East-1", "Virginia", "--json").json()
    assert added == {"code": "us-east-1", "name": "Virginia", "builtin": False}
    assert done("regions", "edit", "us-east-1", "--name", "N. Virginia", "--json").json()["name"] == "N. Virginia"
    assert modelyard("regions", "remove", "us-east-1", "--json").error()["error"] == "NeedsConfirmation"
    assert done("regions", "remove", "us-east-1", "--yes", "--json").json()["removed"] is True
    assert done("regions", "list", "--mine", "--json").json()["regions"] == []


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("regions", "add", "de", "x"), 2, "InvalidInput"),
        (("regions", "remove", "de", "--yes"), 3, "NotAllowed"),
        (("heads", "add", "h", "--url", "nonsense"), 2, "InvalidInput"),
        (("heads", "show", "nobody"), 1, "NotFound"),
    ],
)
def test_what_is_refused_says_why(words: tuple[str, ...], code: int, error: str) -> None:
    ended = modelyard(*words, "--json")
    assert (ended.code, ended.out, ended.error()["error"]) == (code, "", error)
    assert ended.error()["remedy"]


def test_heads_and_their_models() -> None:
    """R2, R5: list, show, add, edit, remove heads by command, and take it back; models refer to them."""
    added = done("heads", "add", "main", "--url", "https://h/v1", "--region", "EU", "--key", "team", "--json").json()
    assert (added["region"], added["api_key_ref"]) == ("eu", "team")
    done("models", "add", "m", "--provider", "openai", "--model-id", "gpt", "--head", "main", "--region", "eu")
    assert done("heads", "show", "main", "--json").json()["models"] == ["m"]
    assert done("heads", "edit", "main", "--name", "first", "--json").json()["url"] == "https://h/v1"
    listed = done("heads", "list", "--region", "eu", "--json").json()["heads"]
    assert [(one["name"], one["models"]) for one in listed] == [("first", 1)]
    refused = modelyard("heads", "remove", "first", "--yes", "--json")
    assert refused.code == 3
    assert "the models m" in refused.error()["message"]
    done("models", "edit", "m", "--head", "", "--json")
    assert done("heads", "remove", "first", "--yes", "--json").json()["removed"] is True
    done("models", "add", "later", "--provider", "openai", "--model-id", "gpt")
    assert done("models", "undo", "--kind", "head", "--yes", "--json").json()["text"] == "deleted head: first"
    assert done("heads", "show", "first", "--json").json()["id"] == added["id"]
    assert done("models", "show", "later", "--json").json()["name"] == "later"


def test_the_fields_of_a_model() -> None:
    """R1, R2, R3: region, head, endpoint, key, local inference and metadata by command."""
    words = ("models", "add", "m", "--provider", "vllm", "--model-id", "o/m")
    fields = ("--region", "DE", "--endpoint", "http://127.0.0.1:1/v1", "--key", "team", "--local-inference")
    added = done(*words, *fields, "--metadata", '{"a": {"b": 1}}', "--tags", "x,y", "--json").json()
    assert (added["region"], added["api_key_ref"], added["local_inference"]) == ("de", "team", True)
    assert (added["metadata"], added["tags"], added["head"]) == ({"a": {"b": 1}}, ["x", "y"], "")
    refused = modelyard("models", "edit", "m", "--endpoint", "http://far:1/v1", "--json")
    assert "an address of this machine" in refused.error()["fields"]["endpoint"]
    edited = done("models", "edit", "m", "--no-local-inference", "--tag", "", "--metadata", "{}", "--json").json()
    assert (edited["local_inference"], edited["tags"], edited["metadata"]) == (False, [], {})
    assert edited["endpoint"] == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        (("--metadata", '{"a": 1,\n "b" 2}'), "extra", "Line 2, column 6"),
        (("--region", "xx"), "region", "no region xx"),
        (("--head", "nobody"), "head", "no head nobody"),
        (("--key", "sk-abcdefghijklmnopqrstuvwx"), "api_key_ref", "keys set"),
    ],
)
def test_what_is_wrong_with_a_field(words: tuple[str, ...], field: str, told: str) -> None:
    """R3 and P8: each message stands at its field; a key that was given in place of a name is not repeated."""
    ended = modelyard("models", "add", "m", "--provider", "vllm", "--model-id", "o/m", *words, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.error()["fields"][field]
    assert "extra" not in ended.error()["message"]
    assert "abcdefghijkl" not in ended.err


def test_hostile_names_are_stored_exactly_and_shown_harmlessly() -> None:
    done("heads", "add", HOSTILE, "--url", "https://h/v1", "--description", HOSTILE)
    done("regions", "add", "lab", HOSTILE)
    assert done("heads", "show", HOSTILE, "--json").json()["description"] == HOSTILE
    for words in (("heads", "show", HOSTILE), ("regions", "list", "--mine")):
        out = done(*words).out
        assert "[b]dne" in out
        assert not set(out) & set("\x1b\x07\u202e")
