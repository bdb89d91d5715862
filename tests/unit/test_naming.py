"""What a person reads as a model's id (N1)."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.naming import FALLBACK, is_hugging_face_id, readable_id, served_name

UUID = "550e8400-e29b-41d4-a716-446655440000"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        ({"base_model": "meta-llama/Llama-3.1-8B", "path": "/x/out"}, "meta-llama/Llama-3.1-8B"),
        ({"hugging_face_id": "Qwen/Qwen3-8B", "path": "/x/out"}, "Qwen/Qwen3-8B"),
        ({"path": "/data/runs/my-finetune/checkpoint-500"}, "my-finetune"),
        ({"path": "/data/runs/my-finetune/checkpoint-500/"}, "my-finetune"),
        ({"path": "/data/runs/my-finetune/checkpoint-best/checkpoint-500"}, "my-finetune"),
        ({"path": "/models/SmolLM2-135M.Q4_1.gguf"}, "SmolLM2-135M.Q4_1"),
        ({"path": "/models/big-00001-of-00004.gguf"}, "big"),
        ({"path": f"/models/{uuid.UUID(int=7)}"}, "models"),
        ({"path": f"/models/tuned/{UUID}/checkpoint-9"}, "tuned"),
        ({"path": f"/models/tuned/{UUID.replace('-', '').upper()}"}, "tuned"),
        ({"path": "/checkpoint-1"}, FALLBACK),
        ({"path": ""}, FALLBACK),
        ({"path": "C:\\runs\\tuned\\checkpoint-7"}, "tuned"),
        ({"path": "C:\\"}, FALLBACK),
        ({"base_model": "/srv/models/Llama-3/", "path": "/y"}, "Llama-3"),
        ({"base_model": "runs/tuned/checkpoint-4", "path": "/y"}, "tuned"),
        ({"base_model": "tuned/checkpoint-4", "path": "/y"}, "tuned"),
        ({"base_model": f"jobs/{UUID}", "path": "/y"}, "jobs"),
        ({"base_model": f"/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/{COMMIT}"}, "Qwen/Qwen3-8B"),
        ({"path": f"/hub/models--Qwen--Qwen3-8B/snapshots/{COMMIT}"}, "Qwen/Qwen3-8B"),
        ({"path": f"/exports/{COMMIT}"}, "exports"),
        ({"base_model": "./", "path": "../.."}, FALLBACK),
    ],
)
def test_readable_id(given_names: dict[str, str], expected: str) -> None:
    """N1: the base model, else the Hugging Face id, else the last part that isn't a checkpoint."""
    assert readable_id(**given_names) == expected


parts = st.one_of(
    st.text(max_size=20),
    st.uuids().map(str),
    st.uuids().map(lambda one: one.hex),
    st.integers(0, 9999).map(lambda step: f"checkpoint-{step}"),
    st.sampled_from(["..", ".", "~", "C:", "models--a--b", "snapshots", "runs"]),
)
paths = st.lists(parts, max_size=5).flatmap(
    lambda some: st.sampled_from(["/", "\\", "//"]).map(lambda by: by.join(some))
)


@given(base_model=paths, hugging_face_id=paths, path=paths.map(lambda one: f"/{one}"))
def test_never_a_path_or_a_uuid(base_model: str, hugging_face_id: str, path: str) -> None:
    """N1: whatever a trainer wrote."""
    found = readable_id(base_model=base_model, hugging_face_id=hugging_face_id, path=path)
    assert found.strip()
    assert not found.startswith(("/", "~", "\\"))
    assert "/" not in found or is_hugging_face_id(found)
    assert "\\" not in found
    assert not re.fullmatch(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", found, re.IGNORECASE)
    assert not re.fullmatch(r"checkpoint-\d+", found)


@given(org=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True), path=paths)
def test_the_base_model_is_what_is_read_when_it_is_known(org: str, path: str) -> None:
    assert readable_id(base_model=f"{org}/Model-7B", hugging_face_id="x/y", path=path) == f"{org}/Model-7B"


def test_served_names_suit_clients() -> None:
    assert served_name("My model (v2)") == "My-model-v2"
    assert served_name("org/name:tag") == "org/name:tag"
    assert served_name("模型") == FALLBACK
