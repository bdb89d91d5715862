"""Export and import: nothing is lost on the way in any format, and hostile files do no harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from core.db import Database
from core.errors import UsageError
from core.events import EventBus, Progress, now
from core.exchange import readers, writers
from core.exchange.portable import HEAD_ORDER, MODEL_ORDER, REGION_ORDER, incoming, portable
from core.exchange.service import BATCH, ExchangeService
from core.exchange.values import Format, Imported, Item
from core.registry.import_values import OnConflict, Outcome
from core.registry.imports import FIELDS
from core.registry.journal import is_secret
from core.registry.records import Head, Model, Region
from core.registry.store import Registry
from core.registry.values import ModelQuery, Provider

PLANTED = "c0ffee-planted-5ecret"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
NAME = TEXT.filter(lambda text: bool(text.strip()))
NASTY = st.sampled_from(
    [
        "no",
        "~",
        "null",
        "1e3",
        "0x1F",
        "1_0",
        "2024-01-01",
        "12:30",
        "\x1b]0;x\x07",
        "a\r\nb\n",
        "a\x85",
        "שלום",
        "=1+1",
    ]
)
WORD = NAME | NASTY
KEY = WORD.filter(lambda word: not is_secret(word))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from(["a", "b c", "model_path", "<<", "é", "1", "null"]), JSON, max_size=4)
MODEL: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    name=WORD,
    provider=st.sampled_from([one.value for one in Provider]),
    model_id=WORD,
    served_name=WORD,
    task=st.sampled_from(["generate", "embed"]),
    host=st.sampled_from(["local", "gpu 1"]),
    context_length=st.integers(1, 100_000_000),
    default_temperature=st.floats(0, 2),
    default_top_p=st.floats(0, 1),
    supports_tools=st.booleans(),
    local_inference=st.booleans(),
    endpoint=st.sampled_from(["", "http://127.0.0.1:8000/v1", "https://höst/é?a=b#c"]),
    api_key_ref=st.sampled_from(["", "OPENAI_API_KEY"]),
    region=st.sampled_from(["", "no", "us"]),
    tags=st.lists(WORD, max_size=3),
    flags=OBJECT,
    extra=OBJECT,
    archived_at=st.none() | st.just(now()),
)


def _columns(record: Model | Head | Region) -> dict[str, Any]:
    return record.model_dump(exclude={"id", "user_id", "updated_at"})


@pytest.mark.parametrize("form", list(Format))
@given(values=st.lists(MODEL, min_size=1, max_size=2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_models_come_back_as_they_were(form: Format, values: list[dict[str, Any]]) -> None:
    models = [Model(user_id="me", **one) for one in values]
    lost: list[str] = []
    text = "".join(writers.write(form, [("models", [portable(model, lost) for model in models])]))
    items = [item for item in readers.read(text.encode(), form, "f") if item.kind]
    back = [incoming(one.kind, one.value, where="f", line=one.line, loose=form is Format.CSV) for one in items]
    assert [one.problems for one in back] == [{}] * len(models)
    assert [_columns(Model(user_id="me", **one.columns)) for one in back] == [_columns(model) for model in models]
    assert lost == []


@pytest.mark.parametrize("form", list(Format))
@given(names=st.lists(st.tuples(WORD, TEXT), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_heads_and_regions_come_back_as_they_were(form: Format, names: list[tuple[str, str]]) -> None:
    heads = [Head(name=name, url="https://h/v1", region="eu", description=text) for name, text in names]
    regions = [Region(id="moon-1", name=name) for name, _ in names]
    for kind, records in (("heads", heads), ("regions", regions)):
        text = "".join(writers.write(form, [(kind, [portable(record, []) for record in records])]))
        items = [item for item in readers.read(text.encode(), form, "f") if item.kind]
        back = [incoming(one.kind, one.value, where="f", loose=form is Format.CSV) for one in items]
        made = [type(records[0])(**one.columns) for one in back]
        assert [_columns(one) for one in made] == [_columns(one) for one in records]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = Database(tmp_path / "registry.db")
    await database.open()
    yield Registry(database, EventBus(), user_id="me")
    await database.close()


@pytest.fixture
def exchange(registry: Registry) -> ExchangeService:
    return ExchangeService(registry, registry._bus)


async def _import(exchange: ExchangeService, text: str, form: Format = Format.JSON, **more: Any) -> Imported:
    preview = await exchange.preview(await exchange.read_text(text.encode(), form), **more)
    return await _applied(exchange, preview)


async def _applied(exchange: ExchangeService, preview: Any) -> Imported:
    *_, last = [event async for event in exchange.apply(preview)]
    assert isinstance(last, Imported)
    return last


async def _exported(exchange: ExchangeService, form: Format = Format.JSON, **more: Any) -> str:
    pieces: list[str] = []
    await exchange.export(form, pieces.append, **more)
    return "".join(pieces)


def _one(name: str = "a", **values: Any) -> dict[str, Any]:
    return {"name": name, "provider": "vllm", "model_id": "org/x", **values}


def _models(*models: dict[str, Any]) -> str:
    return json.dumps({"models": models})


@pytest.mark.parametrize("form", [Format.JSON, Format.YAML, Format.TOML])
async def test_a_whole_registry_moves_to_another(
    registry: Registry, exchange: ExchangeService, tmp_path: Path, form: Format
) -> None:
    await registry.add_region({"id": "moon", "name": "The Moon"})
    await registry.add_head({"name": "gate", "url": "https://gate/v1", "region": "moon"})
    await registry.add_model({**_one(head="gate", region="moon"), "extra": {"none": None}, "path": "/m/x"})
    await registry.add_model(_one("gone", tags=["t"]))
    await registry.archive_model("gone")
    text = await _exported(exchange, form)
    database = Database(tmp_path / "other.db")
    await database.open()
    other = Registry(database, EventBus(), user_id="you")
    there = ExchangeService(other, other._bus)
    done = await _import(there, text, form)
    assert done.counts["add"] == 4
    again = await _import(there, text, form)
    assert again.counts == {"add": 0, "change": 0, "unchanged": 4, "conflict": 0, "invalid": 0}
    assert _without_time(await _exported(there, form)) == _without_time(text)
    undone = await other.undo(done.batch)
    assert undone.batch.text.endswith("(imported from standard input)")
    assert (await other.heads(), await other.history(limit=1)) != ([], [])
    await database.close()


def _without_time(text: str) -> list[str]:
    return [line for line in text.splitlines() if "exported_at" not in line]


@pytest.mark.parametrize(
    ("rule", "outcome", "models"),
    [
        (OnConflict.SKIP, Outcome.CONFLICT, {"a": (4096, ["old"], {"k": 1})}),
        (OnConflict.REPLACE, Outcome.CHANGE, {"a": (9, ["new"], {"l": 2})}),
        (OnConflict.MERGE, Outcome.CHANGE, {"a": (9, ["old", "new"], {"k": 1, "l": 2})}),
        (OnConflict.RENAME, Outcome.ADD, {"a": (4096, ["old"], {"k": 1}), "a (2)": (9, ["new"], {"l": 2})}),
    ],
)
async def test_merge_rules_do_what_the_preview_says(
    registry: Registry, exchange: ExchangeService, rule: OnConflict, outcome: Outcome, models: dict[str, Any]
) -> None:
    await registry.add_model({**_one(tags=["old"], max_output_tokens=7), "extra": {"k": 1}})
    text = _models(_one(context_length=9, tags=["new"], metadata={"l": 2}))
    preview = await exchange.preview(await exchange.read_text(text.encode(), Format.JSON), rule)
    assert [one.outcome for one in preview.decisions] == [outcome]
    if outcome is not Outcome.ADD:
        assert {"context_length", "tags", "metadata"} <= set(preview.decisions[0].fields)
    assert (await registry.get_model("a")).context_length == 4096
    await _applied(exchange, preview)
    rows = (await registry.search(ModelQuery())).rows
    found = {row.model.name: (row.model.context_length, row.model.tags, row.model.extra) for row in rows}
    assert found == models
    again = await exchange.preview(await exchange.read_text(text.encode(), Format.JSON), rule)
    assert again.writes == 0
    kept = {OnConflict.REPLACE: 2048, OnConflict.RENAME: 7}.get(rule, 7)
    assert (await registry.get_model("a")).max_output_tokens == kept


async def test_what_is_wrong_is_named_by_file_line_and_field(exchange: ExchangeService) -> None:
    text = """
models:
- name: fine
  provider: vllm
  model_id: x
- name: fine
  provider: vllm
  model_id: y
- {name: b, provider: nobody, model_id: x, context_length: "lots", colour: red}
- provider: vllm
- just text
- {name: c, provider: vllm, model_id: x, region: nowhere, head: none, metadata: '{"a": '}
- {name: d, provider: openai, model_id: x, api_key_ref: sk-0123456789abcdef0123, archived_at: soon}
"""
    reading = await exchange.read_text(text.encode(), Format.YAML, source="f.yaml")
    preview = await exchange.preview(reading)
    told = {one.incoming.place: sorted(one.incoming.problems) for one in preview.decisions}
    assert told == {
        "f.yaml:3": [],
        "f.yaml:6": ["name"],
        "f.yaml:9": ["colour", "context_length", "provider"],
        "f.yaml:10": ["model_id", "name"],
        "f.yaml:11": ["model"],
        "f.yaml:12": ["metadata"],
        "f.yaml:13": ["api_key_ref", "archived_at"],
    }
    assert "0123456789abcdef" not in str([one.incoming.problems for one in preview.decisions])
    done = await _applied(exchange, preview)
    assert (done.counts["add"], done.counts["invalid"]) == (1, 6)


async def test_places_that_are_nowhere_are_told_and_those_in_the_file_are_fine(exchange: ExchangeService) -> None:
    one = _one(region="nowhere", head="none")
    reading = await exchange.read_text(_models(one).encode(), Format.JSON)
    assert set(reading.records[0].problems) == {"region", "head"}
    whole = {
        "models": [one],
        "heads": [{"name": "none", "url": "https://h"}],
        "regions": [{"code": "nowhere", "name": "N"}],
    }
    assert (await _import(exchange, json.dumps(whole))).counts["add"] == 3


async def test_secrets_are_never_exported_and_undo_takes_an_import_back(
    registry: Registry, exchange: ExchangeService
) -> None:
    record = Model(user_id="me", name="a", provider="vllm", model_id="x", served_name="a", api_key_ref="MY_KEY")
    record.extra, record.flags = {"deep": {"hf_token": PLANTED}, "n": 1}, {"api-key": PLANTED}
    record.endpoint = f"https://me:{PLANTED}@host/v1"
    await registry._save(record, "model", "added")
    for form in Format:
        pieces: list[str] = []
        kinds = ("models",) if form is Format.CSV else ("models", "heads")
        done = await exchange.export(form, pieces.append, kinds=kinds)
        assert PLANTED not in "".join(pieces)
        assert "[secret" not in "".join(pieces)
        assert "MY_KEY" in "".join(pieces)
        assert set(done.left_out) == {"a: endpoint", "a: flags", "a: metadata"}


async def test_batches_tell_how_far_they_are_and_can_be_stopped(registry: Registry, exchange: ExchangeService) -> None:
    text = _models(*(_one(f"m{number}") for number in range(3 * BATCH + 1)))
    preview = await exchange.preview(await exchange.read_text(text.encode(), Format.JSON))
    stream = exchange.apply(preview)
    told = [await anext(stream), await anext(stream)]
    assert [(one.done, one.total) for one in told if isinstance(one, Progress)] == [(500, 1501), (1000, 1501)]
    await stream.aclose()  # type: ignore[attr-defined]
    assert await _count(registry) == 2 * BATCH
    assert (await registry.batches())[0].count == 2 * BATCH
    rest = await _applied(exchange, preview)
    assert (rest.counts["add"], rest.counts["unchanged"]) == (BATCH + 1, 2 * BATCH)
    await registry.undo(rest.batch)
    await registry.undo()
    assert await _count(registry) == 0


async def _count(registry: Registry) -> int:
    return (await registry.search(ModelQuery(), limit=0)).total


async def test_a_record_that_came_meanwhile_is_decided_anew(registry: Registry, exchange: ExchangeService) -> None:
    text = _models(_one(context_length=9), _one("b"))
    preview = await exchange.preview(await exchange.read_text(text.encode(), Format.JSON))
    await registry.add_model(_one(context_length=5))
    done = await _applied(exchange, preview)
    assert (done.counts["add"], done.counts["conflict"]) == (1, 1)
    assert (await registry.get_model("a")).context_length == 5


DEEP = 100_000
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
HOSTILE = {
    "bomb": (Format.YAML, BOMB + "models: *a11", "aliases"),
    "merge bomb": (Format.YAML, "a: &a {x: 1}\n" + "".join(f"b{n}: {{<<: *a}}\n" for n in range(9)) + "models: 1", ""),
    "deep yaml": (Format.YAML, "models: " + "[" * DEEP, "nested"),
    "deep block yaml": (Format.YAML, "models:\n" + "".join(" " * n + "- \n" for n in range(200)), "nested"),
    "deep json": (Format.JSON, '{"models": ' + "[" * DEEP, "nested"),
    "deep toml": (Format.TOML, "models = " + "[" * DEEP, "nested"),
    "python": (Format.YAML, "models: [!!python/object/apply:os.system ['true']]", "tags"),
    "recursive": (Format.YAML, "models: &a [*a]", "alias"),
    "two documents": (Format.YAML, "a: 1\n---\nb: 2", "more than one"),
    "no json": (Format.JSON, '{"models": [{"name": }]}', "no JSON"),
    "nan": (Format.JSON, '{"models": [{"name": NaN}]}', "NaN"),
    "twice": (Format.JSON, '{"models": [{"name": "a", "name": "b"}]}', "twice"),
    "no yaml": (Format.YAML, "models: [a: b: c", "no YAML"),
    "no toml": (Format.TOML, "models = [", "no TOML"),
    "text": (Format.YAML, "just words", "no records"),
    "nothing known": (Format.JSON, '{"this": [], "that": 1}', "no records"),
    "headless csv": (Format.CSV, "1,2,3\n", "first row"),
    "open csv": (Format.CSV, 'name,provider\n"a', "no CSV"),
    "newer": (Format.JSON, '{"modelyard": 99, "models": []}', "newer"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_files_are_refused_with_the_reason(exchange: ExchangeService, case: str) -> None:
    form, text, reason = HOSTILE[case]
    with pytest.raises(UsageError) as caught:
        await asyncio.wait_for(exchange.read_text(text.encode(), form, source="f"), 10)
    assert reason in caught.value.message
    assert caught.value.message.startswith("f")
    assert caught.value.remedy


async def test_bytes_that_are_no_utf8_are_named_by_their_line(exchange: ExchangeService) -> None:
    with pytest.raises(UsageError, match="f:2 can't be read: it is not UTF-8"):
        await exchange.read_text(b"a\n\xff", Format.YAML, source="f")
    with pytest.raises(UsageError, match="UTF-16"):
        await exchange.read_text("{}".encode("utf-16"), Format.JSON, source="f")


async def test_files_that_are_too_large_missing_or_no_files(
    exchange: ExchangeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UsageError, match="larger than 256 MiB"):
        await exchange.read_file(str(huge))
    os.mkfifo(tmp_path / "pipe.json")
    for name, reason in (("none.json", "No such file"), ("pipe.json", "it is no file"), ("", "it is no file")):
        with pytest.raises(UsageError, match=reason):
            await exchange.read_file(str(tmp_path / name), form=Format.JSON)
    with pytest.raises(UsageError, match="format is not told"):
        await exchange.read_file(str(huge.with_suffix(".txt")))


def test_yaml_merges_and_aliases_mean_what_they_mean_elsewhere() -> None:
    text = "x: &x {a: 1, b: 2}\nmodels:\n- {<<: *x, b: 3}\n- *x\n- {<<: [*x, {c: 4}]}\n"
    items = [item for item in readers.read(text.encode(), Format.YAML, "f") if item.kind]
    assert [item.value for item in items] == [{"a": 1, "b": 3}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 4}]
    assert [item.line for item in items] == [3, 4, 5]


@pytest.mark.parametrize("form", [Format.JSON, Format.TOML, Format.CSV])
def test_records_are_named_by_their_lines(form: Format) -> None:
    records = [portable(Model(user_id="me", **_one(name), served_name="x"), []) for name in ("a", "b\nb", "c")]
    text = "".join(writers.write(form, [("models", records)]))
    lines = text.splitlines()
    for item in [item for item in readers.read(text.encode(), form, "f") if item.kind]:
        assert item.line is not None
        there = "\n".join(lines[item.line - 1 : item.line + 2])
        assert str(item.value["name"])[0] in there


def test_csv_by_hand_is_understood() -> None:
    text = "name,provider,model_id,tags,supports_tools,context_length\na,vllm,org/x,one; two,yes,8192\nb,vllm,y\n"
    items = [item for item in readers.read(text.encode(), Format.CSV, "f") if item.kind]
    first, second = [incoming("model", item.value, where="f", loose=True) for item in items]
    assert (first.problems, second.problems) == ({}, {})
    assert first.columns["tags"] == ["one", "two"]
    assert (first.columns["supports_tools"], first.columns["context_length"]) == (True, 8192)
    assert set(second.columns) == {"name", "provider", "model_id"}


async def test_what_is_listed_can_be_imported_again(registry: Registry, exchange: ExchangeService) -> None:
    from core.cli.views import model_fields

    model = await registry.add_model(_one(tags=["t"], path="/m"))
    listed = json.dumps({"models": [model_fields(model)]}, default=str)
    await registry.delete_model("a")
    assert (await _import(exchange, listed)).counts["add"] == 1
    back = await registry.get_model("a")
    assert (back.tags, back.path) == (["t"], "/m")


async def test_filters_choose_what_is_exported(registry: Registry, exchange: ExchangeService) -> None:
    for name in ("alpha", "beta"):
        await registry.add_model(_one(name))
    text = await _exported(exchange, query=ModelQuery(text="alph"), kinds=("models",))
    assert [one["name"] for one in json.loads(text)["models"]] == ["alpha"]


def test_an_item_is_a_value() -> None:
    assert replace(Item(kind="model", key="models", value=1), line=2).line == 2


async def test_the_log_of_an_import_is_whole(registry: Registry, exchange: ExchangeService) -> None:
    await _import(exchange, _models(_one(tags=["t"])))
    line = (await registry.history())[0]
    assert (line.action, line.name, line.note) == ("added", "a", "imported from standard input")
    assert line.after is not None
    assert line.after["tags"] == ["t"]

    def stored(session: Session) -> Model:
        return session.exec(select(Model).where(Model.name == "a")).one()

    assert (await registry._db.read(stored)).created_at <= now()


def test_every_field_and_column_of_a_record_is_exported() -> None:
    metadata = {"extra": "metadata", "id": "code"}
    for kind, table, order in (
        ("model", Model, MODEL_ORDER),
        ("head", Head, HEAD_ORDER),
        ("region", Region, REGION_ORDER),
    ):
        assert {metadata.get(name, name) for name in FIELDS[kind]} <= set(order)
        left_out = {"id", "user_id", "is_global", "catalog", "last_test", "updated_at", "builtin"}
        assert {metadata.get(name, name) for name in table.model_fields} - left_out - {"code"} <= set(order)
