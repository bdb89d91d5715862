"""Questions, interruptions, and errors that nobody foresaw."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.cli.program import Terminal, done, modelyard


@pytest.fixture
def model() -> str:
    done("models", "add", "one", "--provider", "vllm", "--model-id", "x")
    return "one"


@pytest.mark.parametrize(("answer", "code", "left"), [("y\r", 0, 0), ("n\r", 3, 1), ("\r", 3, 1), ("\x04", 3, 1)])
def test_deleting_asks_on_a_terminal(model: str, answer: str, code: int, left: int) -> None:
    terminal = Terminal("models", "delete", model)
    assert "Delete the model one" in terminal.wait_for("[y/N]")
    terminal.write(answer)
    assert terminal.close() == code, terminal.seen
    assert done("models", "list", "--json").json()["total"] == left


def test_ctrl_c_at_a_question_ends_cleanly(model: str) -> None:
    terminal = Terminal("models", "delete", model)
    terminal.wait_for("[y/N]")
    terminal.write("\x03")
    assert terminal.close() == 130
    assert b"Traceback" not in terminal.seen
    assert b"interrupted" in terminal.seen
    assert done("models", "list", "--json").json()["total"] == 1


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_cleanly(model: str, signum: signal.Signals, code: int) -> None:
    terminal = Terminal("models", "delete", model)
    terminal.wait_for("[y/N]")
    os.kill(terminal.pid, signum)
    assert terminal.close() == code
    assert b"Traceback" not in terminal.seen


def test_colours_are_for_terminals_without_a_wish_to_the_contrary(model: str) -> None:
    coloured, plain = Terminal("models", "list"), Terminal("models", "list", env={"NO_COLOR": "1"})
    assert (coloured.close(), plain.close()) == (0, 0)
    assert b"\x1b[1m" in coloured.seen
    assert b"\x1b" not in plain.seen
    assert "\x1b" not in done("models", "list").out


def test_a_damaged_registry_is_told_without_a_traceback(model: str, short_folder: Path) -> None:
    database = short_folder / "data" / "modelyard" / "registry.db"
    database.write_bytes(b"not a database, but long enough to be read as one " * 100)
    ended = modelyard("models", "list", env={"MY_API_TOKEN": "canary-4711"})
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: ")


def test_an_unforeseen_error_is_saved_for_its_owner_without_secrets(short_folder: Path) -> None:
    broken = short_folder / "broken"
    broken.mkdir()
    raising = "raise RuntimeError('odd: canary-4711 and Bearer abcdefgh12345678')\n"
    (broken / "sqlmodel.py").write_text(raising)
    ended = modelyard("models", "list", env={"PYTHONPATH": str(broken), "MY_API_TOKEN": "canary-4711"})
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback" not in ended.err
    assert "canary-4711" not in ended.err
    [saved] = (short_folder / "data" / "modelyard" / "crashes").iterdir()
    assert str(saved) in ended.err
    assert saved.stat().st_mode & 0o777 == 0o600
    text = saved.read_text()
    assert "RuntimeError: odd: [secret] and [secret]" in text
    assert "canary-4711" not in text


def test_a_configuration_that_is_wrong_is_a_usage_error(short_folder: Path) -> None:
    folder = short_folder / "config" / "modelyard"
    folder.mkdir()
    (folder / "config.toml").write_text("theme = [")
    ended = modelyard("models", "list", "--json")
    assert ended.code == 2
    assert "config.toml" in ended.error()["message"]


def test_a_registry_of_a_newer_version_is_left_alone(model: str, short_folder: Path) -> None:
    with sqlite3.connect(short_folder / "data" / "modelyard" / "registry.db") as connection:
        connection.execute("update alembic_version set version_num = 'ffff_newer'")
    ended = modelyard("models", "list")
    assert ended.code == 3
    assert "remedy:" in ended.err
    assert "does not know" not in ended.err


def test_the_screens_are_on_the_terminal_when_messages_go_to_a_file(model: str, tmp_path: Path) -> None:
    terminal = Terminal(errors=tmp_path / "messages")
    terminal.wait_for("Showing 1 of 1")
    terminal.write("q")
    assert terminal.close() == 0
    assert "\x1b" not in (tmp_path / "messages").read_text()
