"""Records through the registry's one way in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.db import Database
from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import EventBus, RecordChanged
from core.registry.records import Host, Model, Server
from core.registry.store import Registry
from core.registry.values import ModelQuery, Ownership, Provider, ServerStatus


@asynccontextmanager
async def opened(path: Path, user: str = "me") -> AsyncIterator[Registry]:
    database = Database(path)
    await database.open()
    try:
        yield Registry(database, EventBus(), user_id=user)
    finally:
        await database.close()


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "r" / "registry.db") as it:
        yield it


async def _global(registry: Registry) -> Model:
    record = Model(name="gpt", provider="openai", model_id="gpt", served_name="gpt", is_global=True)
    return await registry._save(record, "model", "added")


async def test_added_models_have_all_defaults(registry: Registry) -> None:
    model = await registry.add_model({"name": "My one", "provider": "llamacpp", "path": "/m/Foo-7B.gguf"})
    assert (model.model_id, model.served_name, model.path) == ("Foo-7B", "My-one", "/m/Foo-7B.gguf")
    assert (model.context_length, model.max_output_tokens, model.default_temperature) == (4096, 2048, 1.0)
    assert model.extra == {"model_path": "/m/Foo-7B.gguf"}
    assert (
        await registry.get_model(model.id) == await registry.get_model("My one") == await registry.get_model("Foo-7B")
    )


async def test_a_duplicate_name_is_refused_beside_its_field(registry: Registry) -> None:
    await registry.add_model({"name": "a", "provider": "vllm", "model_id": "x"})
    other = await registry.add_model({"name": "b", "provider": "vllm", "model_id": "y"})
    for attempt in (
        registry.add_model({"name": "a", "provider": "vllm", "model_id": "x"}),
        registry.edit_model(other.id, {"name": "a"}),
    ):
        with pytest.raises(InvalidInput) as caught:
            await attempt
        assert list(caught.value.fields) == ["name"]
    assert (await registry.get_model(other.id)).name == "b"


async def test_an_edit_writes_only_what_changed(registry: Registry) -> None:
    model = await registry.add_model({"name": "a", "provider": "vllm", "path": "/p", "tags": ["x"]})
    edited = await registry.edit_model("a", {"context_length": 9, "extra": {"note": "n"}})
    assert (edited.context_length, edited.tags, edited.extra) == (9, ["x"], {"model_path": "/p", "note": "n"})
    assert edited.updated_at > model.updated_at
    with pytest.raises(InvalidInput):
        await registry.edit_model("a", {"context_length": 0})
    assert (await registry.get_model("a")).context_length == 9


async def test_global_models_are_read_only(registry: Registry) -> None:
    model = await _global(registry)
    for attempt in (
        registry.edit_model(model.id, {"name": "x"}),
        registry.delete_model(model.id),
        registry.archive_model(model.id),
    ):
        with pytest.raises(NotAllowed):
            await attempt


async def test_filters_combine_and_are_counted(registry: Registry) -> None:
    await _global(registry)
    for name, provider in (("Alpha Chat", "vllm"), ("beta chat", "llamacpp"), ("Gamma", "vllm")):
        await registry.add_model({"name": name, "provider": provider, "model_id": name})
    page = await registry.search(ModelQuery(text="CHAT", provider=Provider.VLLM, ownership=Ownership.MINE))
    assert [row.model.name for row in page.rows] == ["Alpha Chat"]
    assert (page.shown, page.total) == (1, 4)
    assert (await registry.search(ModelQuery(ownership=Ownership.GLOBAL))).shown == 1
    assert (await registry.search(ModelQuery(text="100%"))).shown == 0
    names = [row.model.name for row in (await registry.search(ModelQuery(), offset=1, limit=2)).rows]
    assert names == ["beta chat", "Gamma"]


async def test_archived_models_are_hidden_and_come_back(registry: Registry) -> None:
    await registry.add_model({"name": "a", "provider": "vllm", "model_id": "x"})
    await registry.archive_model("a")
    assert (await registry.search(ModelQuery())).shown == 0
    assert (await registry.search(ModelQuery(archived=True))).shown == 1
    await registry.archive_model("a", archived=False)
    assert (await registry.search(ModelQuery())).shown == 1


async def test_a_served_model_is_not_deleted_and_a_running_server_is_preferred(registry: Registry) -> None:
    model = await registry.add_model({"name": "a", "provider": "vllm", "model_id": "x"})
    host = await registry.add_host(Host(name="h"))
    for status in (ServerStatus.RUNNING, ServerStatus.FAILED):
        await registry.add_server(
            Server(
                user_id="me",
                model_id=model.id,
                model_name="a",
                served_name="a",
                server_type="vllm",
                runtime="docker",
                host_id=host.id,
                host_name="h",
                status=status,
            )
        )
    row = (await registry.search(ModelQuery())).rows[0]
    assert row.server is not None
    assert row.server.status == ServerStatus.RUNNING
    with pytest.raises(Refused):
        await registry.delete_model("a")
    with pytest.raises(Refused):
        await registry.remove_host("h")
    await registry.edit_server(row.server.id, {"status": ServerStatus.STOPPED})
    await registry.delete_model("a")
    assert await registry.servers() == []
    await registry.remove_host("h")
    with pytest.raises(NotFound):
        await registry.get_host("h")


async def test_users_see_their_own_and_global_models_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db", "one") as one:
        await one.add_model({"name": "a", "provider": "vllm", "model_id": "x"})
        await _global(one)
    async with opened(tmp_path / "r.db", "two") as two:
        assert [row.model.name for row in (await two.search(ModelQuery())).rows] == ["gpt"]
        with pytest.raises(NotFound):
            await two.get_model("a")


async def test_every_change_is_an_event(tmp_path: Path) -> None:
    database = Database(tmp_path / "r.db")
    await database.open()
    bus = EventBus()
    registry = Registry(database, bus, user_id="me")
    async with bus.subscribe() as events:
        await registry.add_model({"name": "a", "provider": "vllm", "model_id": "x"})
        await registry.delete_model("a")
        stream = aiter(events)
        seen = [await anext(stream), await anext(stream)]
    assert [event.action for event in seen if isinstance(event, RecordChanged)] == ["added", "deleted"]
    await database.close()


async def test_names_are_stored_exactly(registry: Registry) -> None:
    name = "\x1b]0;x\x07 [/b] שלום 模型"
    await registry.add_model({"name": name, "provider": "vllm", "model_id": "x"})
    assert (await registry.get_model(name)).name == name
