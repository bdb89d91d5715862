"""From a GGUF header to what the rest of the core wants to know of a model."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from core.files.ggml import FILE_TYPES
from core.files.gguf import GgufHeader
from core.files.values import ModelInfo

_LARGEST_NUMBER = 1 << 40
_PART = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)

# llama.cpp: every n-th layer has full attention, the others the window, where the file does not tell (set_swa_pattern)
_FULL_EVERY = {
    "afmoe": 4,
    "cohere2": 4,
    "exaone4": 4,
    "exaone-moe": 4,
    "gemma-embedding": 6,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "olmo2": 4,
    "plamo3": 8,
    "smallthinker": 4,
}
# architectures whose other layers keep a constant state instead of KV, where `full_attention_interval` is not told
_RECURRENT_EVERY = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}


def split_of(name: str) -> tuple[str, int, int] | None:
    """(stem, number, count) of a file name such as `x-00001-of-00003.gguf`."""
    match = _PART.match(name)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else None


class _Keys:
    """Typed access to metadata; a value of a wrong type counts as not told."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self.arch = self.text("general.architecture")

    def text(self, key: str) -> str:
        value = self._header.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        value = self._header.metadata.get(f"{self.arch}.{key}")
        return value if type(value) is int and 0 <= value < _LARGEST_NUMBER else None

    def numbers(self, key: str) -> tuple[int, ...]:
        """A value per layer; empty when there is no such array."""
        value = self._header.metadata.get(f"{self.arch}.{key}")
        if not isinstance(value, tuple):
            return ()
        return tuple(int(one) for one in value if isinstance(one, int) and 0 <= one < _LARGEST_NUMBER)

    def largest(self, key: str) -> int | None:
        """A number, or the largest of a value per layer."""
        return max(self.numbers(key), default=self.number(key))

    def count(self, key: str) -> int | None:
        return self._header.counts.get(key)

    def has(self, key: str) -> bool:
        header = self._header
        return key in header.metadata or key in header.counts or key in header.long_strings


def describe_gguf(path: str, header: GgufHeader) -> ModelInfo:
    """What one file says; parts of a split are added by the caller."""
    keys = _Keys(header)
    heads, hidden = keys.largest("attention.head_count"), keys.number("embedding_length")
    key_dim = keys.number("attention.key_length") or (hidden // heads if hidden and heads else None)
    rank = keys.number("attention.kv_lora_rank")
    window, sliding = _sliding(keys)
    return ModelInfo(
        path=path,
        format="gguf",
        architecture=keys.arch,
        parameters=header.parameters or None,
        quantization=_quantization(header),
        context_length=keys.number("context_length"),
        weights_bytes=header.weights_bytes,
        layers=_layers(keys),
        heads=heads,
        kv_heads=keys.largest("attention.head_count_kv") or heads,
        head_dim=key_dim,
        value_dim=keys.number("attention.value_length"),
        hidden_size=hidden,
        vocab_size=keys.number("vocab_size") or keys.count("tokenizer.ggml.tokens") or header.vocabulary_rows,
        kv_lora_rank=rank,
        qk_rope_dim=keys.number("rope.dimension_count") if rank else None,
        sliding_window=window,
        sliding_layers=sliding,
        dtype=_majority(header),
        has_tokenizer=keys.has("tokenizer.ggml.tokens"),
        has_chat_template=keys.has("tokenizer.chat_template"),
        problems=_cut_off(path, header),
        extra=_extra(keys),
    )


def _layers(keys: _Keys) -> int | None:
    """Without the layers for predicting ahead, which have no cache of their own unless they are used."""
    layers = keys.number("block_count")
    return None if layers is None else max(0, layers - (keys.number("nextn_predict_layers") or 0))


def _sliding(keys: _Keys) -> tuple[int | None, int]:
    """The window and how many layers have it."""
    window, layers = keys.number("attention.sliding_window"), _layers(keys)
    pattern = keys.numbers("attention.sliding_window_pattern")
    every = keys.number("attention.sliding_window_pattern") or _FULL_EVERY.get(keys.arch)
    if not window or not layers:
        return None, 0
    if pattern:
        return window, sum(map(bool, pattern[:layers]))
    return (window, layers - layers // every) if every else (None, 0)


def _majority(header: GgufHeader) -> str:
    return max(header.type_bytes, key=header.type_bytes.__getitem__, default="")


def _quantization(header: GgufHeader) -> str:
    """The file's own word for it, unless no tensor could be meant; else the type of most bytes."""
    told = header.metadata.get("general.file_type")
    name = FILE_TYPES.get(told) if type(told) is int else None
    return name or _majority(header)


def _cut_off(path: str, header: GgufHeader) -> tuple[str, ...]:
    if not header.missing_bytes:
        return ()
    name = PurePosixPath(path).name
    return (f"{name} is truncated: the last {header.missing_bytes:,} bytes of its tensors are missing.",)


def _extra(keys: _Keys) -> dict[str, str]:
    per_layer = keys.numbers("attention.head_count_kv")
    told: dict[str, object] = {
        "name": keys.text("general.name")[:200],
        "kv_heads_per_layer": ",".join(map(str, per_layer[: _layers(keys)])),
        "attention_layers": _attention_layers(keys),
        "sliding_head_dim": keys.number("attention.key_length_swa"),
        "experts": keys.number("expert_count"),
        "adapter": keys.text("adapter.type") if keys.text("general.type") == "adapter" else "",
        "base_model": keys.text("general.base_model.0.repo_url") or keys.text("general.base_model.0.name"),
        "projector": "1" if keys.text("general.type") == "mmproj" or keys.arch == "clip" else "",
        "shared_kv_layers": keys.number("attention.shared_kv_layers"),
    }
    return {key: str(value) for key, value in told.items() if value}


def _attention_layers(keys: _Keys) -> int | None:
    """How many layers of a hybrid keep KV; None when all do, or when heads are told per layer."""
    layers = _layers(keys)
    every = keys.number("full_attention_interval") or _RECURRENT_EVERY.get(keys.arch)
    if layers and every:
        return layers // every
    return 0 if keys.arch in {"mamba", "mamba2", "rwkv6", "rwkv7"} else None
