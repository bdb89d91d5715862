"""GGUF headers: what they tell, and that no header can exhaust the reader."""

from __future__ import annotations

import struct
import time
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import FileProblem
from core.files.gguf import GgufHeader, parse_gguf
from core.files.gguf_info import describe_gguf, split_of
from core.files.headers import NeedMore
from core.files.values import ModelInfo
from tests.unit.model_files import LLAMA, TENSORS, Scalar, Tensor, array, gguf, scalar, text


def described(metadata: dict[str, Scalar | list[Scalar]], *tensors: Tensor) -> ModelInfo:
    content = gguf({**LLAMA, **metadata}, tensors or TENSORS)
    return describe_gguf("/m/x.gguf", parse_gguf(content, len(content)))


def test_what_a_file_tells() -> None:
    info = described({})
    assert info.format == "gguf"
    assert info.architecture == "llama"
    assert info.quantization == "Q4_K_M"
    assert (info.layers, info.heads, info.kv_heads, info.head_dim) == (2, 4, 2, 16)
    assert info.context_length == 2048
    assert info.parameters == 64 * 100 + 256 * 4
    assert info.weights_bytes == 64 * 100 * 2 + 4 * 144
    assert info.vocab_size == 100
    assert info.problems == ()


def test_heads_per_layer_and_other_dimensions() -> None:
    info = described(
        {
            "llama.attention.head_count_kv": [2, 0],
            "llama.attention.key_length": 128,
            "llama.attention.value_length": 96,
        }
    )
    assert (info.kv_heads, info.head_dim, info.value_dim) == (2, 128, 96)
    assert info.extra["kv_heads_per_layer"] == "2,0"


def test_latent_attention() -> None:
    info = described({"llama.attention.kv_lora_rank": 512, "llama.rope.dimension_count": 64})
    assert (info.kv_lora_rank, info.qk_rope_dim) == (512, 64)


@pytest.mark.parametrize(
    ("arch", "pattern", "sliding"),
    [
        ("gpt-oss", None, 18),
        ("gemma3", None, 30),
        ("llama", None, 0),
        ("x", [True] * 5 + [False] + [True] * 30, 35),
    ],
)
def test_sliding_windows(arch: str, pattern: list[Scalar] | None, sliding: int) -> None:
    told: dict[str, Scalar | list[Scalar]] = {
        "general.architecture": arch,
        f"{arch}.block_count": 36,
        f"{arch}.attention.sliding_window": 128,
    }
    if pattern:
        told[f"{arch}.attention.sliding_window_pattern"] = pattern
    info = described(told)
    assert info.sliding_layers == sliding
    assert info.sliding_window == (128 if sliding else None)


def test_hybrid_layers_keep_no_cache() -> None:
    told: dict[str, Scalar | list[Scalar]] = {"general.architecture": "qwen3next", "qwen3next.block_count": 48}
    assert described(told).extra["attention_layers"] == "12"


def test_tokenizer_is_seen_and_not_read() -> None:
    vocabulary: list[Scalar] = [f"token{number}" for number in range(5000)]
    info = described({"tokenizer.ggml.tokens": vocabulary, "tokenizer.chat_template": "{{ x }}" * 2000})
    assert info.has_tokenizer
    assert info.has_chat_template
    assert info.vocab_size == 5000


def test_file_type_unknown_gives_the_type_of_most_bytes() -> None:
    assert described({"general.file_type": 999}).quantization == "F16"


def test_truncated_data_is_a_problem_with_its_size() -> None:
    content = gguf(LLAMA, TENSORS)
    header = parse_gguf(content, len(content) - 1000)
    assert header.missing_bytes >= 1000 - 32
    assert "truncated" in describe_gguf("/m/x.gguf", header).problems[0]


def test_a_short_prefix_asks_for_more_until_it_is_enough() -> None:
    content = gguf({**LLAMA, "tokenizer.ggml.tokens": ["a" * 50] * 400}, TENSORS)
    have = 16
    for _ in range(10_000):
        try:
            header = parse_gguf(content[:have], len(content))
            break
        except NeedMore as more:
            assert have < more.at_least <= len(content)
            have = more.at_least
    assert header == parse_gguf(content, len(content))


def test_split_names() -> None:
    assert split_of("Model-Q4-00002-of-00003.gguf") == ("Model-Q4", 2, 3)
    assert split_of("Model-Q4.gguf") is None


def hostile() -> dict[str, bytes]:
    head = b"GGUF" + struct.pack("<I", 3)
    one_key = head + struct.pack("<QQ", 0, 1)
    one_tensor = head + struct.pack("<QQ", 1, 0) + text("t")
    far = struct.pack("<I", 1) + struct.pack("<Q", 8) + struct.pack("<I", 0)
    return {
        "49 bytes, an array of 2^61 texts": one_key + text("k") + struct.pack("<IIQ", 9, 8, 2**61),
        "2^63 tensors": head + struct.pack("<QQ", 2**63, 0),
        "2^64-1 keys": head + struct.pack("<QQ", 0, 2**64 - 1),
        "a key of 4 GB": one_key + struct.pack("<Q", 4 << 30) + bytes(64),
        "a text of 2^63 bytes": one_key + text("k") + struct.pack("<IQ", 8, 2**63) + bytes(64),
        "an array of 2^60 numbers": one_key + text("k") + struct.pack("<IIQ", 9, 4, 2**60) + bytes(64),
        "arrays in arrays": one_key + text("k") + struct.pack("<IIQ", 9, 9, 1) + array([1]),
        "a value of an unknown type": one_key + text("k") + struct.pack("<I", 77) + bytes(64),
        "alignment 0": one_key + text("general.alignment") + scalar(0),
        "alignment 3": one_key + text("general.alignment") + scalar(3),
        "4 billion dimensions": one_tensor + struct.pack("<I", 2**32 - 1) + bytes(64),
        "a shape that overflows": one_tensor + struct.pack("<IQQQIQ", 3, 2**62, 2**62, 2**62, 0, 0) + bytes(64),
        "a negative dimension": one_tensor + struct.pack("<IQIQ", 1, 2**64 - 1, 0, 0) + bytes(64),
        "a negative offset": one_tensor + far + struct.pack("<Q", 2**64 - 32) + bytes(64),
        "a far offset": one_tensor + far + struct.pack("<Q", 2**62) + bytes(64),
        "an unknown tensor type": one_tensor + struct.pack("<IQIQ", 1, 8, 4096, 0) + bytes(64),
        "a removed tensor type": one_tensor + struct.pack("<IQIQ", 1, 32, 4, 0) + bytes(64),
        "half a block": one_tensor + struct.pack("<IQIQ", 1, 33, 2, 0) + bytes(64),
        "overlapping tensors": overlapping(),
        "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        "big endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        "something else": b"PK\x03\x04" + bytes(64),
    }


def overlapping() -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", 3, 2, 0)
    for name in ("a", "b"):
        out += text(name) + struct.pack("<IQIQ", 1, 64, 0, 0)
    return out + bytes(1024)


def refused(content: bytes, size: int | None = None) -> tuple[float, int]:
    """Seconds and bytes that it takes to refuse."""
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(FileProblem) as raised:
        parse_gguf(content, len(content) if size is None else size)
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.remedy
    return seconds, peak


@pytest.mark.parametrize("name", hostile())
def test_hostile_headers_are_refused_at_once(name: str) -> None:
    content = hostile()[name]
    seconds, peak = refused(content)
    assert seconds < 0.1
    assert peak < 50 << 20


def test_the_49_byte_file() -> None:
    content = hostile()["49 bytes, an array of 2^61 texts"]
    assert len(content) == 49
    seconds, peak = refused(content)
    assert seconds < 0.01
    assert peak < 1 << 20


def test_a_huge_file_may_not_claim_a_huge_vocabulary() -> None:
    """A sparse file of a terabyte makes every length plausible: counts are limited too."""
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**33) + bytes(64)
    seconds, _ = refused(content, 1 << 40)
    assert seconds < 0.1


def outcome(content: bytes, size: int) -> GgufHeader | None:
    try:
        return parse_gguf(content, size)
    except (FileProblem, NeedMore):
        return None


@settings(max_examples=300, deadline=500, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(tail: bytes) -> None:
    outcome(b"GGUF" + struct.pack("<I", 3) + tail, 10**6)
    outcome(tail, len(tail))


@settings(max_examples=400, deadline=500)
@given(st.data())
def test_a_flipped_byte_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(gguf({**LLAMA, "tokenizer.ggml.tokens": ["a", "b"], "x": [1, 2]}, TENSORS))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 420))] = data.draw(st.integers(0, 255))
    header = outcome(bytes(content), len(content))
    if header is not None:
        info = replace(describe_gguf("/m/x.gguf", header), path="")
        assert info.weights_bytes >= 0
