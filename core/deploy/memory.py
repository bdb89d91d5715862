"""How much memory a server will need, from the model's headers; a range, because engines differ by release.

Sources: vLLM 0.33's and llama.cpp b10434's own accounting. Bytes everywhere; sums are over all GPUs together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.deploy.values import MemoryEstimate
from core.engines import engine_named
from core.files.ggml import CACHE_TYPES
from core.files.inspect import ModelInfo
from core.registry.values import DeployOptions, EngineName

_MIB, _GIB = 1 << 20, 1 << 30
_CELLS = 256  # llama.cpp pads a cache to these
_BLOCK = 16  # tokens of a block in vLLM
_AUTO_SLOTS = 4  # llama.cpp without --parallel: four slots that share one cache
_BATCH, _LARGE_BATCH = 2048, 8192  # vLLM's batched tokens below and above 70 GiB of a GPU
_SEQUENCES, _MANY_SEQUENCES = 256, 1024
_DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
_REPACKED = ("mxfp4", "nvfp4", "modelopt_fp4")  # take up to a tenth more than in the file once loaded
_MLA_FP8 = 656 / 576  # bytes per value of fp8_ds_mla, scales and the unquantized part included


def estimate(
    info: ModelInfo, engine: EngineName, options: DeployOptions, *, context: int, gpu_count: int
) -> MemoryEstimate:
    """What a server needs for `context` tokens per request on `gpu_count` GPUs (0: in the host's memory).

    Of vLLM it is the least with which it starts: it takes all of its share of a GPU and uses the rest as cache.
    """
    needs = _vllm(info, options, context) if engine is EngineName.VLLM else _llamacpp(info, options, context, gpu_count)
    return MemoryEstimate(
        weights=needs.weights,
        kv_cache=needs.kv,
        overhead=needs.overhead,
        total=needs.weights + needs.kv + needs.overhead,
        low=needs.low,
        high=needs.high,
        kv_bytes_per_token=needs.kv_per_token,
        context=context,
        sequences=needs.sequences,
    )


def needed_per_gpu(needs: MemoryEstimate, engine: EngineName, *, gpu_count: int, layers: int | None) -> int:
    """Bytes on the fullest of the GPUs: vLLM splits evenly, llama.cpp gives whole layers."""
    count = max(1, gpu_count)
    share = math.ceil(layers / count) / layers if layers and engine is EngineName.LLAMACPP else 1 / count
    return math.ceil((needs.weights + needs.kv_cache) * share + needs.overhead / count)


@dataclass(frozen=True, kw_only=True)
class _Needs:
    weights: int
    kv: int
    kv_per_token: int
    overhead: int
    low: int
    high: int
    sequences: int


@dataclass(frozen=True, kw_only=True)
class _Cache:
    """Bytes of one token in all layers that keep everything, and in all that keep only a window."""

    full: float
    sliding: float


# --- the cache of a model ------------------------------------------------------------------------------------------


def _cache(info: ModelInfo, *, key_bytes: float, value_bytes: float, ranks: int = 1) -> _Cache:
    """Per token over `ranks` GPUs of tensor parallelism, which repeat what can't be split."""
    if info.kv_lora_rank:
        latent = info.kv_lora_rank + (info.qk_rope_dim or 0)
        return _Cache(full=(info.layers or 0) * latent * key_bytes * ranks, sliding=0.0)
    full_heads, sliding_heads = _heads(info, ranks)
    keys = info.head_dim or 0
    values = info.value_dim or keys
    window_keys = int(info.extra.get("sliding_head_dim", 0)) or keys
    window_values = window_keys if "sliding_head_dim" in info.extra else values
    return _Cache(
        full=full_heads * (keys * key_bytes + values * value_bytes),
        sliding=sliding_heads * (window_keys * key_bytes + window_values * value_bytes),
    )


def _heads(info: ModelInfo, ranks: int) -> tuple[float, float]:
    """KV heads added over the layers with full attention, and over those with a window."""
    layers = max(0, (info.layers or 0) - int(info.extra.get("shared_kv_layers", 0)))
    attending = min(layers, int(info.extra.get("attention_layers", layers)))
    told = [int(one) for one in info.extra.get("kv_heads_per_layer", "").split(",") if one]
    each = told if told and len(told) == info.layers else [info.kv_heads or 0] * attending
    total = float(sum(math.ceil(heads / ranks) * ranks for heads in each))
    part = info.sliding_layers / info.layers if info.layers and info.sliding_window else 0.0
    return total * (1 - part), total * part


def _padded(tokens: int, to: int) -> int:
    return -(-tokens // to) * to


# --- llama.cpp -----------------------------------------------------------------------------------------------------


def _llamacpp(info: ModelInfo, options: DeployOptions, context: int, gpu_count: int) -> _Needs:
    extra = _named(EngineName.LLAMACPP, options)
    cache = _cache(
        info,
        key_bytes=CACHE_TYPES.get(extra.get("cache-type-k", "f16"), 2.0),
        value_bytes=CACHE_TYPES.get(extra.get("cache-type-v", "f16"), 2.0),
    )
    shared = options.parallel is None or "kv-unified" in extra
    slots = options.parallel or _AUTO_SLOTS
    streams = 1 if shared else slots
    batch = _number(extra.get("ubatch-size"), 512)
    cells = _padded(context, _CELLS)
    window = min(cells, _padded((info.sliding_window or 0) * (slots if shared else 1) + batch, _CELLS))
    window = cells if "swa-full" in extra else window
    kv = int((cache.full * cells + cache.sliding * window) * streams)
    share = _share_on_gpu(info, extra, gpu_count)
    weights, kv = int(info.weights_bytes * share), int(kv * share)
    overhead, least, most = _llamacpp_overhead(info, batch, cells, gpu_count)
    second_copy = kv if info.kv_lora_rank else 0  # builds before 2026 also keep the values of MLA
    whole = info.weights_bytes if extra.get("gpu-layers") == "auto" else weights
    return _Needs(
        weights=weights,
        kv=kv,
        kv_per_token=round(cache.full),
        overhead=overhead,
        low=weights + kv + least,
        high=int(whole * 1.02) + kv + second_copy + most,
        sequences=streams,
    )


def _share_on_gpu(info: ModelInfo, extra: dict[str, str], gpu_count: int) -> float:
    """How much of the layers must fit on GPUs; with "auto" the engine takes as many as fit."""
    asked = extra.get("gpu-layers", "all")
    if gpu_count == 0 or asked in {"all", ""} or not info.layers:
        return 1.0
    return min(1.0, _number(asked, 0) / (info.layers + 1))


def _llamacpp_overhead(info: ModelInfo, batch: int, cells: int, gpu_count: int) -> tuple[int, int, int]:
    """(likely, least, most): buffers for computing on each GPU, and CUDA's own memory."""
    compute = batch * (48 * (info.hidden_size or 4096) + 2 * cells)
    logits = batch * 4 * (info.vocab_size or 0)  # older builds keep the logits of a whole batch
    if gpu_count == 0:
        return compute + 48 * _MIB, compute, compute + logits + 256 * _MIB
    per_gpu = (compute + 400 * _MIB, compute + 250 * _MIB, compute + logits + 700 * _MIB)
    likely, least, most = (gpu_count * bytes_ for bytes_ in per_gpu)
    return likely, least, most


# --- vLLM ----------------------------------------------------------------------------------------------------------


def _vllm(info: ModelInfo, options: DeployOptions, context: int) -> _Needs:
    extra = _named(EngineName.VLLM, options)
    ranks = max(1, options.tensor_parallel_size)
    width = _vllm_cache_bytes(extra.get("kv-cache-dtype", "auto"), options)
    cache = _cache(info, key_bytes=width, value_bytes=width, ranks=ranks)
    tokens = _padded(context, _BLOCK)
    batch = _number(extra.get("max-num-batched-tokens"), _BATCH)
    window = min(tokens, _padded((info.sliding_window or 1) - 1 + batch, _BLOCK) + _BLOCK)
    kv = int(cache.full * tokens + cache.sliding * window)
    weights = int(info.weights_bytes * _cast(info, options))
    overhead, least, most = (ranks * bytes_ for bytes_ in _vllm_overhead(info, options, extra))
    repacked = 1.1 if any(word in info.quantization.lower() for word in _REPACKED) else 1.02
    grouped = 1.6 if cache.sliding or "attention_layers" in info.extra else 1.0  # layers of two kinds share pages
    return _Needs(
        weights=weights,
        kv=kv,
        kv_per_token=round(cache.full),
        overhead=overhead,
        low=weights + kv + least,
        high=int(weights * repacked + kv * grouped) + most,
        sequences=1,
    )


def _vllm_cache_bytes(kind: str, options: DeployOptions) -> float:
    if kind == "fp8_ds_mla":
        return _MLA_FP8
    if "4bit" in kind or "int4" in kind or "nvfp4" in kind or "turboquant" in kind:
        return 0.5625
    if "fp8" in kind or "int8" in kind:
        return 1.0
    return 4.0 if kind == "float32" or (kind == "auto" and options.dtype in {"float", "float32"}) else 2.0


def _cast(info: ModelInfo, options: DeployOptions) -> float:
    """Loaded bytes per stored byte: unquantized weights are cast, and `auto` makes 32 bits into 16."""
    stored = _DTYPE_BYTES.get(info.dtype)
    if stored is None or info.quantization:
        return 1.0
    loaded = min(2, stored) if options.dtype == "auto" else _DTYPE_BYTES.get(options.dtype, stored)
    return loaded / stored


def _vllm_overhead(info: ModelInfo, options: DeployOptions, extra: dict[str, str]) -> tuple[int, int, int]:
    """(likely, least, most) on each GPU: CUDA and NCCL, graphs, the peak of activations, the sampler."""
    context = _GIB if options.tensor_parallel_size > 1 else _GIB // 2
    graphs = 0 if "enforce-eager" in extra else _GIB // 2
    hidden, vocabulary = info.hidden_size or 4096, info.vocab_size or 0
    batch = _number(extra.get("max-num-batched-tokens"), 0)
    likely = 30 * hidden * (batch or _BATCH) + 12 * vocabulary * (options.parallel or _SEQUENCES)
    most = 30 * hidden * (batch or _LARGE_BATCH) + 12 * vocabulary * (options.parallel or _MANY_SEQUENCES)
    return context + graphs + likely, context // 2 + graphs // 2 + likely // 2, context * 2 + graphs * 2 + most


def _named(engine: EngineName, options: DeployOptions) -> dict[str, str]:
    return engine_named(engine).named_flags(options)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
