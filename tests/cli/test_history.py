"""`modelyard models history|undo` as scripts and people use it."""

from __future__ import annotations

import getpass
from pathlib import Path

from tests.cli.program import done, modelyard

VLLM = ("--provider", "vllm", "--model-id", "org/x")


def test_history_tells_and_undo_takes_back_and_does_again() -> None:
    """P5, L11 and undo by command."""
    added = done("models", "add", "a", *VLLM, "--json").json()
    done("models", "edit", "a", "--context-length", "9")
    done("models", "archive", "a")
    done("models", "delete", "a", "--yes")
    told = done("models", "history", "--lines", "--json").json()["changes"]
    assert [one["action"] for one in told] == ["deleted", "archived", "edited", "added"]
    assert {one["who"].partition("@")[0] for one in told} == {getpass.getuser()}
    assert (told[2]["before"], told[2]["after"]) == ({"context_length": 4096}, {"context_length": 9})
    assert done("models", "history", "a", "--json").json()["changes"] == told

    undone = done("models", "undo", "--yes", "--json").json()
    assert (undone["text"], undone["not_restored"]) == ("deleted model: a", [])
    back = done("models", "show", "a", "--json").json()
    assert (back["id"], back["created_at"], bool(back["archived_at"])) == (added["id"], added["created_at"], True)
    done("models", "undo", "--yes")
    done("models", "undo", "--yes")
    assert done("models", "show", "a", "--json").json()["context_length"] == 4096
    assert done("models", "undo", "--redo", "--yes").out == "Took back: took back: edited model: a.\n"
    assert done("models", "show", "a", "--json").json()["context_length"] == 9
    assert "context_length 4096 → 9" in done("models", "history", "a").out
    people = done("models", "history").out
    assert "deleted model: a (taken back)" in people


def test_undo_asks_refuses_and_says_why() -> None:
    done("models", "add", "a", *VLLM)
    done("models", "edit", "a", "--context-length", "9")
    batch = done("models", "history", "--limit", "1", "--json").json()["actions"][0]["batch"]
    ended = modelyard("models", "undo", "--json")
    assert (ended.code, ended.error()["error"]) == (3, "NeedsConfirmation")
    done("models", "edit", "a", "--context-length", "10")
    ended = modelyard("models", "undo", batch, "--yes", "--json")
    assert (ended.code, ended.out) == (3, "")
    assert "a changed since: context_length" in ended.error()["message"]
    assert ended.error()["remedy"]
    assert modelyard("models", "undo", "nothing", "--yes").code == 1
    assert modelyard("models", "history", "nobody").code == 1


def test_a_bulk_action_is_one_undo() -> None:
    for name in ("a", "b", "c"):
        done("models", "add", name, *VLLM)
    done("models", "tag", "a", "b", "c", "--add", "new")
    assert len(done("models", "undo", "--yes", "--json").json()["changes"]) == 3
    assert [one["tags"] for one in done("models", "list", "--json").json()["models"]] == [[], [], []]


def test_deleting_names_the_model_asks_and_leaves_its_files(tmp_path: Path) -> None:
    """P6 by command."""
    file = tmp_path / "m.gguf"
    file.write_bytes(b"weights")
    done("models", "add", "mine", *VLLM, "--path", str(file))
    ended = modelyard("models", "delete", "mine", "--json")
    assert (ended.code, "mine" in ended.error()["message"]) == (3, True)
    done("models", "delete", "mine", "--yes")
    assert done("models", "list", "--ownership", "mine", "--json").json()["models"] == []
    assert file.read_bytes() == b"weights"


def test_archiving_hides_a_model_keeps_its_record_and_restoring_brings_it_back() -> None:
    """L11 by command."""
    before = done("models", "add", "mine", *VLLM, "--tag", "t", "--json").json()
    done("models", "archive", "mine")
    assert done("models", "list", "--ownership", "mine", "--json").json()["models"] == []
    archived = done("models", "list", "--archived", "--json").json()["models"]
    assert [(one["id"], one["tags"]) for one in archived] == [(before["id"], ["t"])]
    done("models", "restore", "mine")
    assert done("models", "show", "mine", "--json").json()["archived_at"] is None
