"""Labels and names of servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.runtimes import labels
from core.runtimes.base import BindMount, ServerSpec

SPEC = ServerSpec(
    name="vllm-model-1",
    image="vllm/vllm-openai:v0.33.0",
    argv=("vllm", "serve", "/models/x"),
    env={"A": "1", "B": "2"},
    mounts=(BindMount(source="/srv/models", target="/models"),),
    port=8001,
)
GIVEN = {"deployment": "d", "model": "m", "served_name": "tiny", "engine": "vllm", "owner": "ada"}


def test_labels_read_back() -> None:
    made = labels.make_labels(**GIVEN, spec=SPEC)
    assert made["modelyard.managed"] == "1"
    assert made["modelyard.served-name"] == "tiny"
    assert labels.read_labels(made) == labels.Identity(**GIVEN, spec=labels.spec_hash(SPEC))


@pytest.mark.parametrize("foreign", [{}, {"modelyard.model": "m"}, {"modelyard.managed": "0"}])
def test_nothing_else_is_ours(foreign: dict[str, str]) -> None:
    assert labels.read_labels(foreign) is None
    assert not labels.is_managed(foreign)


def test_hash_says_what_was_asked_not_where() -> None:
    known = labels.spec_hash(SPEC)
    assert len(known) == 16
    assert labels.spec_hash(replace(SPEC, port=9000, labels={"x": "y"})) == known
    assert labels.spec_hash(replace(SPEC, env={"B": "2", "A": "1"})) == known
    changed = [
        replace(SPEC, argv=(*SPEC.argv, "--dtype", "half")),
        replace(SPEC, gpus=("GPU-1",)),
        replace(SPEC, image="vllm/vllm-openai:v0.32.0"),
        replace(SPEC, bind="0.0.0.0"),
    ]
    assert len({known, *map(labels.spec_hash, changed)}) == 5


def test_names() -> None:
    assert labels.container_name("llamacpp", "3f2a") == "llamacpp-model-3f2a"
    assert labels.parse_container_name("/llamacpp-model-3f2a") == ("llamacpp", "3f2a")
    assert labels.parse_container_name("nginx") is None
    assert labels.parse_container_name("vllm-model-") is None
