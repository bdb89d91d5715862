"""Prometheus text of both engines in one set of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.metrics import EngineMetrics, parse, read_metrics
from core.registry.values import EngineName

VLLM_TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \\"b\\" } 9"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.7
vllm:num_preemptions_total{engine="0",model_name="m"} 4.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.5e+06
vllm:generation_tokens_total{engine="0",model_name="m"} 2000.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 10.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 5.0
vllm:time_to_first_token_seconds_bucket{le="0.001"} 0.0
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 4.0
vllm:time_to_first_token_seconds_count{engine="0"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0"} 2.0
vllm:inter_token_latency_seconds_count{engine="0"} 0.0
vllm:inter_token_latency_seconds_sum{engine="0"} 0.0
"""


def test_vllm() -> None:
    found = read_metrics(EngineName.VLLM, VLLM_TEXT)
    assert found == EngineMetrics(
        requests_running=5,
        requests_waiting=7,
        requests_preempted=4,
        requests_finished=15,
        prompt_tokens=1_500_000,
        generation_tokens=2000,
        kv_cache_usage=0.6,
        first_token_s=0.5,
    )


def test_llamacpp_does_not_tell_some() -> None:
    text = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\nllamacpp:tokens_predicted_total 30\n"
    text += "llamacpp:tokens_predicted_seconds_total 1.5\nllamacpp:prompt_tokens_total 12\n"
    found = read_metrics(EngineName.LLAMACPP, text)
    assert (found.requests_running, found.requests_waiting, found.generation_tokens) == (1, 2, 30)
    assert found.per_token_s == pytest.approx(0.05)
    assert found.kv_cache_usage is None
    assert found.requests_preempted is None
    assert found.first_token_s is None


def test_nothing_told_is_none_and_not_zero() -> None:
    for engine in EngineName:
        assert read_metrics(engine, "") == EngineMetrics()
        assert read_metrics(engine, "<html>no metrics</html>\n") == EngineMetrics()
    assert read_metrics(EngineName.VLLM, "vllm:num_requests_running NaN\n").requests_running is None
    assert read_metrics(EngineName.VLLM, "vllm:num_requests_running +Inf\n").requests_running is None


def test_labels() -> None:
    (sample,) = parse('a:b{x="1",y="with } and \\" in it"} 2.5 1700000000\n')
    assert (sample.name, sample.value) == ("a:b", 2.5)
    assert sample.labels == {"x": "1", "y": 'with } and \\" in it'}


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    for engine in EngineName:
        read_metrics(engine, text)
        read_metrics(engine, f"vllm:num_requests_running{{{text}")
