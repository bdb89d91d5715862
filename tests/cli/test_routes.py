"""The routing registry by command (L2)."""

from __future__ import annotations

from core.app import Modelyard
from core.registry.records import Host
from core.registry.values import ServerStatus
from core.settings import Settings
from tests.cli.program import done
from tests.unit.test_routes import server


async def test_routes_are_listed_with_urls_task_region_head_and_health() -> None:
    """L2: `routes list --json`."""
    async with Modelyard.open(Settings.load()) as yard:
        registry = yard.registry
        await registry.add_head({"name": "gate", "region": "eu", "url": "https://gate.example/v1"})
        common = {"provider": "vllm", "region": "de", "head": "gate", "served_name": "chat"}
        here = await registry.add_model({"name": "here", "model_id": "org/a", **common})
        hosted = {"endpoint": "https://api.example/v1", "provider": "openai", "served_name": "embedder"}
        await registry.add_model({"name": "hosted", "model_id": "emb-1", "task": "embed", **hosted})
        await registry.add_model({"name": "rival", "model_id": "x", **hosted, "served_name": "chat"})
        await registry.add_model({"name": "nowhere", "provider": "vllm", "model_id": "org/n"})
        host = await registry.add_host(Host(name="gpu1"))
        await registry.add_server(server(here.id, ServerStatus.RUNNING, host=host, name="chat"))
    found = done("routes", "list", "--json").json()
    assert [one["served_name"] for one in found["routes"]] == ["chat", "embedder"]
    chat, embedder = found["routes"]
    assert (chat["health"], chat["urls"], chat["task"]) == ("up", ["http://127.0.0.1:8000"], "generate")
    assert (chat["region"], chat["head"], chat["head_url"]) == ("de", "gate", "https://gate.example/v1")
    assert [target["host"] for target in chat["targets"]] == ["gpu1", ""]
    assert chat["conflict"] == "Different models share it: here, rival."
    assert (embedder["task"], embedder["health"], embedder["urls"]) == ("embed", "untested", ["https://api.example/v1"])
    people = done("routes", "list", "--up")
    assert people.out.splitlines()[-1] == "Showing 1 of 2 routes"
    assert "chat: Different models share it" in people.err
    assert done("routes", "list", "--task", "embed", "--search", "HOSTED", "--json").json()["routes"] == [embedder]
