"""What engines tell becomes counters: texts of both, servers that come and go, two programs (N3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analytics.sampler import Sampler
from core.analytics.service import AnalyticsService
from core.analytics.totals import read_totals
from core.db import Database
from core.errors import HostSilent
from core.events import EventBus, now
from core.registry.records import Server
from core.registry.store import Registry
from core.registry.values import EngineName, ServerStatus

VLLM = """\
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.5e+03
vllm:prompt_tokens_total{engine="1",model_name="m"} 500.0
vllm:prompt_tokens_cached_total{engine="0",model_name="m"} 300.0
vllm:generation_tokens_total{engine="0",model_name="m"} 700.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 7.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 2.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 0.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="m"} 1.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 13.8
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3",model_name="m"} 2.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.5",model_name="m"} 8.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.8",model_name="m"} 8.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:e2e_request_latency_seconds_count{engine="0",model_name="m"} 10.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.04",model_name="m"} 10.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
"""
LLAMACPP = """\
llamacpp:prompt_tokens_total {prompt}
llamacpp:prompt_tokens_cached_total {cached}
llamacpp:tokens_predicted_total {tokens}
llamacpp:tokens_predicted_seconds_total {seconds}
llamacpp:requests_processing 1
"""


def llamacpp(prompt: int = 0, cached: int = 0, tokens: int = 0, seconds: float = 0.0) -> str:
    return LLAMACPP.format(prompt=prompt, cached=cached, tokens=tokens, seconds=seconds)


def test_what_vllm_tells() -> None:
    assert read_totals(EngineName.VLLM, VLLM) == {
        "prompt_tokens": 2000,
        "generation_tokens": 700,
        "requests": 10,
        "failures": 1,
        "generation_seconds": 13.8,
        "latency:0-0.3": 2,
        "latency:0.3-0.5": 6,
        "latency:0.5-0.8": 0,
        "latency:0.8-inf": 2,
        "first_token:0-0.04": 10,
        "first_token:0.04-inf": 0,
    }


def test_llamacpp_tells_no_requests_and_counts_cached_prompts_apart() -> None:
    assert read_totals(EngineName.LLAMACPP, llamacpp(42, 57, 17, 0.5)) == {
        "prompt_tokens": 99,
        "generation_tokens": 17,
        "generation_seconds": 0.5,
    }


@given(st.text(max_size=200), st.floats(), st.text(max_size=20))
def test_nonsense_is_left_out(text: str, value: float, bound: str) -> None:
    for engine in EngineName:
        lines = (
            f'vllm:e2e_request_latency_seconds_bucket{{le="{bound}"}} {value}\nvllm:prompt_tokens_total {value}\n{text}'
        )
        assert all(0 <= total <= 2**53 for total in read_totals(engine, lines).values())


class Access:
    """Servers played by a function of their id; a lost one can't be reached."""

    def __init__(self) -> None:
        self.texts: dict[str, Callable[[], str]] = {}
        self.opened: list[str] = []
        self.asked: list[str] = []

    async def client(self, server: Server, *, timeout_s: float) -> httpx.AsyncClient:
        self.opened.append(server.id)
        if server.id not in self.texts:
            raise HostSilent("No answer.")

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(server.id)
            return httpx.Response(200, text=self.texts[server.id]())

        return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1")


class Program:
    """One running program: its registry on the shared file, and its sampler."""

    def __init__(self, registry: Registry, access: Access) -> None:
        self.registry = registry
        self.sampler = Sampler(registry, cast("Any", access))
        self.analytics = AnalyticsService(registry, self.sampler)

    async def add_server(self, engine: EngineName, status: ServerStatus = ServerStatus.RUNNING) -> Server:
        host = await self.registry.get_host("local")
        return await self.registry.add_server(
            Server(
                user_id="me",
                model_id=engine,
                model_name=engine,
                served_name=engine,
                server_type=engine,
                runtime="docker",
                host_id=host.id,
                host_name=host.name,
                status=status,
                started_at=now(),
            )
        )


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
async def programs(tmp_path: Path, access: Access) -> AsyncIterator[list[Program]]:
    """Two of them on one registry."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            database = Database(tmp_path / "registry.db")
            await database.open()
            stack.push_async_callback(database.close)
            registry = Registry(database, EventBus(), user_id="me")
            await registry.ensure_local_host(models_dir="/srv")
            found.append(Program(registry, access))
            stack.push_async_callback(found[-1].sampler.close)
        yield found


async def test_the_counters_of_running_servers_are_read_and_others_are_left_alone(
    programs: list[Program], access: Access
) -> None:
    one, _ = programs
    vllm = await one.add_server(EngineName.VLLM)
    silent = await one.add_server(EngineName.LLAMACPP)
    await one.add_server(EngineName.LLAMACPP, ServerStatus.STOPPED)
    access.texts = {vllm.id: lambda: VLLM}
    assert await one.sampler.sample() == 1
    assert sorted(access.opened) == sorted([vllm.id, silent.id])
    (row,) = (await one.analytics.report()).rows
    assert (row.all.requests, row.all.failures, row.all.prompt_tokens) == (10, 1, 2000)
    assert row.all.latency_p50 == pytest.approx(0.4)
    assert row.all.latency_p95 == pytest.approx(0.8)
    assert row.all.tokens_per_second == pytest.approx(690 / 13.8)
    assert list(await one.registry.read_at()) == [vllm.id]


async def test_a_reading_is_one_request_on_a_line_that_is_kept(programs: list[Program], access: Access) -> None:
    one, _ = programs
    server = await one.add_server(EngineName.VLLM)
    access.texts = {server.id: lambda: VLLM}
    for _ in range(3):
        await one.sampler.sample()
    assert (access.opened, len(access.asked)) == ([server.id], 3)
    await one.registry.edit_server(server.id, {"started_at": now()})
    await one.sampler.sample()
    assert access.opened == [server.id] * 2


async def test_a_server_that_fails_once_is_read_again(programs: list[Program], access: Access) -> None:
    one, _ = programs
    server = await one.add_server(EngineName.LLAMACPP)
    assert await one.sampler.sample() == 0
    access.texts = {server.id: lambda: llamacpp(tokens=5)}
    assert await one.sampler.sample() == 1
    await one.registry.edit_host("local", {"unreachable_since": now(), "problem": "away"})
    asked = len(access.asked)
    assert await one.sampler.sample() == 0
    assert len(access.asked) == asked


async def test_two_programs_that_watch_count_once(programs: list[Program], access: Access) -> None:
    one, two = programs
    server = await one.add_server(EngineName.LLAMACPP)
    counts = iter(range(10, 1000, 10))
    access.texts = {server.id: lambda: llamacpp(tokens=next(counts))}
    for number in range(12):
        await programs[number % 2].sampler.sample()
    last = 10 * len(access.asked)
    (row,) = (await two.analytics.report()).rows
    assert row.all.completion_tokens == last
    asked = len(access.asked)
    assert await two.sampler.sample(fresh_s=45) == 0
    assert len(access.asked) == asked
