"""The rules of a model's fields (P4)."""

from __future__ import annotations

import pytest

from core.registry.forms import check_model

GOOD: dict[str, object] = {"name": "m", "provider": "vllm", "model_id": "org/m"}


def test_required_fields_are_enough() -> None:
    assert check_model(GOOD) == {}


@pytest.mark.parametrize("name", ["name", "provider", "model_id"])
def test_a_missing_required_field_is_named(name: str) -> None:
    assert check_model({key: value for key, value in GOOD.items() if key != name}) == {name: "Required."}
    assert check_model({**GOOD, name: " "}) == {name: "Required."}


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("context_length", [0, -1, 1.5, "8", True], [1, 131_072]),
        ("max_output_tokens", [0], [1]),
        ("default_temperature", [-0.1, 2.1, float("nan")], [0.0, 2.0, 1]),
        ("default_top_p", [-0.1, 1.1], [0.0, 1.0]),
        ("supports_tools", ["yes", 1], [True, False]),
        ("provider", ["acme"], ["ollama"]),
        ("tags", ["a", [1]], [["a"]]),
        ("extra", ["x", [1]], [{"a": 1}, None]),
        ("path", ["a\x00b", 5], ["/a"]),
        ("colour", ["red"], []),
    ],
)
def test_ranges_and_kinds(name: str, bad: list[object], good: list[object]) -> None:
    for value in bad:
        assert name in check_model({name: value}, partial=True), value
    for value in good:
        assert check_model({name: value}, partial=True) == {}, value
