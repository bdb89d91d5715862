"""What a server on a remote host counts arrives here, over the same SSH connection (N3)."""

from __future__ import annotations

import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.program import modelyard
from tests.fleet.test_main_job import add_host, add_model

pytestmark = pytest.mark.timeout(300)


def test_counters_of_a_remote_server(clean_hosts: Fleet, llama_image: str, remote_model: str) -> None:
    """In a container with an API key; what was asked from here is in both sources and counts once."""
    host = clean_hosts.hosts[0]
    add_host(host)
    add_model(host, remote_model)
    modelyard("deploy", "smol", "--host", host.name, "--max-model-len", "512", "--wait")
    for _ in range(2):
        modelyard("chat", "smol", "Say hello.", "--max-tokens", "6", "--temperature", "0")
        (row,) = modelyard("analytics", "show", "--by", "server", "--json").document["rows"]
    assert (row["host"], row["requests"], row["asked"]["requests"]) == (host.name, 2, 2)
    assert row["counted"]["completion_tokens"] == row["completion_tokens"] == row["asked"]["completion_tokens"]
    assert row["counted"]["prompt_tokens"] == row["prompt_tokens"] == row["asked"]["prompt_tokens"] > 0
    modelyard("stop", "smol")
    (row,) = modelyard("analytics", "show", "--by", "server", "--json").document["rows"]
    assert row["counted"]["prompt_tokens"] == row["prompt_tokens"]
