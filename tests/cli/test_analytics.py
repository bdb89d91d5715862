"""`modelyard analytics …` as scripts and people use it (N3)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.db import Database
from core.events import EventBus, now
from core.registry.records import Call
from core.registry.store import Registry
from core.settings import Settings
from tests.cli.program import done, modelyard

NASTY = '=HYPERLINK("http://evil")\x1b]0;x\x07'
FIGURES = {
    *("name", "model_id", "provider", "requests", "success_rate", "prompt_tokens", "completion_tokens"),
    *("latency_p50", "latency_p95", "first_token_p50", "tokens_per_second", "rating", "ratings", "tests"),
    *("asked", "counted", "server_id"),
}


@pytest.fixture
def models(settings: Settings) -> None:
    """Two models that were asked; one has a name that is a formula."""
    asyncio.run(_record(settings))


async def _record(settings: Settings) -> None:
    settings.ensure_folders()
    database = Database(settings.db_path)
    await database.open()
    registry = Registry(database, EventBus(), user_id=settings.user_id)
    refs = {}
    for name, model_id in (("smol", "HuggingFaceTB/SmolLM2-135M"), (NASTY, "@evil/model")):
        added = await registry.add_model({"name": name, "provider": "openai", "model_id": model_id})
        refs[name] = added.id
    smol: dict[str, Any] = {"model_id": refs["smol"], "model_name": "smol", "user_id": settings.user_id}
    for number in range(4):
        values: dict[str, Any] = {"seconds": 1.0 + number, "first_token_s": 0.5, "prompt_tokens": 10}
        more: dict[str, Any] = {"completion_tokens": 21, "rating": 4 if number else 5, "ok": number != 3}
        await registry.record_call(Call(kind="chat", **smol, **values, **more))
    await registry.record_call(Call(kind="test", ok=False, error="timeout", seconds=9.0, **smol))
    old: dict[str, Any] = {"at": now() - timedelta(days=3), "kind": "chat", "ok": True, "seconds": 1.0}
    nasty: dict[str, Any] = {"model_id": refs[NASTY], "model_name": NASTY, "user_id": settings.user_id}
    await registry.record_call(Call(**nasty, **old))
    await database.close()


def rows(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = done("analytics", "show", *words, "--json").json()["rows"]
    return found


def test_figures_by_model(models: None) -> None:
    """N3: requests, success rate, tokens, latency, rating, and the readable id."""
    first, second = rows()
    assert set(first) >= FIGURES
    assert (first["name"], first["model_id"], first["provider"]) == ("smol", "HuggingFaceTB/SmolLM2-135M", "openai")
    assert (first["requests"], first["success_rate"], first["tests"], first["tests_failed"]) == (4, 0.75, 1, 1)
    assert (first["prompt_tokens"], first["completion_tokens"]) == (40, 84)
    assert (first["latency_p50"], first["first_token_p50"]) == (2.0, 0.5)
    assert first["tokens_per_second"] == pytest.approx(80 / 8)
    assert (first["rating"], first["ratings"]) == (4.25, 4)
    assert second["name"] == NASTY
    people = done("analytics", "show").out
    assert "75%" in people
    assert "2.00s" in people
    assert "\x1b" not in people


def test_periods_models_and_tests_are_chosen(models: None) -> None:
    assert [row["name"] for row in rows("--since", "day")] == ["smol"]
    assert [row["name"] for row in rows("--since", "all", "--cached")] == ["smol", NASTY]
    assert [row["name"] for row in rows("smol", "--since", "4w")] == ["smol"]
    assert rows("--with-tests", "--since", "24h")[0]["success_rate"] == 0.6
    assert rows("--by", "server")[0]["server_id"] == ""
    assert modelyard("analytics", "show", "nobody").code == 1
    wrong = modelyard("analytics", "show", "--since", "yesterday", "--json")
    assert (wrong.code, list(wrong.error()["fields"])) == (2, ["since"])


def test_an_export_as_csv_can_be_opened_in_a_spreadsheet(models: None, tmp_path: Path) -> None:
    for text in (done("analytics", "export").out, _file(tmp_path / "figures.csv")):
        first, second = csv.DictReader(io.StringIO(text))
        assert (first["name"], float(first["requests"]), float(first["success_rate"])) == ("smol", 4, 0.75)
        assert first["counted_requests"] == ""
        assert second["name"] == '\'=HYPERLINK("http://evil")'
        assert second["model_id"] == "'@evil/model"
        assert "\x1b" not in text


def _file(path: Path) -> str:
    told = done("analytics", "export", "--output", str(path), "--json").json()
    assert told == {"written": str(path), "format": "csv", "rows": 2}
    return path.read_text(encoding="utf-8")


def test_an_export_as_json_is_exact(models: None, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done("analytics", "export", "--format", "json", "-o", str(path))
    assert list(tmp_path.iterdir()) == [path]
    written = json.loads(path.read_text(encoding="utf-8"))
    shown = done("analytics", "export", "--json").json()
    assert [row["name"] for row in written["rows"]] == ["smol", NASTY]
    assert shown["rows"] == written["rows"]
    failed = modelyard("analytics", "export", "-o", str(tmp_path / "no" / "f.csv"), "--json")
    assert (failed.code, failed.error()["error"]) == (1, "CommandFailed")


def test_nothing_asked_yet_says_how_figures_come_to_be() -> None:
    assert rows() == []
    assert "Chats" in done("analytics", "show").out
    assert done("analytics", "export").out.count("\n") == 1


@pytest.fixture
def smol(smollm2: Path) -> Iterator[str]:
    """A real llama-server that runs as a process."""
    done("models", "add", "smol", "--provider", "llamacpp", "--path", str(smollm2), "--max-output-tokens", "8")
    deploy = ("--runtime", "process", "--gpus", "none", "--max-model-len", "512", "--yes")
    done("deploy", "smol", *deploy)
    yield "smol"
    modelyard("stop", "smol")


def test_the_counters_of_a_real_server_arrive_and_count_once(smol: str) -> None:
    """N3: llama-server tells its tokens; what this program asked is part of them and is not added again."""
    done("chat", smol, "Say hello.", "--max-tokens", "8")
    (row,) = rows("--by", "server")
    assert (row["requests"], row["host"]) == (1, "local")
    counted = row["counted"]
    assert (counted["requests"], counted["success_rate"]) == (None, None)
    assert counted["completion_tokens"] == row["completion_tokens"] == row["asked"]["completion_tokens"] == 8
    assert counted["prompt_tokens"] == row["prompt_tokens"] == row["asked"]["prompt_tokens"] > 0
    assert counted["tokens_per_second"] > 0
    done("restart", smol)
    done("chat", smol, "Say hello.", "--max-tokens", "4")
    (row,) = rows("--by", "server")
    assert row["counted"]["completion_tokens"] == row["completion_tokens"] == 12
