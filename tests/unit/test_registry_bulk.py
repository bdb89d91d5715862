"""Many records at once: all or none, one event, and the lines of the change log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.db import Database
from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import EventBus, RecordChanged
from core.registry.records import Host, Model, Server
from core.registry.store import Registry
from core.registry.values import ModelQuery, ServerStatus

NAMES = ["a", "b", "c"]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = Database(tmp_path / "registry.db")
    await database.open()
    one = Registry(database, EventBus(), user_id="me")
    for name in NAMES:
        await one.add_model({"name": name, "provider": "vllm", "model_id": "x", "tags": ["old"]})
    yield one
    await database.close()


async def _names(registry: Registry, *, archived: bool = False) -> list[str]:
    page = await registry.search(ModelQuery(archived=archived))
    return [row.model.name for row in page.rows if not row.model.is_global]


async def _global(registry: Registry) -> Model:
    record = Model(name="gpt", provider="openai", model_id="gpt", served_name="gpt", is_global=True)
    return await registry._save(record, "model", "added")


async def test_many_models_change_in_one_event(registry: Registry) -> None:
    async with registry._bus.subscribe() as events:
        changed = await registry.change_models(
            NAMES, {"context_length": 9}, add_tags=["new", "new"], remove_tags=["old"]
        )
        seen = await anext(aiter(events))
    assert {(model.context_length, *model.tags) for model in changed} == {(9, "new")}
    assert isinstance(seen, RecordChanged)
    assert (seen.id, seen.action, seen.count) == ("", "edited", 3)


async def test_each_model_may_change_in_its_own_way(registry: Registry) -> None:
    await registry.change_models(NAMES, lambda model: {"name": f"{model.name}!"})
    assert await _names(registry) == ["a!", "b!", "c!"]


async def test_one_that_is_wrong_keeps_all_as_they_were(registry: Registry) -> None:
    await _global(registry)
    for refs, changes, error in (
        (NAMES, {"context_length": 0}, InvalidInput),
        (NAMES, {"name": "same"}, InvalidInput),
        ([*NAMES, "gpt"], {"context_length": 9}, NotAllowed),
        ([*NAMES, "nobody"], {"context_length": 9}, NotFound),
    ):
        with pytest.raises(error):
            await registry.change_models(refs, changes)
    assert [(await registry.get_model(name)).context_length for name in NAMES] == [4096] * 3


async def test_archiving_many_leaves_those_that_are_so_already(registry: Registry) -> None:
    first = await registry.archive_model("a")
    await registry.archive_models(NAMES)
    assert await _names(registry, archived=True) == NAMES
    assert (await registry.get_model("a")).archived_at == first.archived_at
    await registry.archive_models(NAMES, archived=False)
    assert await _names(registry) == NAMES


async def test_deleting_names_what_stands_in_the_way_and_deletes_none(registry: Registry) -> None:
    await _global(registry)
    with pytest.raises(NotAllowed, match="gpt is a global model"):
        await registry.delete_models([*NAMES, "gpt"])
    server = await _serve(registry, "b")
    with pytest.raises(Refused, match=r"^b is still served"):
        await registry.delete_models(NAMES)
    assert await _names(registry) == NAMES
    await registry.edit_server(server.id, {"status": ServerStatus.STOPPED})
    assert [model.name for model in await registry.delete_models([*NAMES, "a"])] == NAMES
    assert await _names(registry) == []
    assert await registry.servers() == []


async def _serve(registry: Registry, name: str) -> Server:
    model = await registry.get_model(name)
    host = await registry.add_host(Host(name="h"))
    return await registry.add_server(
        Server(
            user_id="me",
            model_id=model.id,
            model_name=name,
            served_name=name,
            server_type="vllm",
            runtime="docker",
            host_id=host.id,
            host_name="h",
            status=ServerStatus.RUNNING,
        )
    )
