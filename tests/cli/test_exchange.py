"""`modelyard models import|export` as scripts and people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import done, modelyard
from tests.unit.stores import hf_cache, ollama_store

LITELLM = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
  - model_name: local
    litellm_params:
      model: hosted_vllm/Qwen/Qwen3-8B
      api_base: http://127.0.0.1:8000/v1
      api_key: sk-planted-0123456789abcdef
litellm_settings:
  master_key: sk-planted-master-0123456789
"""


def _add(name: str, *words: str) -> None:
    done("models", "add", name, "--provider", "vllm", "--model-id", "org/x", *words)


def _listed() -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = done("models", "list", "--json").json()["models"]
    return [one for one in models if not one["is_global"]]


def test_what_is_exported_is_imported_again_without_loss(tmp_path: Path) -> None:
    name = "a\x1b]0;x\x07 שלום"
    _add(name, "--tag", "t", "--flags", '{"seed": "1", "none": null}', "--metadata", '{"k": [1, {"é": null}]}')
    before = done("models", "show", name, "--json").json()
    for form in ("yaml", "toml", "csv", "json"):
        path = tmp_path / f"records.{form}"
        wrote = done("models", "export", "--output", str(path), "--json").json()
        assert (wrote["format"], wrote["counts"]["models"], wrote["left_out"]) == (form, 1, [])
        assert path.stat().st_mode & 0o777 == 0o600
        same = done("models", "import", str(path), "--yes", "--json").json()
        assert (same["applied"], same["counts"]["unchanged"]) == (False, 1)
    done("models", "delete", name, "--yes")
    shown = done("models", "import", str(path), "--dry-run", "--json").json()
    assert (shown["applied"], shown["counts"]["add"]) == (False, 1)
    assert _listed() == []
    applied = done("models", "import", str(path), "--yes", "--json").json()
    assert (applied["applied"], applied["counts"]["add"]) == (True, 1)
    after = done("models", "show", name, "--json").json()
    own = ("id", "updated_at")
    assert {k: v for k, v in after.items() if k not in own} == {k: v for k, v in before.items() if k not in own}
    done("models", "undo", applied["batch"], "--yes")
    assert _listed() == []


def test_export_to_standard_output_is_data_and_needs_a_yes_to_write_over(tmp_path: Path) -> None:
    _add("a", "--tag", "x")
    _add("b")
    document = done("models", "export").json()
    assert (document["modelyard"], [one["name"] for one in document["models"]]) == (1, ["a", "b"])
    chosen = done("models", "export", "--search", "a", "--format", "csv").out.splitlines()
    assert (chosen[0].split(",")[0], chosen[1].split(",")[0], len(chosen)) == ("name", "a", 2)
    path = tmp_path / "f.json"
    path.write_text("mine")
    ended = modelyard("models", "export", "-o", str(path), "--json")
    assert (ended.code, path.read_text()) == (3, "mine")
    done("models", "export", "-o", str(path), "--yes")
    assert json.loads(path.read_text())["models"]
    ended = modelyard("models", "export", "-o", str(tmp_path / "no" / "f.json"), "--json")
    assert (ended.code, ended.error()["error"]) == (1, "CommandFailed")


def test_an_import_shows_what_it_would_do_asks_and_tells_what_is_wrong(tmp_path: Path) -> None:
    _add("there", "--context-length", "5")
    path = tmp_path / "f.yaml"
    path.write_text(
        "models:\n"
        "- {name: new, provider: vllm, model_id: x}\n"
        "- {name: there, provider: vllm, model_id: org/x, context_length: 9}\n"
        "- {name: bad, provider: nobody}\n"
    )
    ended = modelyard("models", "import", str(path))
    assert ended.code == 3
    assert f"{path}:4" in ended.out
    assert "provider: Must be one of" in ended.out
    assert "1 to add, 1 in conflict, left alone, 1 invalid" in ended.out
    assert "Import 1 added?" in ended.err
    ended = modelyard("models", "import", str(path), "--on-conflict", "merge-fields", "--yes", "--json")
    assert ended.code == 1
    rows = {one["name"]: (one["outcome"], one["fields"], one["line"]) for one in ended.json()["records"]}
    assert rows == {
        "new": ("add", [], 2),
        "there": ("change", ["context_length"], 3),
        "bad": ("invalid", [], 4),
    }
    assert {one["name"]: one["context_length"] for one in _listed()} == {"new": 4096, "there": 9}


def test_litellm_keys_are_named_and_never_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(LITELLM)
    ended = done("models", "import", str(path), "--yes", "--json")
    models = {one["name"]: one for one in _listed()}
    assert models["gpt-4o"]["api_key_ref"] == "OPENAI_API_KEY"
    local = models["local"]
    assert (local["provider"], local["model_id"]) == ("vllm", "Qwen/Qwen3-8B")
    assert (local["endpoint"], local["api_key_ref"]) == ("http://127.0.0.1:8000/v1", "")
    notes = {one["name"]: one["notes"] for one in ended.json()["records"]}
    assert "holds a key itself" in notes["local"][0]
    everything = (
        ended.out
        + json.dumps(models)
        + done("models", "history", "--lines", "--json").out
        + done("models", "export").out
    )
    assert "planted" not in everything


def test_the_stores_of_ollama_and_hugging_face_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = modelyard("models", "import", "--from-ollama", "--json")
    assert (ended.code, ended.error()["error"]) == (1, "NotFound")
    ollama_store(tmp_path / "ollama")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    hf_cache(tmp_path / "hub")
    done("models", "import", "--from-ollama", "--yes")
    done("models", "import", "--from-hf-cache", str(tmp_path / "hub"), "--yes")
    assert {one["name"]: one["provider"] for one in _listed()} == {
        "llama3.2:1b": "ollama",
        "someone/small:latest": "ollama",
        "org/tiny": "vllm",
    }


def test_standard_input_and_what_is_missing() -> None:
    text = json.dumps([{"name": "a", "provider": "vllm", "model_id": "x"}])
    assert done("models", "import", "-", "--format", "json", "--yes", stdin=text).code == 0
    assert [one["name"] for one in _listed()] == ["a"]
    for words in ((), ("-",), ("x.json", "--from-ollama"), ("/nowhere.json",), ("/etc/hostname",)):
        ended = modelyard("models", "import", *words, "--json")
        assert (ended.code, ended.error()["error"]) == (2, "UsageError")
        assert ended.error()["remedy"]
