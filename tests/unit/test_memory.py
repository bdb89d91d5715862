"""The memory estimate against sizes that others measured; each test names its source and how near it must be."""

from __future__ import annotations

from typing import Any

import pytest

from core.deploy.memory import estimate, needed_per_gpu
from core.deploy.values import MemoryEstimate
from core.files.inspect import ModelInfo
from core.registry.values import DeployOptions, EngineName

MIB, GIB = 1 << 20, 1 << 30
VLLM, LLAMACPP = EngineName.VLLM, EngineName.LLAMACPP


def model(**values: Any) -> ModelInfo:
    return ModelInfo(**{"path": "/m", "format": "safetensors", "dtype": "bfloat16", **values})


LLAMA_8B = model(
    weights_bytes=16_060_522_496, layers=32, heads=32, kv_heads=8, head_dim=128, hidden_size=4096, vocab_size=128_256
)
QWEN_1_5B = model(
    weights_bytes=3_087_467_520, layers=28, heads=12, kv_heads=2, head_dim=128, hidden_size=1536, vocab_size=151_936
)
QWEN_30B_A3B = model(
    weights_bytes=61_064_245_248, layers=48, heads=32, kv_heads=4, head_dim=128, hidden_size=2048, vocab_size=151_936
)
GPT_OSS = model(
    format="gguf",
    weights_bytes=63_387_346_464,
    layers=36,
    heads=64,
    kv_heads=8,
    head_dim=64,
    hidden_size=2880,
    vocab_size=201_088,
    sliding_window=128,
    sliding_layers=18,
    quantization="mxfp4",
)
KIMI = model(
    weights_bytes=595 * GIB, layers=61, heads=64, kv_heads=64, hidden_size=7168, kv_lora_rank=512, qk_rope_dim=64
)
MINIMAX = model(weights_bytes=215 * GIB, layers=62, heads=48, kv_heads=8, head_dim=128, hidden_size=3072)
SMOLLM2 = model(
    format="gguf",
    weights_bytes=96_576_768,
    layers=30,
    heads=9,
    kv_heads=3,
    head_dim=64,
    hidden_size=576,
    vocab_size=49_152,
    quantization="Q4_1",
    dtype="Q4_1",
)


def of(
    info: ModelInfo,
    engine: EngineName,
    *,
    context: int,
    gpus: int = 1,
    **options: Any,
) -> MemoryEstimate:
    return estimate(info, engine, DeployOptions(**options), context=context, gpu_count=gpus)


@pytest.mark.parametrize(("tokens", "gib"), [(216_512, 26.43), (157_936, 19.28)])
def test_llama_8b_on_vllm(tokens: int, gib: float) -> None:
    """Public logs: 14.99 GiB of weights, 128 KiB a token (0.1 %)."""
    found = of(LLAMA_8B, VLLM, context=tokens)
    assert found.weights / GIB == pytest.approx(14.99, rel=0.005)
    assert found.kv_bytes_per_token == 128 * 1024
    assert found.kv_cache / GIB == pytest.approx(gib, rel=0.001)
    assert found.low <= found.total <= found.high


def test_qwen_1_5b_on_vllm() -> None:
    """2.89 GiB; 20,992 tokens in 0.56 GiB (1 %)."""
    found = of(QWEN_1_5B, VLLM, context=20_992)
    assert found.weights / GIB == pytest.approx(2.89, rel=0.01)
    assert found.kv_cache / GIB == pytest.approx(0.56, rel=0.01)


def test_tensor_parallel_splits_the_weights() -> None:
    """vllm#17469: 14.25 GiB on each of four GPUs (1 %)."""
    found = of(QWEN_30B_A3B, VLLM, context=8192, gpus=4, tensor_parallel_size=4)
    assert found.weights / 4 / GIB == pytest.approx(14.25, rel=0.01)
    assert needed_per_gpu(found, VLLM, gpu_count=4, layers=48) * 4 == pytest.approx(found.total, rel=1e-6)


def test_heads_that_can_not_be_split_are_repeated() -> None:
    """Four KV heads over eight GPUs: each has one, so the cache is that of eight."""
    alone = of(QWEN_30B_A3B, VLLM, context=8192)
    eight = of(QWEN_30B_A3B, VLLM, context=8192, gpus=8, tensor_parallel_size=8)
    assert eight.kv_cache == 2 * alone.kv_cache


def test_gpt_oss_on_vllm_is_within_the_range() -> None:
    """vllm#23278: 65.97 GiB, #33155: 64.38 GiB loaded, of 60.8 GiB in the files: repacked."""
    found = of(GPT_OSS, VLLM, context=8192)
    weights = found.weights + 0.1 * found.weights
    assert found.weights < 64.38 * GIB
    assert weights == pytest.approx(65.97 * GIB, rel=0.03)
    assert found.low < (65.97 + 2) * GIB < found.high


def test_gpt_oss_on_llamacpp() -> None:
    """ollama#16480: two slots of 131,072: 9216 MiB of full attention and 90 MiB of windows (exact)."""
    found = of(GPT_OSS, LLAMACPP, context=131_072, parallel=2, extra={"ubatch-size": "1024"})
    assert found.kv_cache == (9216 + 90) * MIB
    assert found.sequences == 2


def test_latent_attention_is_repeated_on_every_gpu() -> None:
    """Kimi-K2.5#34: 68.63 KiB a token on each of eight GPUs (0.1 %)."""
    found = of(KIMI, VLLM, context=32_768, gpus=8, tensor_parallel_size=8)
    assert found.kv_bytes_per_token / 8 / 1024 == pytest.approx(68.63, rel=0.001)


def test_latent_attention_in_q8_0() -> None:
    """ik_llama PR 259: DeepSeek-R1, q8_0, 32,768 tokens: 1166.6 MiB (0.1 %)."""
    found = of(KIMI, LLAMACPP, context=32_768, gpus=8, extra={"ctk": "q8_0"})
    assert found.kv_cache / MIB == pytest.approx(1166.6, rel=0.001)


def test_minimax_on_vllm() -> None:
    """vllm#42017: 48.44 GiB for 204,800 tokens (0.1 %)."""
    assert of(MINIMAX, VLLM, context=204_800).kv_cache / GIB == pytest.approx(48.44, rel=0.001)


def test_30b_a3b_on_llamacpp() -> None:
    """48 layers at 65,536 tokens: 6144 MiB (exact); an older build's compute buffer of 300.75 MiB is in the range."""
    found = of(QWEN_30B_A3B, LLAMACPP, context=65_536)
    assert found.kv_cache == 6144 * MIB
    assert found.high - found.weights - found.kv_cache > 300.75 * MIB


def test_smollm2_on_the_cpu() -> None:
    """Measured with b10434: 92.10 + 90.00 + 17.51 MiB at 4096; 227 MiB resident, 1580 MiB at 65,536."""
    found = of(SMOLLM2, LLAMACPP, context=4096, gpus=0)
    assert found.weights / MIB == pytest.approx(92.10, abs=0.01)
    assert found.kv_cache == 90 * MIB
    assert 0.8 * 17.51 * MIB < found.low - found.weights - found.kv_cache < 1.2 * 17.51 * MIB
    assert found.low < 227 * MIB < found.high
    assert found.total == pytest.approx(227 * MIB, rel=0.1)
    assert of(SMOLLM2, LLAMACPP, context=65_536, gpus=0).total == pytest.approx(1580 * MIB, rel=0.1)


@pytest.mark.parametrize(("kind", "share"), [("q8_0", 34 / 64), ("q4_0", 18 / 64), ("f16", 1), ("f32", 2)])
def test_cache_types_of_llamacpp(kind: str, share: float) -> None:
    both = {"cache-type-k": kind, "cache-type-v": kind}
    assert of(LLAMA_8B, LLAMACPP, context=8192, extra=both).kv_cache == int(GIB * share)


@pytest.mark.parametrize(("kind", "share"), [("auto", 1), ("fp8", 0.5), ("fp8_e5m2", 0.5), ("bfloat16", 1)])
def test_cache_types_of_vllm(kind: str, share: float) -> None:
    assert of(LLAMA_8B, VLLM, context=8192, extra={"kv-cache-dtype": kind}).kv_cache == int(GIB * share)


def test_slots_have_a_context_each_unless_they_share_it() -> None:
    one = of(LLAMA_8B, LLAMACPP, context=8192).kv_cache
    assert of(LLAMA_8B, LLAMACPP, context=8192, parallel=4).kv_cache == 4 * one
    assert of(LLAMA_8B, LLAMACPP, context=8192, parallel=4, extra={"kv-unified": ""}).kv_cache == one


def test_a_full_window_cache_costs_more() -> None:
    small = of(GPT_OSS, LLAMACPP, context=65_536).kv_cache
    assert of(GPT_OSS, LLAMACPP, context=65_536, extra={"swa-full": ""}).kv_cache > 1.9 * small


def test_other_dtypes_are_cast() -> None:
    single = model(**{**LLAMA_8B.__dict__, "dtype": "float32"})
    assert of(single, VLLM, context=4096).weights == single.weights_bytes // 2
    assert of(LLAMA_8B, VLLM, context=4096, dtype="float32").weights == 2 * LLAMA_8B.weights_bytes
    assert of(LLAMA_8B, VLLM, context=4096, dtype="float32").kv_bytes_per_token == 256 * 1024


def test_layers_without_a_cache_and_heads_per_layer() -> None:
    hybrid = model(**{**LLAMA_8B.__dict__, "extra": {"attention_layers": "8"}})
    assert of(hybrid, VLLM, context=8192).kv_bytes_per_token == 32 * 1024
    some = model(**{**LLAMA_8B.__dict__, "extra": {"kv_heads_per_layer": ",".join(["8", "0"] * 16)}})
    assert of(some, LLAMACPP, context=8192).kv_bytes_per_token == 64 * 1024


def test_a_part_of_the_layers_on_the_gpu() -> None:
    whole = of(LLAMA_8B, LLAMACPP, context=8192)
    half = of(LLAMA_8B, LLAMACPP, context=8192, extra={"ngl": "16"})
    assert half.weights == pytest.approx(whole.weights * 16 / 33, rel=0.001)
    fitted = of(LLAMA_8B, LLAMACPP, context=8192, extra={"gpu-layers": "auto"})
    assert fitted.low < GIB
    assert fitted.high > LLAMA_8B.weights_bytes


def test_whole_layers_on_each_gpu() -> None:
    found = of(LLAMA_8B, LLAMACPP, context=8192, gpus=3)
    fullest = needed_per_gpu(found, LLAMACPP, gpu_count=3, layers=32)
    assert fullest > found.total / 3
    assert fullest == pytest.approx((found.weights + found.kv_cache) * 11 / 32 + found.overhead / 3, abs=2)


@pytest.mark.parametrize("engine", list(EngineName), ids=["first", "second"])
def test_a_model_that_tells_nothing_has_at_least_its_weights(engine: EngineName) -> None:
    found = of(ModelInfo(path="/m", format="unknown", weights_bytes=GIB), engine, context=4096)
    assert found.kv_cache == 0
    assert GIB < found.low <= found.total <= found.high
