"""A training job's output on a host behind SSH: looked at, registered, deployed there (P18)."""

from __future__ import annotations

import shutil

import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.program import modelyard
from tests.fleet.test_main_job import add_host
from tests.unit.test_training import WEIGHTS, state, write

pytestmark = pytest.mark.timeout(300)


def test_training_output_on_a_host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> None:
    """P18: over the host's connection only names and small files are read; the deploy goes to that host."""
    host = clean_hosts.hosts[0]
    add_host(host)
    job = host.models_folder / "tiny tune"
    try:
        card = {"README.md": "---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n---\n"}
        write(job, card)
        write(job / "checkpoint-10", {**WEIGHTS, **state(10, 20)})
        shutil.copyfile(host.here(remote_model), job / "merged.gguf")
        words = ("models", "add-training", f"{host.models_dir}/tiny tune", "--on", host.name)
        added, *rest = modelyard(*words, "--deploy", "--max-model-len", "1024", "--yes", "--json").events
        model = added["model"]
        assert (model["name"], model["host"], model["provider"]) == ("tiny tune", host.name, "llamacpp")
        assert model["model_id"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert [one["name"] for one in model["training"]["outputs"]] == [".", "checkpoint-10"]
        assert (rest[-1]["server"]["status"], rest[-1]["server"]["host"]) == ("running", host.name)
        (route,) = modelyard("routes", "list", "--json").document["routes"]
        assert (route["served_name"], route["health"]) == ("tiny-tune", "up")
        assert modelyard("stop", "tiny tune").code == 0
    finally:
        shutil.rmtree(job, ignore_errors=True)
