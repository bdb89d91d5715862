"""Help, version, completion, usage errors: what works before anything is set up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from core.cli.commands import TREE, Entry, commands_markdown
from tests.cli.program import COMMAND, modelyard, start


def _paths(entries: dict[str, Entry], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = []
    for name, (_, target) in entries.items():
        path = (*prefix, name)
        paths += [path, *_paths(target, path)] if isinstance(target, dict) else [path]
    return paths


COMMANDS = _paths(TREE)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_names_every_command(words: tuple[str, ...]) -> None:
    ended = modelyard(*words)
    assert ended.code == 0
    for name, (text, _) in TREE.items():
        assert f"  {name}" in ended.out
        assert text in ended.out


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_takes_json(path: tuple[str, ...]) -> None:
    ended = modelyard(*path, "--help")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"Usage: modelyard {' '.join(path)}")
    assert "--json" in ended.out
    assert ended.err == ""


def test_version() -> None:
    ended = modelyard("--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("modelyard 0.")
    assert modelyard("--json", "--version").out == ended.out


def test_without_words_and_terminal_it_says_what_to_do() -> None:
    ended = modelyard()
    assert (ended.code, ended.out) == (2, "")
    assert "modelyard --help" in ended.err


def test_a_group_without_command_shows_its_commands_as_an_error() -> None:
    ended = modelyard("models")
    assert (ended.code, ended.out) == (2, "")
    assert "archive" in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("modls",), "Did you mean 'models'?"),
        (("models", "lst"), "Did you mean 'list'?"),
        (("models", "list", "--nonsense"), "--nonsense"),
        (("models", "list", "--provider", "nobody"), "nobody"),
        (("models", "list", "--limit", "-1"), "--limit"),
        (("models", "show"), "MODEL"),
        (("deploy", "x", "--memory-limit", "big"), "big"),
        (("deploy", "x", "--option", "=1"), "KEY=VALUE"),
        (("servers", "logs", "x", "--tail", "many"), "--tail"),
    ],
)
def test_wrong_words_are_usage_errors(words: tuple[str, ...], told: str) -> None:
    ended = modelyard(*words)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "remedy: modelyard" in ended.err


def test_usage_errors_are_documents_with_json() -> None:
    ended = modelyard("models", "list", "--nonsense", "--json")
    assert (ended.code, ended.out) == (2, "")
    assert set(ended.error()) == {"error", "message", "cause", "remedy"}
    assert ended.error()["error"] == "UsageError"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("modelyard ho", ["hosts"]), ("modelyard models re", ["restore", "region"]), ("modelyard zz", [])],
)
def test_completion(line: str, expected: list[str]) -> None:
    words = line.split()
    ended = modelyard(
        env={"_MODELYARD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    )
    assert [row.split(",")[1] for row in ended.out.split()] == expected


def test_completion_offers_options_of_a_command() -> None:
    line = "modelyard deploy --tensor"
    ended = modelyard(env={"_MODELYARD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "2"})
    assert ended.out.strip() == "plain,--tensor-parallel-size"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_set_up_by_what_it_prints(shell: str) -> None:
    ended = modelyard(env={"_MODELYARD_COMPLETE": f"{shell}_source"})
    assert "_MODELYARD_COMPLETE" in ended.out


def test_markdown_has_a_row_for_every_command() -> None:
    rows = commands_markdown().splitlines()[2:]
    leaves = [path for path in COMMANDS if not any(other[: len(path)] == path and other != path for other in COMMANDS)]
    assert [row.split("`")[1] for row in rows] == [f"modelyard {' '.join(path)}" for path in leaves]


def test_readme_has_the_table_of_commands() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    table = readme.partition("<!-- commands -->")[2].partition("<!-- /commands -->")[0].strip()
    assert table == commands_markdown()


@pytest.mark.parametrize("words", [("--help",), ("models", "--help"), ("models", "list", "--json")], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, told = process.communicate(timeout=60)
    assert told == b""
    assert process.returncode == 141


def test_nobody_reading_the_errors_does_not_change_the_exit_code() -> None:
    process = start("modls")
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=60) == 2
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()
