"""What an engine's Prometheus text says of its load, in the same words for every engine."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.registry.values import EngineName

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{((?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LONGEST = 4 << 20  # characters


@dataclass(frozen=True)
class Sample:
    """One line of the text."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class EngineMetrics:
    """The load of one server; counters since its start, shares from 0 to 1, means in seconds. None: not told."""

    requests_running: int | None = None
    requests_waiting: int | None = None
    requests_preempted: int | None = None
    requests_finished: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generation_tokens: int | None = None
    kv_cache_usage: float | None = None
    first_token_s: float | None = None  # mean since the start
    per_token_s: float | None = None  # mean since the start
    request_s: float | None = None  # mean since the start


def parse(text: str) -> Iterator[Sample]:
    """The samples of a Prometheus text; lines of another form are left out."""
    for line in text[:_LONGEST].splitlines():
        match = _SAMPLE.match(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        yield Sample(match[1], dict(_LABEL.findall(match[2] or "")), value)


def read_metrics(engine: EngineName, text: str) -> EngineMetrics:
    """What `engine` says of itself in `text`."""
    sums = _sums(text)
    return _vllm(sums) if engine is EngineName.VLLM else _llamacpp(sums)


def _sums(text: str) -> dict[str, float]:
    """Values by name, added over the labels (several engines of one server)."""
    sums: dict[str, float] = {}
    for sample in parse(text):
        if math.isfinite(sample.value):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
            sums[f"{sample.name}#"] = sums.get(f"{sample.name}#", 0.0) + 1
    return sums


def _vllm(sums: Mapping[str, float]) -> EngineMetrics:
    usage, engines = sums.get("vllm:kv_cache_usage_perc"), sums.get("vllm:kv_cache_usage_perc#", 1)
    return EngineMetrics(
        requests_running=_whole(sums, "vllm:num_requests_running"),
        requests_waiting=_whole(sums, "vllm:num_requests_waiting"),
        requests_preempted=_whole(sums, "vllm:num_preemptions_total"),
        requests_finished=_whole(sums, "vllm:request_success_total"),
        prompt_tokens=_whole(sums, "vllm:prompt_tokens_total"),
        cached_tokens=_whole(sums, "vllm:prompt_tokens_cached_total"),
        generation_tokens=_whole(sums, "vllm:generation_tokens_total"),
        kv_cache_usage=None if usage is None else usage / engines,
        first_token_s=_mean(sums, "vllm:time_to_first_token_seconds"),
        per_token_s=_mean(sums, "vllm:inter_token_latency_seconds"),
        request_s=_mean(sums, "vllm:e2e_request_latency_seconds"),
    )


def _llamacpp(sums: Mapping[str, float]) -> EngineMetrics:
    return EngineMetrics(
        requests_running=_whole(sums, "llamacpp:requests_processing"),
        requests_waiting=_whole(sums, "llamacpp:requests_deferred"),
        prompt_tokens=_whole(sums, "llamacpp:prompt_tokens_total"),
        cached_tokens=_whole(sums, "llamacpp:prompt_tokens_cached_total"),
        generation_tokens=_whole(sums, "llamacpp:tokens_predicted_total"),
        per_token_s=_ratio(sums, "llamacpp:tokens_predicted_seconds_total", "llamacpp:tokens_predicted_total"),
    )


def _whole(sums: Mapping[str, float], name: str) -> int | None:
    value = sums.get(name)
    return None if value is None else int(value)


def _mean(sums: Mapping[str, float], histogram: str) -> float | None:
    return _ratio(sums, f"{histogram}_sum", f"{histogram}_count")


def _ratio(sums: Mapping[str, float], total: str, count: str) -> float | None:
    return sums[total] / sums[count] if total in sums and sums.get(count) else None
