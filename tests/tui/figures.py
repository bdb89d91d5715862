"""Figures for the demo fleet: calls of this program, and what engines counted; the same every time."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any

from core.events import now
from core.registry.records import Call, Counter, Model
from core.registry.spans import floor
from core.registry.store import Registry


async def fill(registry: Registry) -> None:
    """A month of use: much of one model by everybody, some of others from here alone."""
    chance = random.Random(7)
    at = now()
    servers = {server.model_name: server for server in await registry.servers()}
    records: list[Any] = []
    for name, per_day, seconds in (("qwen3-32b", 9, 2.1), ("smollm2-135m", 4, 0.4), ("team-gpt", 6, 1.3)):
        model = await registry.get_model(name)
        server = servers.get(name)
        records += _calls(chance, registry.user_id, model, server.id if server else "", at, per_day, seconds)
    large = await registry.get_model("qwen3-32b")
    records += _counters(chance, large, servers["qwen3-32b"].id, at)
    await registry._db.write(lambda session: session.add_all(records))


def _calls(
    chance: random.Random, user: str, model: Model, server_id: str, at: datetime, per_day: int, seconds: float
) -> list[Call]:
    return [
        Call(
            at=at - timedelta(seconds=chance.uniform(60, 30 * 86400)),
            user_id=user,
            model_id=model.id,
            model_name=model.name,
            server_id=server_id,
            kind="test" if number % 9 == 0 else "chat",
            ok=chance.random() > 0.02,
            prompt_tokens=chance.randint(12, 900),
            completion_tokens=chance.randint(20, 700),
            first_token_s=seconds / 8,
            seconds=seconds * chance.lognormvariate(0, 0.5) + seconds / 8,
            rating=chance.choice([None, None, 3, 4, 5, 5]) if number % 9 else None,
        )
        for number in range(per_day * 30)
    ]


def _counters(chance: random.Random, model: Model, server_id: str, at: datetime) -> list[Counter]:
    hours = [floor(at - timedelta(hours=back), 3600) for back in range(1, 8 * 24)]
    days = [floor(at - timedelta(days=back), 86400) for back in range(9, 30)]
    return [
        *(_counter(chance, model, server_id, begin) for begin in hours),
        *(_counter(chance, model, server_id, begin, hours=24) for begin in days),
    ]


def _counter(chance: random.Random, model: Model, server_id: str, begin: datetime, *, hours: int = 1) -> Counter:
    """Busy by day, calm by night."""
    day = 0.5 + 0.5 * math.sin((begin.hour - 8) / 24 * 2 * math.pi) if hours == 1 else 0.5
    requests = int((8 + 60 * day * chance.uniform(0.7, 1.3)) * hours)
    slow = requests // 10
    return Counter(
        at=begin,
        seconds=3600 * hours,
        server_id=server_id,
        model_id=model.id,
        model_name=model.name,
        requests=requests,
        failures=int(chance.random() < 0.04),
        prompt_tokens=requests * 410,
        generation_tokens=requests * 230,
        generation_seconds=requests * 4.9,
        latency={"1-1.5": requests // 2, "1.5-2.5": requests - requests // 2 - slow, "2.5-5": slow},
        first_token={"0.1-0.25": requests},
    )
