"""What a person reads as a model's id (N1)."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.naming import FALLBACK, readable_id, served_name


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        ({"base_model": "meta-llama/Llama-3.1-8B", "path": "/x/out"}, "meta-llama/Llama-3.1-8B"),
        ({"hugging_face_id": "Qwen/Qwen3-8B", "path": "/x/out"}, "Qwen/Qwen3-8B"),
        ({"path": "/data/runs/my-finetune/checkpoint-500"}, "my-finetune"),
        ({"path": "/models/SmolLM2-135M.Q4_1.gguf"}, "SmolLM2-135M.Q4_1"),
        ({"path": "/models/big-00001-of-00004.gguf"}, "big"),
        ({"path": f"/models/{uuid.UUID(int=7)}"}, "models"),
        ({"path": "/checkpoint-1"}, FALLBACK),
        ({"path": ""}, FALLBACK),
        ({"base_model": "/srv/models/Llama-3/", "path": "/y"}, "Llama-3"),
    ],
)
def test_readable_id(given_names: dict[str, str], expected: str) -> None:
    assert readable_id(**given_names) == expected


@given(st.text(max_size=60))
def test_never_a_path_or_uuid(path: str) -> None:
    found = readable_id(path=f"/{path}/checkpoint-3")
    assert found
    assert not found.startswith("/")
    assert not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found)


def test_served_names_suit_clients() -> None:
    assert served_name("My model (v2)") == "My-model-v2"
    assert served_name("org/name:tag") == "org/name:tag"
    assert served_name("模型") == FALLBACK
