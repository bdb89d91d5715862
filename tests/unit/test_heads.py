"""Regions and heads in the registry (R1, R2, R5): who refers to them, and what is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.db import Database
from core.errors import InvalidInput, NotAllowed, NotFound, Refused
from core.events import EventBus
from core.registry.places import builtin_regions
from core.registry.store import Registry

HOSTILE = "\x1b]0;owned\x07[b]\u202edne"


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = Database(tmp_path / "registry.db")
    await database.open()
    yield Registry(database, EventBus(), user_id="ada")
    await database.close()


async def a_model(registry: Registry, name: str, **more: object) -> None:
    await registry.add_model({"name": name, "provider": "openai", "model_id": "gpt", **more})


def test_the_standard_codes_are_there() -> None:
    regions = builtin_regions()
    assert {"us", "eu", "ru", "cn", "br", "de", "gb"} <= set(regions)
    assert sum(len(code) == 2 for code in regions) == 249 + 1  # the countries, and eu
    assert all(re.fullmatch(r"[a-z]{2,7}", code) and name for code, name in regions.items())


async def test_own_regions_come_first_and_cannot_take_a_standard_code(registry: Registry) -> None:
    await registry.add_region({"id": "us-east-1", "name": "Virginia"})
    regions = await registry.regions()
    assert (regions[0].id, regions[0].builtin) == ("us-east-1", False)
    assert len(regions) == len(builtin_regions()) + 1
    for code in ("us", "us-east-1"):
        with pytest.raises(InvalidInput, match="already"):
            await registry.add_region({"id": code, "name": "x"})
    assert (await registry.get_region("EU")).name == "European Union"
    with pytest.raises(NotFound, match="xx"):
        await registry.get_region("xx")


async def test_built_in_regions_stay_as_they_are(registry: Registry) -> None:
    with pytest.raises(NotAllowed, match="built-in"):
        await registry.edit_region("de", {"name": "x"})
    with pytest.raises(NotAllowed, match="built-in"):
        await registry.remove_region("de")
    await registry.add_region({"id": "lab", "name": "x"})
    with pytest.raises(InvalidInput, match="stays"):
        await registry.edit_region("lab", {"id": "lab2"})
    assert (await registry.edit_region("lab", {"name": "Laboratory"})).name == "Laboratory"


async def test_models_and_heads_need_regions_and_heads_that_are_there(registry: Registry) -> None:
    """R1, R2: an unknown region or head is said at its field, on adding and on editing."""
    with pytest.raises(InvalidInput) as refused:
        await a_model(registry, "m", region="xx", head="nowhere")
    assert set(refused.value.fields) == {"region", "head"}
    with pytest.raises(InvalidInput, match="region"):
        await registry.add_head({"name": "h", "url": "https://h/v1", "region": "xx"})
    await registry.add_head({"name": "h", "url": "https://h/v1", "region": "eu"})
    await a_model(registry, "m", region="eu", head="h")
    with pytest.raises(InvalidInput, match="head"):
        await registry.edit_model("m", {"head": "nowhere"})
    with pytest.raises(InvalidInput, match="region"):
        await registry.edit_head("h", {"region": "xx"})
    assert (await registry.get_model("m")).head == "h"
    assert (await registry.edit_model("m", {"head": "", "region": ""})).region == ""


async def test_what_is_used_is_not_removed_and_says_by_whom(registry: Registry) -> None:
    await registry.add_region({"id": "lab", "name": "Lab"})
    await registry.add_head({"name": "h", "url": "https://h/v1", "region": "lab"})
    for number in range(7):
        await a_model(registry, f"m{number}", region="lab", head="h")
    with pytest.raises(Refused, match=r"m0, m1, m2, m3, m4 and 2 more"):
        await registry.remove_head("h")
    with pytest.raises(Refused, match=r"the models m0, .* and the heads h\."):
        await registry.remove_region("lab")
    assert await registry.count_uses() == ({"lab": 7}, {"h": 7})
    for number in range(7):
        await registry.edit_model(f"m{number}", {"head": "", "region": ""})
    await registry.remove_head("h")
    await registry.remove_region("lab")
    assert (await registry.heads(), await registry.count_uses()) == ([], ({}, {}))


async def test_models_follow_a_heads_new_name(registry: Registry) -> None:
    await registry.add_head({"name": "old", "url": "https://h/v1"})
    await registry.add_head({"name": "other", "url": "https://o/v1"})
    await a_model(registry, "m", head="old")
    with pytest.raises(InvalidInput, match="already"):
        await registry.edit_head("old", {"name": "other"})
    assert (await registry.get_model("m")).head == "old"
    await registry.edit_head("old", {"name": "new"})
    assert (await registry.get_model("m")).head == "new"


async def test_a_form_is_checked_without_saving(registry: Registry) -> None:
    """P4: what saving would refuse is known before."""
    await a_model(registry, "m")
    model = await registry.get_model("m")
    bad = {"name": "m", "region": "xx", "context_length": 0}
    assert set(await registry.check_form("model", bad)) == {"name", "region", "context_length"}
    assert await registry.check_form("model", {"name": "m"}, editing=model.id) == {}
    await registry.archive_model("m")
    assert "archived" in (await registry.check_form("model", {"name": "m"}))["name"]
    await registry.add_head({"name": "h", "url": "https://h/v1"})
    assert set(await registry.check_form("head", {"name": "h"})) == {"name"}
    assert set(await registry.check_form("region", {"id": "de"})) == {"id"}


async def test_any_name_is_stored_exactly(registry: Registry) -> None:
    await registry.add_head({"name": HOSTILE, "url": "https://h/v1", "description": HOSTILE})
    await registry.add_region({"id": "lab", "name": HOSTILE})
    await a_model(registry, "m", head=HOSTILE, extra={HOSTILE: HOSTILE}, tags=[HOSTILE])
    model = await registry.get_model("m")
    assert (model.head, model.extra, model.tags) == (HOSTILE, {HOSTILE: HOSTILE}, [HOSTILE])
    assert (await registry.get_head(HOSTILE)).description == HOSTILE
    assert (await registry.get_region("lab")).name == HOSTILE


async def test_metadata_is_replaced_but_for_the_path(registry: Registry) -> None:
    """R3, N2: what is taken out of the metadata is gone; the path has its own field."""
    await a_model(registry, "m", path="/x/y", extra={"a": 1, "empty": ""})
    assert (await registry.get_model("m")).extra == {"a": 1, "empty": "", "model_path": "/x/y"}
    await registry.edit_model("m", {"extra": {"b": 2}})
    assert (await registry.get_model("m")).extra == {"b": 2, "model_path": "/x/y"}
    await registry.edit_model("m", {"path": "", "extra": None})
    assert (await registry.get_model("m")).extra == {}
