"""The file: private, migrated, shared by several programs, safe when one is killed."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core import db
from core.db import HEAD, MIGRATIONS, Database, migrate
from core.errors import ModelyardError, Refused

ADD = """
import asyncio, sys
from pathlib import Path
from core.db import Database
from core.events import EventBus
from core.registry.store import Registry

async def main():
    database = Database(Path(sys.argv[1]))
    await database.open()
    registry = Registry(database, EventBus(), user_id="me")
    for number in range(int(sys.argv[3])):
        await registry.add_model({"name": f"{sys.argv[2]}-{number}", "provider": "vllm", "model_id": "x"})
        print(number, flush=True)
    await database.close()

asyncio.run(main())
"""


def _revisions() -> list[str]:
    return sorted(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))


def _is_a_record(name: str | None, kind: str, _parents: object) -> bool:
    """The search index is made of tables that no record is kept in."""
    return kind != "table" or not str(name).startswith("model_search")


def _open_and_close(path: Path) -> None:
    async def run() -> None:
        database = Database(path)
        await database.open()
        await database.close()

    asyncio.run(run())


def test_head_is_the_newest_migration() -> None:
    assert _revisions()[-1] == HEAD


@pytest.mark.parametrize("revision", _revisions())
def test_a_registry_of_every_version_is_migrated_to_todays_tables(tmp_path: Path, revision: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlmodel import SQLModel

    import core.registry.store  # noqa: F401

    path = tmp_path / "registry.db"
    migrate(path, revision)
    path.chmod(0o600)
    _open_and_close(path)
    with db._engine(path).connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_a_record})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_file_is_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "registry.db"
    _open_and_close(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    with pytest.raises(Refused, match="other users") as caught:
        _open_and_close(path)
    assert caught.value.remedy == f"chmod 600 {path}"


def test_a_newer_registry_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    _open_and_close(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused, match="newer"):
        _open_and_close(path)


def test_a_damaged_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database" * 100)
    path.chmod(0o600)
    with pytest.raises(ModelyardError, match="can't be opened"):
        _open_and_close(path)


def test_two_programs_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(path), name, "60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    for program in programs:
        _, errors = program.communicate(timeout=120)
        assert program.returncode == 0, errors
        assert "locked" not in errors
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM models").fetchone() == (180,)


def test_killed_in_the_middle_keeps_all_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    for round_ in range(5):
        program = subprocess.Popen(
            [sys.executable, "-c", ADD, str(path), f"round{round_}", "1000"], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        told = [program.stdout.readline() for _ in range(7 + 5 * round_)][-1]
        program.send_signal(signal.SIGKILL)
        program.wait()
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            kept = connection.execute("SELECT count(*) FROM models WHERE name LIKE ?", (f"round{round_}-%",)).fetchone()
        assert kept[0] >= int(told) + 1
