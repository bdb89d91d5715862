"""The README's table of what works names tests that are there and that name what they prove."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = {*(f"P{n}" for n in (*range(1, 11), 16, 17, 18)), "N1", "N2", "N3", "R1", "R2", "R3", "R5", "L2", "L11"}
NO_KEYS = {"P16"}  # says of commands that they are there


def _rows() -> Iterator[tuple[set[str], list[Path], list[Path]]]:
    """Ids, the tests by keys and those by command, of each row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What works today")[2].partition("\n## ")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.match(r"[PNDRLX]\d", cells[0]):
            yield set(_ids(cells[0])), *([ROOT / path for path in re.findall(r"`([^`]+)`", cell)] for cell in cells[2:])  # type: ignore[misc]


def _ids(cell: str) -> Iterator[str]:
    """`L1, L3` and what stands with a dash between, one by one."""
    for letter, first, last in re.findall(r"([PNDRLX])(\d+)(?:\u2013[PNDRLX](\d+))?", cell):
        yield from (f"{letter}{number}" for number in range(int(first), int(last or first) + 1))


@cache
def _named(path: Path) -> frozenset[str]:
    """The ids in the docstrings of a test file, or of all in a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("test_*.py"))
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    texts = [
        ast.get_docstring(node) or ""
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return frozenset(found for text in texts for found in _ids(text))


def test_every_test_that_is_named_is_there() -> None:
    named = [path for _, keys, commands in _rows() for path in (*keys, *commands)]
    assert len(named) > 40
    assert [path for path in named if not path.exists()] == []


@pytest.mark.parametrize("wanted", sorted(RECORDS))
def test_every_requirement_of_records_is_proved_by_keys_and_by_command(wanted: str) -> None:
    """Of each: a test in the row says so in its own words."""
    rows = [row for row in _rows() if wanted in row[0]]
    assert rows, f"{wanted} has no row"
    assert any(wanted in _named(path) for row in rows for path in row[2]), "by command"
    assert wanted in NO_KEYS or any(wanted in _named(path) for row in rows for path in row[1]), "by keys"
