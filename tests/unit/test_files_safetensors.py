"""safetensors headers: what they tell, and that no header can exhaust the reader."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import FileProblem
from core.files.headers import NeedMore
from core.files.safetensors import parse_safetensors
from tests.unit.model_files import safetensors

TWO = {"a.weight": ("BF16", [4, 8], 64), "b.weight": ("F32", [2], 8)}


def with_header(raw: bytes, data: int = 0) -> bytes:
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def test_what_a_file_tells() -> None:
    content = safetensors(TWO, metadata={"format": "pt", "ss": 'with "quotes" and } braces \\ and {'})
    header = parse_safetensors(content, len(content))
    assert header.tensors == 2
    assert header.weights_bytes == 72
    assert header.values == {"BF16": 32, "F32": 2}
    assert header.metadata == {"format": "pt"}
    assert header.missing_bytes == 0


def test_padding_spaces_and_no_tensors() -> None:
    for raw in (b"{}   ", b"{ }", b'{"__metadata__":{}}', b'{ "__metadata__" : { "a" : "b" } }  '):
        content = with_header(raw)
        assert parse_safetensors(content, len(content)).tensors == 0


def test_half_bytes_count() -> None:
    content = safetensors({"w": ("F4", [3, 2], 3), "s": ("F8_E8M0", [5], 5)})
    assert parse_safetensors(content, len(content)).weights_bytes == 8


def test_truncated_data_is_told() -> None:
    content = safetensors(TWO)
    assert parse_safetensors(content[:-10], len(content) - 10).missing_bytes == 10


def test_a_short_prefix_asks_for_exactly_the_header() -> None:
    content = safetensors(TWO)
    with pytest.raises(NeedMore) as more:
        parse_safetensors(content[:20], len(content))
    assert parse_safetensors(content[: more.value.at_least], len(content)).tensors == 2


def entry(**changes: object) -> bytes:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return with_header(json.dumps({"t": one}).encode(), 8)


def hostile() -> dict[str, bytes]:
    other = {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}
    mine = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    far = {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}
    return {
        "negative offsets": entry(data_offsets=[-8, 0]),
        "offsets that overflow": entry(data_offsets=[0, 2**64]),
        "offsets in the wrong order": entry(data_offsets=[8, 0]),
        "a fraction": entry(data_offsets=[0, 8.0]),
        "a boolean": entry(shape=[True, 2]),
        "three offsets": entry(data_offsets=[0, 8, 9]),
        "a shape that overflows": entry(shape=[2**62, 2**62]),
        "another size than the shape's": entry(shape=[3]),
        "an unknown type": entry(dtype="F1024"),
        "a type that is no text": entry(dtype=[]),
        "no type": with_header(b'{"t":{"shape":[2],"data_offsets":[0,8]}}', 8),
        "overlapping tensors": with_header(json.dumps({"a": mine, "b": other}).encode(), 16),
        "a hole": with_header(json.dumps({"a": mine, "b": far}).encode(), 24),
        "deep JSON": with_header(b'{"t":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "deep JSON in an entry": with_header(b'{"t":{"dtype":' + b"[" * 900 + b"}}"),
        "no map": with_header(b"[1, 2]"),
        "cut JSON": with_header(b'{"t":{"dtype":"F32"'),
        "metadata that are no texts": with_header(b'{"__metadata__":{"a":{"b":"c"}}}'),
        "something after it": with_header(b'{"__metadata__":{}} x'),
        "no UTF-8": with_header(b'{"\xff\xfe":{}}'),
        "a length of 2^63": struct.pack("<Q", 2**63) + b"{" + bytes(64),
        "an empty file": b"",
        "a text": b"<!DOCTYPE html><html>",
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_headers_are_refused_at_once(name: str) -> None:
    content = hostile()[name]
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(FileProblem) as raised:
        parse_safetensors(content, len(content))
    seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.remedy
    assert seconds < 0.1
    assert peak < 50 << 20


def test_a_header_of_89_mb_is_refused_unread() -> None:
    """It costs the reference reader seconds and a gigabyte; here nine bytes decide."""
    prefix = struct.pack("<Q", 89 << 20) + b"{"
    started = time.perf_counter()
    with pytest.raises(FileProblem, match="93,323,264"):
        parse_safetensors(prefix, 200 << 20)
    assert time.perf_counter() - started < 0.01


def test_the_largest_header_that_is_read_costs_little_memory() -> None:
    """As much JSON as is read at all, made of the smallest entries: refused by their number."""
    raw = b"{" + b",".join([b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'] * 100_000) + b"}"
    content = with_header(raw)
    tracemalloc.start()
    with pytest.raises(FileProblem):
        parse_safetensors(content, len(content))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


@settings(max_examples=300, deadline=500)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for content in (raw, with_header(raw), with_header(b"{" + raw + b"}")):
        try:
            parse_safetensors(content, len(content))
        except (FileProblem, NeedMore):
            continue


@settings(max_examples=300, deadline=500)
@given(st.dictionaries(st.text(max_size=20), st.integers(0, 5), max_size=6), st.text(max_size=40))
def test_any_names_round_trip(shapes: dict[str, int], note: str) -> None:
    shapes.pop("__metadata__", None)
    content = safetensors({n: ("F16", [size, 3], size * 6) for n, size in shapes.items()}, metadata={"note": note})
    header = parse_safetensors(content, len(content))
    assert header.tensors == len(shapes)
    assert header.weights_bytes == 6 * sum(shapes.values())
