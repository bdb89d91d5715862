"""`modelyard models list` with its filters and sorts, and the commands that take several models."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.app import Modelyard
from core.settings import Settings
from tests.cli.program import done, modelyard

_RECORDS: tuple[dict[str, Any], ...] = (
    {"name": "alpha", "provider": "vllm", "region": "eu", "context_length": 8192, "supports_tools": True},
    {
        **{"name": "Ärger", "provider": "vllm", "region": "us", "context_length": 8192, "supports_vision": True},
        "tags": ["50%_off"],
    },
    {"name": "gamma", "provider": "ollama", "supports_tools": True, "supports_vision": True},
)


@pytest.fixture
def records(settings: Settings) -> Path:
    async def fill() -> None:
        async with Modelyard.open(settings) as yard:
            for values in _RECORDS:
                await yard.registry.add_model({"model_id": f"org/{values['name']}", **values})

    asyncio.run(fill())
    return settings.db_path


def listed(*words: str) -> list[str]:
    document = done("models", "list", "--ownership", "mine", "--json", *words).json()
    names = [str(model["name"]) for model in document["models"]]
    assert document["shown"] >= len(names)
    return names


def test_every_filter_and_sort_of_the_screen_is_an_option(records: Path) -> None:
    """P1, P2, P16: search, provider, ownership, region, state, capability, archived; sort both ways, ties by name."""
    assert listed("--search", "äRGER org") == ["Ärger"]
    assert listed("--search", "50%_") == ["Ärger"]
    assert listed("--provider", "vllm", "--capability", "vision") == ["Ärger"]
    assert listed("--capability", "vision", "--capability", "tools") == ["gamma"]
    assert listed("--region", "eu") == ["alpha"]
    assert listed("--region", "") == ["gamma"]
    assert (listed("--state", "running"), listed("--state", "stopped")) == ([], ["alpha", "gamma", "Ärger"])
    assert listed("--sort", "context") == ["gamma", "alpha", "Ärger"]
    assert listed("--sort", "context", "--desc") == ["alpha", "Ärger", "gamma"]
    assert listed("--sort", "updated", "--desc", "--limit", "2") == ["gamma", "Ärger"]
    assert listed("--sort", "name", "--desc", "--offset", "1") == ["gamma", "alpha"]
    assert modelyard("models", "list", "--sort", "size").code == 2
    assert "Showing 3 of " in done("models", "list", "--ownership", "mine").out


def test_several_models_are_archived_and_restored(records: Path) -> None:
    """L11: all or none, and by one command."""
    several = done("models", "archive", "alpha", "gamma", "--json").json()["models"]
    assert [(model["name"], model["archived_at"] is not None) for model in several] == [
        ("alpha", True),
        ("gamma", True),
    ]
    assert listed("--archived") == ["alpha", "gamma"]
    assert "Restored alpha, gamma." in done("models", "restore", "alpha", "gamma").out
    missing = modelyard("models", "archive", "alpha", "nothing")
    assert (missing.code, listed("--archived")) == (1, [])
    assert "nothing" in missing.err


def test_several_models_are_tagged_and_put_in_a_region(records: Path) -> None:
    """R1, R5."""
    done("models", "tag", "alpha", "Ärger", "--add", "team", "--remove", "50%_off")
    assert listed("--search", "team") == ["alpha", "Ärger"]
    assert listed("--search", "50%_") == []
    assert modelyard("models", "tag", "alpha").code == 2
    assert done("models", "region", "alpha", "gamma", "--to", "cn", "--json").json()["models"][1]["region"] == "cn"
    assert listed("--region", "cn") == ["alpha", "gamma"]
    assert modelyard("models", "region", "alpha", "--to", "nowhere-at-all").code == 2
    done("models", "region", "alpha", "--to", "")
    assert listed("--region", "") == ["alpha"]


def test_several_models_are_deleted_unless_one_is_served(records: Path) -> None:
    """P6, L8: confirmed, all or none; a running server blocks with the reason."""
    refused = modelyard("models", "delete", "alpha", "gamma", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "NeedsConfirmation")
    _serve(records, "gamma")
    blocked = modelyard("models", "delete", "alpha", "gamma", "--yes", "--json")
    assert (blocked.code, listed()) == (3, ["alpha", "gamma", "Ärger"])
    assert "gamma is served" in blocked.error()["message"]
    gone = done("models", "delete", "alpha", "Ärger", "--yes", "--json").json()["models"]
    assert [(model["name"], model["deleted"]) for model in gone] == [("alpha", True), ("Ärger", True)]
    assert listed() == ["gamma"]


def _serve(path: Path, name: str) -> None:
    """A server that is known to run, as another program would have left it."""
    with sqlite3.connect(path) as registry:
        model = registry.execute("SELECT id FROM models WHERE name = ?", (name,)).fetchone()[0]
        host = registry.execute("SELECT id FROM hosts").fetchone()[0]
        columns = [row[1] for row in registry.execute("PRAGMA table_info(servers)") if row[3]]
        known: dict[str, Any] = {"id": "5e", "model_id": model, "model_name": name, "host_id": host, "gpus": "[]"}
        known |= {"status": "running", "runtime": "docker", "server_type": "vllm", "restarts": 0}
        known |= {column: "2026-01-01 00:00:00" for column in columns if column.endswith("_at")}
        values = [known.get(column, "") for column in columns]
        marks = ", ".join("?" * len(columns))
        registry.execute(f"INSERT INTO servers ({', '.join(columns)}) VALUES ({marks})", values)
