"""What is told of thousands of models (D8): small in memory, read piece by piece, and the same as it stands there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.db import Database
from core.errors import FileProblem
from core.events import EventBus
from core.files import installed, packed
from core.files.packed import PackedFiles
from core.registry.jobs import Job, JobKind, JobState
from core.registry.store import Registry
from core.settings import Settings

HASHES = ("a" * 64, "A" * 64, "0" * 62 + "  ", "short", "")
FILES = st.fixed_dictionaries(
    {"path": st.sampled_from(["m", "m/a", "m/b/c.bin", "mm/a", "other"]), "size": st.integers(0, 2**60)},
    optional={"sha256": st.sampled_from(HASHES), "pickle": st.just({"level": "known"}), "later": st.booleans()},
)
MODELS = st.fixed_dictionaries(
    {"path": st.sampled_from(["m", "n"]), "title": st.sampled_from(["m", "T"])},
    optional={"licence": st.just("mit"), "files": st.lists(FILES, max_size=4), "later": st.lists(st.integers())},
)


@given(st.lists(MODELS, max_size=4), st.sampled_from([None, 1]), st.sampled_from([1, 9, 1 << 18]))
@example([{"path": "m", "title": "m", "files": [{"path": "m", "size": 1, "sha256": "a" * 64}]}], None, 1)
def test_what_is_told_is_the_same_when_it_is_kept_small(
    told: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_CHUNK", chunk)
        models = installed.parse(json.dumps({"version": 1, "models": told}, indent=indent), "it")
    assert [list(model.files) for model in models] == [
        one.get("files", []) for one in sorted(told, key=lambda one: one["path"])
    ]
    assert [model.more for model in models] == [
        {"later": one["later"]} if "later" in one else {} for one in sorted(told, key=lambda one: one["path"])
    ]
    assert installed.parse(installed.text_of(models), "it") == models


def test_packed_files_are_as_a_tuple_of_dictionaries() -> None:
    plain = tuple({"path": f"org/m/{name}", "size": size, "sha256": "0f" * 32} for size, name in enumerate("abc"))
    [model] = installed.parse(json.dumps({"models": [{"path": "org/m", "title": "m", "files": plain}]}), "it")
    assert isinstance(model.files, PackedFiles)
    assert (len(model.files), model.files[1], model.files[-1], model.size) == (3, plain[1], plain[2], 3)
    assert model.files[1:] == plain[1:]
    assert model.files == plain
    assert plain[0] in model.files
    assert json.loads(json.dumps(asdict(model)))["files"] == list(plain)
    with pytest.raises(IndexError):
        model.files[3]


def test_a_file_that_ends_anywhere_is_damaged_and_one_arranged_otherwise_is_read() -> None:
    models = [{"path": "m", "title": "m", "files": [{"path": "m/a", "size": 1, "sha256": "a" * 64}]}]
    text = json.dumps({"version": 1, "models": models})
    for end in range(len(text) - 1):
        with pytest.raises(FileProblem, match="damaged"):
            installed.parse(text[:end], "it")
    for other in ({"models": models, "version": 1}, {"version": 1, "models": models, "note": []}, {"models": models}):
        with pytest.raises(ValueError, match="arranged"):
            list(packed.each_model(StringIO(json.dumps(other)).read))
        assert installed.parse(json.dumps(other), "it") == installed.parse(text, "it")
    with pytest.raises(FileProblem) as raised:
        installed.parse(text.replace('"size": 1', '"size": x'), "it")
    assert f"char {text.index('1,', 20)}" in raised.value.cause


@pytest.mark.parametrize("outside", ["../m", "/m", "m/../../n", "a\\b"])
def test_no_path_leads_out_of_the_folder(outside: str) -> None:
    file = {"path": f"m/{outside}", "size": 1, "sha256": "a" * 64}
    for model in ({"path": outside, "title": "t"}, {"path": "m", "title": "t", "files": [file]}):
        told = [{"path": "m/fine", "title": "t", "files": [{**file, "path": "m/fine/x"}]}, model]
        with pytest.raises(FileProblem, match="outside"):
            installed.parse(json.dumps({"version": 1, "models": told}), "it")


@pytest.fixture
async def registry(settings: Settings) -> AsyncIterator[Registry]:
    """An empty one."""
    database = Database(settings.db_path)
    settings.ensure_folders()
    await database.open()
    yield Registry(database, EventBus(), user_id="me")
    await database.close()


async def test_a_listed_job_says_what_the_whole_one_says(registry: Registry) -> None:
    """D6, D8: how many files, not which."""
    files = [{"path": name, "size": 1} for name in "ab"]
    listing = {"source": "hf:o/m", "licence": "mit", "gated": "auto", "files": files}
    spec = {"listing": listing, "token": True, "repair": True, "models": "/srv/models"}
    download = await registry.add_job(Job(user_id="me", title="d", spec=spec, files=files[:1], priority=1))
    check = {"models": ["m", "n"], "files": files * 2}
    verify = Job(user_id="me", title="v", kind=JobKind.VERIFY, spec=check, state=JobState.RUNNING, result={"bad": 3})
    verify.bytes_total, verify.bytes_done, verify.rate = 100, 50, 10.0
    await registry.add_job(verify)
    over = Job(user_id="me", title="o", kind=JobKind.VERIFY, spec=check, state=JobState.DONE)
    await registry.add_job(over)
    first, second, third = await registry.listed_jobs()
    assert (first.id, first.title, first.created_at) == (download.id, "d", download.created_at)
    assert (first.source, first.licence, first.count, first.done, first.models) == ("hf:o/m", "mit", 2, 1, ())
    assert first.is_gated
    assert first.took_token
    assert first.is_repair
    assert (second.count, second.bad, second.models, second.eta_s) == (4, 3, ("m", "n"), 5.0)
    assert (third.source, third.models, third.is_gated, third.eta_s) == ("", (), False, None)
    assert [job.id for job in await registry.listed_jobs(states=[JobState.RUNNING])] == [verify.id]
    assert {job.id for job in await registry.jobs_of([verify.id, over.id, "gone"])} == {verify.id, over.id}
