"""The change log and undo: who, what, when; everything comes back as it was, and no secret is in the log."""

from __future__ import annotations

import getpass
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from core.db import Database
from core.errors import NotAllowed, NotFound, Refused
from core.events import EventBus
from core.registry.journal import MASK, MASK_CHANGED, is_secret, masked
from core.registry.records import Change, Head, Model, Region
from core.registry.store import Registry
from core.registry.undo import Net, conflicts, restored

PLANTED = "c0ffee-planted-5ecret"
VALUES = {"provider": "vllm", "model_id": "org/x", "path": "/m/x", "tags": ["t"], "flags": {"seed": "1"}}


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
    async with opened(tmp_path / "r.db") as it:
        yield it


async def _state(registry: Registry) -> list[dict[str, Any]]:
    """Every record but for the time of the last change."""

    def work(session: Session) -> list[dict[str, Any]]:
        found = [record for table in (Model, Head, Region) for record in session.exec(select(table))]
        return [record.model_dump(exclude={"updated_at"}) for record in found]

    return sorted(await registry._db.read(work), key=lambda one: str(one["id"]))


async def test_the_log_says_who_what_and_when(registry: Registry) -> None:
    await registry.add_model({"name": "a", **VALUES})
    await registry.edit_model("a", {"context_length": 9, "tags": ["t"]})
    await registry.archive_model("a")
    await registry.archive_model("a", archived=False)
    await registry.delete_model("a")
    lines = await registry.history()
    assert [line.action for line in lines] == ["deleted", "restored", "archived", "edited", "added"]
    assert {line.who for line in lines} == {f"me@{socket.gethostname()}"}
    assert (lines[3].before, lines[3].after) == ({"context_length": 4096}, {"context_length": 9})
    assert lines[4].after is not None
    assert lines[4].after["extra"] == {"model_path": "/m/x"}
    assert lines[0].at >= lines[4].at
    assert len({line.batch for line in lines}) == 5


async def test_nothing_is_logged_of_what_is_no_change(registry: Registry) -> None:
    await registry.add_model({"name": "a", **VALUES})
    await registry.edit_model("a", {"context_length": 4096, "tags": ["t"]})
    assert [line.action for line in await registry.history()] == ["added"]


async def test_every_action_is_taken_back_and_done_again(registry: Registry) -> None:
    await registry.add_head({"name": "gate", "url": "https://gate/v1"})
    await registry.add_region({"id": "moon", "name": "The Moon"})
    await registry.add_model({"name": "a", **VALUES})
    states = [await _state(registry)]
    for action in (
        registry.edit_model("a", {"name": "b", "flags": {"seed": "2", "x": ""}, "extra": {"n": 1}, "region": "moon"}),
        registry.archive_model("b"),
        registry.edit_head("gate", {"description": "d"}),
        registry.archive_models(["b"], archived=False),
        registry.edit_model("b", {"region": ""}),
        registry.remove_region("moon"),
        registry.delete_models(["b"]),
        registry.remove_head("gate"),
    ):
        await action
        states.append(await _state(registry))
    for state in reversed(states[:-1]):
        assert not (await registry.undo()).redone
        assert await _state(registry) == state
    for state in states[1:]:
        assert (await registry.undo(redo=True)).redone
        assert await _state(registry) == state


async def test_undo_goes_on_from_where_one_is(registry: Registry) -> None:
    model = await registry.add_model({"name": "a", **VALUES})
    await registry.edit_model("a", {"context_length": 1})
    await registry.edit_model("a", {"context_length": 2})
    await registry.undo()
    await registry.edit_model("a", {"context_length": 3})
    await registry.undo()
    assert (await registry.get_model("a")).context_length == 1
    await registry.undo()
    assert (await registry.get_model("a")).context_length == 4096
    await registry.undo()
    with pytest.raises(NotFound, match="nothing to take back"):
        await registry.undo()
    for _ in range(3):
        await registry.undo(redo=True)
    back = await registry.get_model(model.id)
    assert (back.name, back.context_length, back.created_at) == ("a", 3, model.created_at)


async def test_what_changed_since_is_not_overwritten(registry: Registry) -> None:
    await registry.add_model({"name": "a", **VALUES})
    first = await registry.edit_model("a", {"context_length": 9})
    batch = (await registry.history())[0].batch
    await registry.edit_model("a", {"context_length": 10, "max_output_tokens": 5})
    before = await _state(registry)
    with pytest.raises(Refused, match="a changed since: context_length"):
        await registry.undo(batch)
    assert await _state(registry) == before
    await registry.edit_model(first.id, {"context_length": 9})
    await registry.undo(batch)
    changed = await registry.get_model("a")
    assert (changed.context_length, changed.max_output_tokens) == (4096, 5)
    with pytest.raises(Refused, match="taken back already"):
        await registry.undo(batch)


async def test_a_name_that_is_taken_and_a_record_that_is_gone_stand_in_the_way(registry: Registry) -> None:
    await registry.add_model({"name": "a", **VALUES})
    await registry.edit_model("a", {"tags": []})
    edited = (await registry.history())[0].batch
    await registry.delete_model("a")
    deleted = (await registry.history())[0].batch
    with pytest.raises(Refused, match="a was deleted since"):
        await registry.undo(edited)
    await registry.add_model({"name": "a", **VALUES})
    with pytest.raises(Refused, match="another model is called a"):
        await registry.undo(deleted)


async def test_a_head_that_models_name_is_not_taken_away(registry: Registry) -> None:
    await registry.add_head({"name": "gate", "url": "https://gate/v1"})
    added = (await registry.history())[0].batch
    await registry.add_model({"name": "a", **VALUES, "head": "gate"})
    with pytest.raises(Refused, match="gate"):
        await registry.undo(added)


async def test_a_record_does_not_return_to_a_region_that_is_gone(registry: Registry) -> None:
    await registry.add_region({"id": "moon", "name": "The Moon"})
    await registry.add_model({"name": "a", **VALUES, "region": "moon"})
    await registry.delete_model("a")
    deleted = (await registry.history())[0].batch
    await registry.remove_region("moon")
    with pytest.raises(Refused, match="there is no region moon any more"):
        await registry.undo(deleted)
    await registry.undo()
    await registry.undo()
    assert (await registry.get_model("a")).region == "moon"


async def test_the_log_never_holds_a_secret_and_undo_never_writes_its_mask(registry: Registry) -> None:
    session_values: dict[str, Any] = {
        "flags": {"api-key": PLANTED, "seed": "1"},
        "extra": {"deep": [{"hf_token": PLANTED}], "n": 1},
    }
    record = Model(user_id="me", name="a", provider="vllm", model_id="x", served_name="a", **session_values)
    record.endpoint = f"https://user:{PLANTED}@host/v1"
    await registry._save(record, "model", "added")

    def change(session: Session) -> Model:
        model = session.get(Model, record.id)
        assert model is not None
        model.flags = {"api-key": f"{PLANTED}-2", "seed": "2"}
        model.extra = {**model.extra, "n": 2}
        return model

    await registry._change(change, "model", "edited")
    undone = await registry.undo()
    assert undone.lost == ("a: api-key",)
    model = await registry.get_model("a")
    assert (model.flags, model.extra) == ({"api-key": f"{PLANTED}-2", "seed": "1"}, session_values["extra"])
    await registry.delete_model("a")
    undone = await registry.undo()
    assert set(undone.lost) == {"a: endpoint", "a: flags", "a: extra"}
    model = await registry.get_model(record.id)
    assert (model.endpoint, model.flags, model.extra) == ("https://host/v1", {"seed": "1"}, {"deep": [{}], "n": 1})
    lines = await registry.history()
    assert PLANTED not in "".join(str(line.model_dump()) for line in lines)
    assert MASK not in str(model.model_dump())


async def test_users_see_and_take_back_only_their_own(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db", "one") as one:
        await one.add_model({"name": "a", **VALUES})
        await one.add_head({"name": "gate", "url": "https://gate/v1"})
        model_batch, head_batch = [line.batch for line in reversed(await one.history())]
    async with opened(tmp_path / "r.db", "two") as two:
        assert [line.name for line in await two.history()] == ["gate"]
        for batch, error in ((model_batch, NotFound), (head_batch, NotAllowed), (None, NotFound)):
            with pytest.raises(error):
                await two.undo(batch)
        with pytest.raises(NotFound):
            await two.history("a")


async def test_history_of_one_record_follows_its_names(registry: Registry) -> None:
    model = await registry.add_model({"name": "a", **VALUES})
    await registry.edit_model("a", {"name": "b"})
    await registry.add_model({"name": "other", **VALUES})
    for ref in (model.id, "a", "b"):
        assert len(await registry.history(ref)) == 2
    batches = await registry.batches(limit=2)
    assert [batch.text for batch in batches] == ["added model: other", "edited model: b"]
    with pytest.raises(NotFound):
        await registry.history("nobody")


async def test_a_batch_of_many_is_one_action(registry: Registry) -> None:
    for name in "abcde":
        await registry.add_model({"name": name, **VALUES})
    before = await _state(registry)
    await registry.change_models(list("abcde"), {"context_length": 1}, add_tags=["new"])
    assert (await registry.batches(limit=1))[0].text == "edited 5 models: a, b, c and 2 more"
    undone = await registry.undo()
    assert len(undone.changes) == 5
    assert await _state(registry) == before
    assert (await registry.batches(limit=1))[0].text == "took back: edited 5 models: a, b, c and 2 more"


async def test_a_global_model_is_not_in_the_log(registry: Registry) -> None:
    record = Model(name="gpt", provider="openai", model_id="gpt", served_name="gpt", is_global=True)
    await registry._save(record, "model", "added")
    assert await registry.history() == []
    assert getpass.getuser() not in str(await registry.history(record.id))


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("token", True),
        ("HF_TOKEN", True),
        ("apiKey", True),
        ("api-key", True),
        ("Authorization", True),
        ("db password", True),
        ("client_secret", True),
        ("max_tokens", False),
        ("eos_token", False),
        ("tokenizer", False),
        ("author", False),
        ("api_key_ref", False),
        ("token_env", False),
    ],
)
def test_secrets_are_known_by_their_keys(key: str, secret: bool) -> None:
    assert is_secret(key) is secret
    assert (masked("extra", {key: PLANTED}) == {key: MASK}) is secret


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "token"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_LINE = Change(user_id="me", batch="b", kind="model", record_id="1", name="a", action="edited")
_OBJECT = st.dictionaries(st.sampled_from(["a", "b", "c", "password"]), _JSON, max_size=4)


@given(before=_OBJECT, after=_OBJECT, other=_OBJECT)
def test_an_edit_of_an_object_is_taken_back_exactly_or_refused(before: Any, after: Any, other: Any) -> None:
    logged = {"extra": masked("extra", before)}, {"extra": masked("extra", after, before=before)}
    net = Net(last=_LINE, existed=True, exists=True, before=logged[0], after=logged[1])
    model = Model(name="a", model_id="x", served_name="a", extra=after)
    assert conflicts(net, model) == []
    lost: list[str] = []
    value = restored(net, model, lost)["extra"]
    assert MASK not in str(value)
    assert MASK_CHANGED not in str(value)
    if not lost:
        assert value == before
    kept = {key: one for key, one in other.items() if key not in {**before, **after}}
    model.extra = {**after, **kept}
    assert {key: one for key, one in restored(net, model, [])["extra"].items() if key in kept} == kept
