"""A training job's output by command (P18, N1, N2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import done, modelyard
from tests.unit.test_training import ADAPTER, UUID, WEIGHTS, state, write


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Two checkpoints, the first the better one."""
    folder = tmp_path / "support-bot"
    card = {"README.md": "---\nbase_model: Qwen/Qwen3-8B\ntags: [sft]\n---\n"}
    write(folder, card)
    for step in (100, 200):
        write(folder / f"checkpoint-{step}", {**WEIGHTS, **state(step, 200, "/gpu/out/checkpoint-100")})
    return folder


def test_a_training_folder_becomes_a_model(job: Path) -> None:
    """P18, N1, N2: the base model is the readable id; path, job and method are kept as metadata."""
    added = done("models", "add-training", str(job), "--json").json()
    assert (added["name"], added["model_id"], added["provider"]) == ("support-bot", "Qwen/Qwen3-8B", "vllm")
    best = str(job / "checkpoint-100")
    assert (added["path"], added["host"]) == (best, "local")
    assert added["metadata"] == {
        "model_path": best,
        "checkpoint_path": best,
        "base_model": "Qwen/Qwen3-8B",
        "training_method": "sft-full",
        "display_name": "support-bot",
    }
    assert added["training"]["progress"] == "finished"
    again = done("models", "add-training", str(job), "--checkpoint", "checkpoint-200", "--json").json()
    assert (again["name"], again["path"]) == ("support-bot 2", str(job / "checkpoint-200"))


def test_it_can_be_looked_at_first(job: Path) -> None:
    shown = done("models", "add-training", str(job), "--look")
    assert "Qwen/Qwen3-8B (from README.md)" in shown.out
    assert "finished at step 200 of 200" in shown.out
    assert modelyard("models", "add-training", str(job), "--checkpoint", "nine", "--json").code == 2
    assert done("models", "list", "--json").json()["models"] == []


def test_an_id_is_never_a_path_or_a_uuid(tmp_path: Path) -> None:
    """N1, N2."""
    folder = write(tmp_path / "house" / UUID / "checkpoint-3", WEIGHTS)
    added = done("models", "add-training", str(folder.parent), "--json").json()
    assert (added["model_id"], added["name"]) == ("house", "house")
    assert added["metadata"]["training_job_id"] == UUID


def test_an_adapter_alone_is_registered_but_not_deployed(tmp_path: Path) -> None:
    """P18: what is needed to deploy it is said."""
    folder = write(tmp_path / "tuned", ADAPTER)
    ended = modelyard("models", "add-training", str(folder), "--deploy", "--yes", "--json")
    assert ended.code == 3
    added = json.loads(ended.out.splitlines()[0])["model"]
    assert (added["model_id"], added["metadata"]["adapter"]) == ("Qwen/Qwen3-8B", "lora")
    assert "adapter alone" in ended.err + ended.out
    assert "Merge it" in ended.err + ended.out


def test_registered_and_deployed_in_one_go(smollm2: Path, tmp_path: Path) -> None:
    """P18, N2: with a real engine; server and time of the deploy are kept."""
    folder = write(tmp_path / "tiny", {"args.json": {"model": "HuggingFaceTB/SmolLM2-135M-Instruct"}})
    (folder / "tiny.gguf").symlink_to(smollm2)
    ended = done("models", "add-training", str(folder), "--deploy", "--yes", "--max-model-len", "512", "--json")
    events = [json.loads(line) for line in ended.out.splitlines()]
    try:
        assert events[0]["model"]["model_id"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert events[-1]["server"]["status"] == "running"
        shown = done("models", "show", "tiny", "--json").json()
        assert (shown["status"], shown["metadata"]["server_id"]) == ("running", shown["server_id"])
        assert shown["metadata"]["deployed_at"] >= shown["created_at"]
    finally:
        done("stop", "tiny", "--json")
