"""What an engine has counted since its start, by the names that `Counter` has for it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from core.engines.metrics import Sample, parse
from core.registry.values import EngineName

_MOST = float(1 << 53)  # beyond this a count is no count
_MOST_RANGES = 100
_SUMS = {
    EngineName.VLLM: {
        "vllm:request_success_total": "requests",
        "vllm:prompt_tokens_total": "prompt_tokens",
        "vllm:generation_tokens_total": "generation_tokens",
        "vllm:inter_token_latency_seconds_sum": "generation_seconds",
    },
    EngineName.LLAMACPP: {
        "llamacpp:prompt_tokens_total": "prompt_tokens",
        "llamacpp:prompt_tokens_cached_total": "prompt_tokens",  # a prompt's other part: both make the whole
        "llamacpp:tokens_predicted_total": "generation_tokens",
        "llamacpp:tokens_predicted_seconds_total": "generation_seconds",
    },
}
_HISTOGRAMS = {
    "vllm:e2e_request_latency_seconds_bucket": "latency",
    "vllm:time_to_first_token_seconds_bucket": "first_token",
}


def read_totals(engine: EngineName, text: str) -> dict[str, float]:
    """From the engine's Prometheus text; llama.cpp does not tell how many requests there were, nor their times."""
    totals: dict[str, float] = defaultdict(float)
    buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for sample in _sane(parse(text)):
        if name := _SUMS[engine].get(sample.name):
            totals[name] += sample.value
        if name == "requests":
            totals["failures"] += sample.value if sample.labels.get("finished_reason") == "error" else 0.0
        elif histogram := _HISTOGRAMS.get(sample.name):
            buckets[histogram][_bound(sample)] += sample.value
    for histogram, cumulative in buckets.items():
        totals.update(_ranges(histogram, cumulative))
    return dict(totals)


def _sane(samples: Iterable[Sample]) -> Iterable[Sample]:
    return (sample for sample in samples if 0 <= sample.value <= _MOST)


def _bound(sample: Sample) -> float:
    try:
        return float(sample.labels.get("le", "inf"))
    except ValueError:
        return math.inf


def _ranges(name: str, cumulative: dict[float, float]) -> dict[str, float]:
    """Counts up to a bound become counts between two bounds."""
    found, low, below = {}, 0.0, 0.0
    for high in sorted(bound for bound in cumulative if bound > 0)[:_MOST_RANGES]:
        found[f"{name}:{low:g}-{high:g}"] = max(0.0, cumulative[high] - below)
        low, below = high, max(below, cumulative[high])
    return found
