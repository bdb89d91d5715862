"""Reads what engines count (Prometheus text) into one set of names for vLLM and llama.cpp (L10)."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$")
_OUR_NAMES = {
    "requests_running": ("vllm:num_requests_running", "llamacpp:requests_processing"),
    "requests_waiting": ("vllm:num_requests_waiting", "llamacpp:requests_deferred"),
    "requests_preempted": ("vllm:num_preemptions_total",),
    "prompt_tokens": ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total"),
    "generation_tokens": ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total"),
    "prompt_tokens_per_second": ("llamacpp:prompt_tokens_seconds",),
    "generation_tokens_per_second": ("llamacpp:predicted_tokens_seconds",),
    "kv_cache_use": ("vllm:kv_cache_usage_perc",),
    "time_to_first_token_s": ("vllm:time_to_first_token_seconds",),
    "time_per_token_s": ("vllm:inter_token_latency_seconds",),
    "request_s": ("vllm:e2e_request_latency_seconds",),
}


def parse(text: str) -> dict[str, float]:
    """Samples by name, those that differ in labels alone added up; histogram buckets are left out."""
    samples: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match[1].endswith("_bucket"):
            continue
        try:
            samples[match[1]] = samples.get(match[1], 0.0) + float(match[3])
        except ValueError:
            continue
    return samples


def figures(samples: dict[str, float]) -> dict[str, float]:
    """Our names with their values; of a histogram the mean. What an engine does not count is left out."""
    found: dict[str, float] = {}
    for name, theirs in _OUR_NAMES.items():
        for one in theirs:
            if (value := _value(samples, one)) is not None:
                found[name] = value
    return found


def _value(samples: dict[str, float], name: str) -> float | None:
    if name in samples:
        return samples[name]
    count = samples.get(f"{name}_count", 0.0)
    return samples[f"{name}_sum"] / count if count and f"{name}_sum" in samples else None
