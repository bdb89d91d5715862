"""What a Hugging Face `config.json` says of a model; nothing of the model's own code is run or needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import FileProblem

LARGEST = 1 << 20
_LARGEST_NUMBER = 1 << 40

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_ATTENTION = {"full_attention", "attention", "sliding_attention", "chunked_attention", "*"}
_SLIDING = {"sliding_attention", "chunked_attention"}


@dataclass(frozen=True, kw_only=True)
class HfConfig:
    """The fields of `ModelInfo` that a configuration tells, under the same names."""

    architecture: str = ""
    context_length: int | None = None
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    value_dim: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None
    kv_lora_rank: int | None = None
    qk_rope_dim: int | None = None
    sliding_window: int | None = None
    sliding_layers: int = 0
    dtype: str = ""
    quantization: str = ""
    needs_remote_code: bool = False
    extra: dict[str, str] = field(default_factory=dict)


def parse_json(raw: bytes, name: str) -> dict[str, Any]:
    """A small JSON document that must be a map.

    Raises:
        FileProblem: it is none.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FileProblem(
            f"{name} is no JSON: {error}",
            cause="It is damaged or was not copied completely.",
            remedy="Copy or download the file again.",
        ) from error
    if not isinstance(document, dict):
        raise FileProblem(f"{name} is no JSON object.", remedy="Copy or download the file again.")
    return document


class _Fields:
    """Typed access; a value of a wrong type counts as not told."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def number(self, *names: str) -> int | None:
        for name in names:
            value = self.values.get(name)
            if type(value) is int and 0 <= value < _LARGEST_NUMBER:
                return value
        return None

    def text(self, *names: str) -> str:
        found = (self.values.get(name) for name in names)
        return next((value for value in found if isinstance(value, str)), "")

    def words(self, *names: str) -> list[str]:
        found = (self.values.get(name) for name in names)
        return next(([str(word) for word in value] for value in found if isinstance(value, list)), [])

    def part(self, *names: str) -> Mapping[str, Any]:
        found = (self.values.get(name) for name in names)
        return next((value for value in found if isinstance(value, dict)), {})


def describe_config(document: Mapping[str, Any]) -> HfConfig:
    """Read a whole `config.json`; of a multimodal model the text part counts."""
    whole = _Fields(document)
    text = _Fields(_text_part(whole))
    heads, hidden = text.number(*_HEADS), text.number(*_HIDDEN)
    layers, rank = text.number(*_LAYERS), text.number("kv_lora_rank")
    window, sliding = _sliding(text, layers or 0)
    quantization = whole.part("quantization_config") or text.part("quantization_config")
    return HfConfig(
        architecture=(whole.words("architectures") or text.words("architectures") or [whole.text("model_type")])[0],
        context_length=_context(text),
        layers=layers,
        heads=heads,
        kv_heads=text.number(*_KV_HEADS) or (1 if text.values.get("multi_query") is True else heads),
        head_dim=text.number("head_dim") or _mla_dim(text) or (hidden // heads if hidden and heads else None),
        value_dim=text.number("v_head_dim"),
        hidden_size=hidden,
        vocab_size=text.number("vocab_size") or whole.number("vocab_size"),
        kv_lora_rank=rank or None,
        qk_rope_dim=text.number("qk_rope_head_dim") if rank else None,
        sliding_window=window,
        sliding_layers=sliding,
        dtype=text.text("torch_dtype", "dtype") or whole.text("torch_dtype", "dtype"),
        quantization=_quantization(quantization),
        needs_remote_code=bool(whole.part("auto_map") or text.part("auto_map")),
        extra=_extra(text, quantization, layers or 0),
    )


def _text_part(whole: _Fields) -> Mapping[str, Any]:
    part = whole.part(*_TEXT_PARTS)
    inner = _Fields(part).part("text_config")  # Qwen omni models nest it twice
    return inner or part or whole.values


def _mla_dim(text: _Fields) -> int | None:
    nope, rope = text.number("qk_nope_head_dim"), text.number("qk_rope_head_dim")
    return nope + rope if nope is not None and rope is not None else None


def _context(text: _Fields) -> int | None:
    """As vLLM derives it: scaling counts, unless the type keeps the length that is written."""
    length = text.number(*_CONTEXT)
    scaling = _Fields(text.part("rope_scaling", "rope_parameters"))
    factor, kind = scaling.values.get("factor"), scaling.text("rope_type", "type")
    if length is None or type(factor) not in {int, float} or not kind or not 0 < float(factor or 0) < 1e4:
        return length
    if kind in {"default", "mrope", "longrope", "su", "llama3"}:
        return length
    if kind == "yarn":
        length = scaling.number("original_max_position_embeddings") or length
    return int(length * float(factor or 1))


def _kinds(text: _Fields) -> list[str]:
    """The kind of each layer, as far as it is told."""
    pattern = text.text("hybrid_override_pattern")
    return text.words("layer_types", "layers_block_type") or list(pattern)


def _sliding(text: _Fields, layers: int) -> tuple[int | None, int]:
    window = text.number("sliding_window", "attention_chunk_size")
    if not window or text.values.get("use_sliding_window") is False:
        return None, 0
    if kinds := _kinds(text):
        count = sum(kind in _SLIDING for kind in kinds)
        return (window, count) if count else (None, 0)
    every = text.number("sliding_window_pattern", "_sliding_window_pattern")
    if every:
        return window, layers - layers // every
    if text.text("model_type") == "gemma2":
        return window, layers - layers // 2
    if text.values.get("use_sliding_window") is True:  # Qwen2: only the layers from max_window_layers on
        return window, max(0, layers - (text.number("max_window_layers") or 0))
    return window, layers


def _quantization(config: Mapping[str, Any]) -> str:
    """vLLM's word for it, such as awq, gptq, fp8, compressed-tensors, mxfp4; empty when there is none."""
    values = _Fields(config)
    method = values.text("quant_method").lower()
    algorithm = values.text("quant_algo").upper()
    if method == "modelopt" or (not method and algorithm):
        return "modelopt_fp4" if "FP4" in algorithm else "modelopt"
    return method


def _extra(text: _Fields, quantization: Mapping[str, Any], layers: int) -> dict[str, str]:
    told: dict[str, object] = {
        "attention_layers": _attention_layers(text, layers),
        "quantization_bits": _Fields(quantization).number("bits", "w_bit"),
        "experts": text.number("num_experts", "num_local_experts", "n_routed_experts"),
        "sliding_head_dim": text.number("swa_head_dim"),
    }
    return {key: str(value) for key, value in told.items() if value is not None}


def _attention_layers(text: _Fields, layers: int) -> int | None:
    """How many layers of a hybrid keep KV; None when all do."""
    kinds = _kinds(text)
    if kinds:
        attending = sum(kind in _ATTENTION for kind in kinds)
        return None if attending == len(kinds) else attending
    every = text.number("full_attention_interval")
    return layers // every if every else None
