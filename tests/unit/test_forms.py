"""The rules of the fields of models, heads and regions (P4, R1 to R3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.registry.checks import JsonFault, check_key_name, check_url, json_text, read_object
from core.registry.forms import HEAD_FIELDS, MODEL_FIELDS, REGION_FIELDS, FieldSpec, check_fields, check_model

GOOD: dict[str, object] = {"name": "m", "provider": "vllm", "model_id": "org/m"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
_STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029]")


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
        ("local_inference", ["no", 0], [True, False]),
        ("provider", ["acme"], ["ollama"]),
        ("tags", ["a", [1], [""], ["a\x00"]], [["a"], ["a b", "ü"], []]),
        ("extra", ["x", [1], {"a": float("nan")}, {"a": {1, 2}}], [{"a": 1}, None]),
        ("flags", ["x"], [{"enforce-eager": ""}]),
        ("path", ["a\x00b", 5, "\ud800"], ["/a"]),
        ("region", ["US", "a b", "x" * 33, "-a", 5], ["us", "us-east-1", ""]),
        ("head", [5], ["main", ""]),
        ("api_key_ref", ["two words", "sk-proj-0123456789abcdefghij", 5], ["openai", "TEAM_KEY", ""]),
        ("colour", ["red"], []),
    ],
)
def test_ranges_and_kinds(name: str, bad: list[object], good: list[object]) -> None:
    for value in bad:
        assert name in check_model({name: value}, partial=True), value
    for value in good:
        assert check_model({name: value}, partial=True) == {}, value


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "https://[::1]:8000/v1", "https://a.example/x?api-version=2024-10-21", ""]
)
def test_addresses_that_are_fine(url: str) -> None:
    assert check_model({"endpoint": url}, partial=True) == {}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8000", "http://"),
        ("ftp://host", "http://"),
        ("http://", "not valid"),
        ("http://host:port", "not valid"),
        ("http://host:0/v1", "not valid"),
        ("http://host:99999", "not valid"),
        ("http://[::1", "not valid"),
        ("http://a b", "spaces"),
        ("http://host/\x1b[2J", "control"),
        ("https://user:secret@host", "user or password"),
        ("https://host/v1?api_key=abc", "api_key"),
        ("https://host/v1?key=abc", "key"),
    ],
)
def test_addresses_that_are_not(url: str, told: str) -> None:
    assert told in check_url(url)
    assert "secret@" not in check_url(url)


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://localhost:1", True), ("http://127.3.4.5", True), ("http://[::1]:80/v1", True), ("", True),
     ("http://far:1", False), ("http://127.0.0.1.example", False), ("http://10.0.0.1", False)],
)  # fmt: skip
def test_local_inference_takes_an_address_of_this_machine(url: str, here: bool) -> None:
    """R3: prompts of such a model never leave the machine."""
    both = {"endpoint": url, "local_inference": True}
    assert (check_model(both, partial=True) == {}) is here
    assert check_model({**both, "local_inference": False}, partial=True) == {}


def test_a_key_in_place_of_its_name_is_not_repeated() -> None:
    """P8: what looks like a key is refused, and the message does not hold it."""
    key = "hf_abcdefghijklmnopqrstuvwxyz"
    problem = check_key_name(key)
    assert "modelyard keys set" in problem
    assert key not in problem
    assert "api_key" in check_model({"extra": {"a": [{"api_key": "x"}]}}, partial=True)["extra"]
    assert "hf-token" in check_model({"flags": {"hf-token": "x"}}, partial=True)["flags"]
    assert check_model({"extra": {"eos_token": "</s>", "max_tokens": 5, "api_key_ref": "n"}}, partial=True) == {}


@pytest.mark.parametrize("fields", [MODEL_FIELDS, HEAD_FIELDS, REGION_FIELDS])
def test_what_a_form_says_of_a_field_fits_eighty_columns(fields: Mapping[str, FieldSpec]) -> None:
    """P4: label, help, range and default stand on one line below the fields."""
    for spec in fields.values():
        assert len(f"{spec.label}: {spec.sentence}") <= 74, spec.name


def test_heads_and_regions() -> None:
    """R1, R2: the same rules for the other records."""
    assert check_fields(HEAD_FIELDS, {"name": "h", "url": "https://h/v1", "region": "eu"}) == {}
    assert set(check_fields(HEAD_FIELDS, {"region": "E U"})) == {"name", "url", "region"}
    assert check_fields(REGION_FIELDS, {"id": "us-east-1", "name": "Virginia"}) == {}
    assert set(check_fields(REGION_FIELDS, {"id": "US"})) == {"id", "name"}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("{", 1, 2),
        ('{"a": 1,}', 1, 9),
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3),
        ('{"a": tru}', 1, 7),
        ('{"a": 1} x', 1, 10),
        ("  [1]", 1, 3),
        ('{"a": NaN}', 0, 0),
        ('{"a": 1, "a": 2}', 0, 0),
        ("[" * 100_000, 0, 0),
    ],
)
def test_the_place_of_a_fault_in_json(text: str, line: int, column: int) -> None:
    """R3: a syntax check that names line and column."""
    with pytest.raises(JsonFault) as fault:
        read_object(text)
    assert (fault.value.line, fault.value.column) == (line, column)
    assert str(fault.value).startswith(f"Line {line}, column {column}: ") == bool(line)


@given(OBJECTS)
@settings(max_examples=150, deadline=None)
def test_json_is_shown_harmlessly_and_read_back_exactly(value: dict[str, Any]) -> None:
    text = json_text(value)
    assert read_object(text) == value
    assert not _STEERS.search(text)


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_reading_json_gives_an_object_or_a_fault_within_the_text(text: str) -> None:
    try:
        value = read_object(text)
    except JsonFault as fault:
        lines = text.split("\n")
        assert 0 <= fault.line <= len(lines)
        assert fault.line == 0 or 1 <= fault.column <= len(lines[fault.line - 1]) + 1
    else:
        assert value == (json.loads(text) if text.strip() else {})


@given(st.sampled_from(sorted(MODEL_FIELDS)), ANYTHING)
@settings(max_examples=300, deadline=None)
def test_any_value_is_either_fine_or_told_in_one_harmless_line(name: str, value: object) -> None:
    problems = check_model({name: value}, partial=True)
    assert set(problems) <= {name}
    for problem in problems.values():
        assert problem
        assert not _STEERS.search(problem)


@given(st.dictionaries(st.sampled_from(sorted(MODEL_FIELDS)), ANYTHING, max_size=5))
@settings(max_examples=150, deadline=None)
def test_an_edit_is_checked_like_the_whole(values: dict[str, Any]) -> None:
    """What an edit refuses, adding refuses too: one place for the rules."""
    whole = check_model(values)
    assert check_model(values, partial=True).items() <= whole.items()
    assert {name for name, text in whole.items() if text == "Required."} >= {
        name for name, spec in MODEL_FIELDS.items() if spec.required and name not in values
    }
