"""The model list's search against the plainest one there is: a loop over all records (P2)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import Session

from core import db
from core.db import Database
from core.events import EventBus
from core.registry import search, search_index, search_plan
from core.registry.records import Host, Model, Server
from core.registry.search import count_models, model_names, model_rows, place_of
from core.registry.search_index import bring_up_to_date
from core.registry.store import Registry
from core.registry.values import Capability, ModelQuery, ModelSort, Ownership, Provider, ServerStatus

_LETTERS = "aAbBqwERéÉßẞİıσςΣжЖ日本%_*?\"'\\[]()^-+.:{} \0"  # noqa: RUF001 - look-alikes are the point
_words = st.text(_LETTERS, min_size=1, max_size=7)
_capabilities = st.frozensets(st.sampled_from(Capability))
_models = st.fixed_dictionaries(
    {
        "name": _words,
        "model_id": _words,
        "tags": st.lists(_words, max_size=2),
        "provider": st.sampled_from(["vllm", "ollama", "openai"]),
        "region": st.sampled_from(["", "eu", "us"]),
        "context_length": st.sampled_from([4096, 8192]),
        "can": _capabilities,
        "is_global": st.booleans(),
        "archived": st.sampled_from([False, False, True]),
        "owner": st.sampled_from(["me", "me", "other"]),
        "servers": st.lists(st.sampled_from(ServerStatus), max_size=2),
    }
)
_queries = st.builds(
    ModelQuery,
    text=st.one_of(st.just(""), _words, st.text(_LETTERS, max_size=3)),
    provider=st.sampled_from([None, None, Provider.VLLM]),
    ownership=st.sampled_from([Ownership.ALL, Ownership.ALL, *Ownership]),
    region=st.sampled_from([None, None, "", "eu"]),
    state=st.sampled_from([None, None, *ServerStatus]),
    capabilities=st.one_of(st.just(frozenset()), _capabilities),
    archived=st.sampled_from([False, False, True]),
    sort=st.sampled_from(ModelSort),
    descending=st.booleans(),
)
_RANKS = list(search_plan.PREFERRED)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("search") / "registry.db"
    db.migrate(path)
    engine = db._engine(path)
    with Session(engine) as session:
        session.add(Host(id="h", name="h"))
        session.commit()
    yield engine
    engine.dispose()


def _fill(session: Session, values: list[dict[str, Any]]) -> list[tuple[Model, list[ServerStatus]]]:
    """Exactly these models, in a registry that held others before."""
    for table in ("servers", "models"):
        session.connection().exec_driver_sql(f"DELETE FROM {table}")
    filled = []
    for number, value in enumerate(values):
        can = value["can"]
        model = Model(
            id=f"{number:04}",
            user_id=None if value["is_global"] else value["owner"],
            name=value["name"],
            served_name=f"s{number}",
            **{name: value[name] for name in ("model_id", "tags", "provider", "region", "context_length", "is_global")},
            supports_streaming=Capability.STREAMING in can,
            supports_tools=Capability.TOOLS in can,
            supports_vision=Capability.VISION in can,
            archived_at=search_time(number) if value["archived"] else None,
            updated_at=search_time(number % 2),
        )
        session.add(model)
        filled.append((model, value["servers"]))
        for status in value["servers"]:
            session.add(_server(model.id, status))
    session.flush()
    bring_up_to_date(session)
    return filled


def search_time(second: int) -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def _server(model_id: str, status: ServerStatus) -> Server:
    named: dict[str, Any] = {
        "user_id": "me",
        "model_name": "m",
        "served_name": "m",
        "server_type": "vllm",
        "runtime": "docker",
    }
    return Server(model_id=model_id, host_id="h", host_name="h", status=status, **named)


def _rank(servers: list[ServerStatus]) -> int:
    return min((_RANKS.index(status) for status in servers), default=len(_RANKS))


def _matches(model: Model, servers: list[ServerStatus], query: ModelQuery) -> bool:
    texts = [text.casefold() for text in (model.name, model.model_id, model.served_name, *model.tags)]
    state = ServerStatus.STOPPED if not servers else _RANKS[_rank(servers)]
    return (
        (model.is_global or model.user_id == "me")
        and (model.archived_at is not None) == query.archived
        and all(any(word.casefold() in text for text in texts) for word in query.text.split())
        and query.provider in {None, model.provider}
        and query.region in {None, model.region}
        and query.ownership in {Ownership.ALL, Ownership.GLOBAL if model.is_global else Ownership.MINE}
        and query.state in {None, state}
        and all(getattr(model, f"supports_{able}") for able in query.capabilities)
    )


def _plain(text: str) -> str:
    """Without case; NUL, which SQLite's text functions end at, is kept as another character."""
    return text.casefold().replace("\0", "\ufffd")


def _key(model: Model, servers: list[ServerStatus], sort: ModelSort) -> Any:
    keys: dict[ModelSort, Any] = {
        ModelSort.NAME: _plain(model.name),
        ModelSort.PROVIDER: model.provider,
        ModelSort.MODEL_ID: _plain(model.model_id),
        ModelSort.CONTEXT: model.context_length,
        ModelSort.REGION: model.region,
        ModelSort.STATUS: _rank(servers),
        ModelSort.UPDATED: model.updated_at,
        ModelSort.OWNER: model.is_global,
    }
    return keys[sort]


@pytest.mark.parametrize("few", [2, 3000])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(_models, max_size=14), query=_queries, offset=st.integers(0, 8), limit=st.integers(1, 6))
def test_every_page_is_what_a_plain_loop_finds(
    engine: Engine, few: int, values: list[dict[str, Any]], query: ModelQuery, offset: int, limit: int
) -> None:
    """P2: filters combine, every word matches in any case, sorted both ways with ties by name, at any depth."""
    names = {value["name"]: value for value in values}  # unique, as the registry has it
    with pytest.MonkeyPatch.context() as patch, Session(engine) as session:
        patch.setattr(search_plan, "FEW", few)
        patch.setattr(search_plan, "MANY", 2 * few)
        patch.setattr(search, "_NEAR", 2 * few)
        patch.setattr(search_plan, "_SOME", few)
        patch.setattr(search_index, "_REBUILD_FROM", few)
        filled = _fill(session, list(names.values()))
        expected = [(model, servers) for model, servers in filled if _matches(model, servers, query)]
        expected.sort(key=lambda pair: _plain(pair[0].name))
        expected.sort(key=lambda pair: _key(pair[0], pair[1], query.sort), reverse=query.descending)
        if query.sort is ModelSort.NAME:
            expected.sort(key=lambda pair: _plain(pair[0].name), reverse=query.descending)
        _compare(session, query, expected, offset, limit)
        session.rollback()


def _compare(
    session: Session, query: ModelQuery, expected: list[tuple[Model, list[ServerStatus]]], offset: int, limit: int
) -> None:
    def keys(models: list[Model]) -> list[object]:
        servers = {model.id: of for model, of in expected}
        return [(_key(model, servers[model.id], query.sort), model.name.casefold()) for model in models]

    wanted = [model for model, _ in expected]
    whole = [row.model for row in model_rows(session, query, user_id="me", offset=0, limit=100)]
    assert {model.id for model in whole} == {model.id for model in wanted}
    assert keys(whole) == keys(wanted)
    assert count_models(session, query, user_id="me").shown == len(wanted)
    assert list(model_names(session, query, user_id="me", most=100)) == [model.id for model in whole]
    for shown in (None, len(wanted)):
        page = model_rows(session, query, user_id="me", offset=offset, limit=limit, shown=shown)
        assert [row.model.id for row in page] == [model.id for model in whole[offset : offset + limit]]
    for index, model in enumerate(whole):
        assert place_of(session, query, user_id="me", model_id=model.id) == index


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(_LETTERS, min_size=1, max_size=9), min_size=1, max_size=8, unique=True), data=st.data())
def test_any_part_of_a_name_finds_it(engine: Engine, names: list[str], data: st.DataObject) -> None:
    """P2: whatever stands in a name can be typed to find it; quotes, % _ * and the like mean themselves."""
    name = data.draw(st.sampled_from(names))
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : data.draw(st.integers(start + 1, len(name)))]
    with Session(engine) as session:
        for table in ("servers", "models"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
        session.add_all(Model(user_id="me", name=one, model_id="x", served_name="y") for one in names)
        session.flush()
        bring_up_to_date(session)
        found = model_rows(session, ModelQuery(text=part.upper()), user_id="me", offset=0, limit=100)
        if all(char.upper().casefold() == char.casefold() for char in part):  # not so for the dotless i
            assert name in [row.model.name for row in found]
        session.rollback()


# Keeping the index


def _ordered(session: Session) -> list[str]:
    return [row.model.name for row in model_rows(session, ModelQuery(), user_id="me", offset=0, limit=10_000)]


def test_names_added_one_by_one_at_one_spot_stay_in_order(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap between two numbers is used up after a few dozen; its neighbourhood is then numbered anew."""
    monkeypatch.setattr(search_index, "_ROOM", 1 << 30)
    with Session(engine) as session:
        _fill(session, [])
        names = [f"m{number:04}" for number in range(300)]
        for name in ["a", "z", *names[::2], *reversed(names[1::2])]:
            session.add(Model(user_id="me", name=name, model_id="x", served_name=name))
            session.flush()
            bring_up_to_date(session)
        assert _ordered(session) == ["a", *names, "z"]
        found = model_rows(session, ModelQuery(text="m029"), user_id="me", offset=0, limit=100)
        assert [row.model.name for row in found] == names[290:300]
        session.connection().exec_driver_sql(_CHECK)  # raises where the pieces are not those of the table
        session.rollback()


_CHECK = "INSERT INTO model_search_pieces (model_search_pieces, rank) VALUES ('integrity-check', 1)"


async def _opened(path: Path) -> tuple[Database, Registry]:
    database = Database(path)
    await database.open()
    return database, Registry(database, EventBus(), user_id="me")


async def _found(registry: Registry, text: str) -> list[str]:
    return [row.model.name for row in await registry.model_rows(ModelQuery(text=text))]


async def test_edits_renames_and_deletions_are_found_at_once(tmp_path: Path) -> None:
    database, registry = await _opened(tmp_path / "r.db")
    model = await registry.add_model({"name": "Älpha", "provider": "vllm", "model_id": "org/x", "tags": ["Größe"]})
    assert await _found(registry, "äLPHA GRÖSSE") == ["Älpha"]
    await registry.edit_model(model.id, {"name": "beta", "tags": ["small"]})
    assert (await _found(registry, "älpha"), await _found(registry, "bet SMALL")) == ([], ["beta"])
    await registry.edit_model(model.id, {"provider": "ollama"})
    assert (await registry.count_models(ModelQuery(provider=Provider.OLLAMA))).shown == 1
    await registry.delete_model(model.id)
    assert (await _found(registry, ""), await _found(registry, "bet")) == ([], [])
    await database.close()


async def test_what_another_program_wrote_is_found_too(tmp_path: Path) -> None:
    database, registry = await _opened(tmp_path / "r.db")
    model = await registry.add_model({"name": "before", "provider": "vllm", "model_id": "x"})
    with sqlite3.connect(tmp_path / "r.db") as other:
        other.execute("UPDATE models SET name = 'after' WHERE id = ?", (model.id,))
    assert await _found(registry, "after") == ["after"]
    assert await registry.regions_in_use() == []
    await database.close()


async def test_a_search_that_nobody_waits_for_is_interrupted(tmp_path: Path) -> None:
    database, registry = await _opened(tmp_path / "r.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    begun = threading.Semaphore(0)

    def work(session: Session) -> Any:
        begun.release()
        return session.connection().exec_driver_sql(endless).scalar_one()

    reads = [asyncio.create_task(database.read(work)) for _ in range(2)]  # as many as there are readers
    for _ in reads:
        assert await asyncio.to_thread(begun.acquire, timeout=10)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    assert all(read.cancelled() for read in reads)
    async with asyncio.timeout(5):
        assert await registry.count_models(ModelQuery()) is not None
    await database.close()


async def test_users_and_filters_of_one_file(tmp_path: Path) -> None:
    database, registry = await _opened(tmp_path / "r.db")
    other = Registry(database, EventBus(), user_id="other")
    await registry.add_model({"name": "mine", "provider": "vllm", "model_id": "x"})
    await other.add_model({"name": "theirs", "provider": "vllm", "model_id": "x"})
    query = ModelQuery(text="x")
    assert [row.model.name for row in await registry.model_rows(query)] == ["mine"]
    assert (await registry.count_models(replace(query, sort=ModelSort.UPDATED))).total == 1
    await database.close()
