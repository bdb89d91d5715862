"""Textual calls the handlers of every class by itself: one that calls that of the class above, too, does all twice."""

from __future__ import annotations

import re
from pathlib import Path

import tui

_CALLED = re.compile(r"super\(\)\.(on_\w+)\(")
_NO_HANDLERS = {"on_core", "on_event"}  # called by us, and by Textual's loop itself


def test_no_handler_calls_the_one_above() -> None:
    files = sorted(Path(tui.__file__).parent.rglob("*.py"))
    found = {(path.name, name) for path in files for name in _CALLED.findall(path.read_text())}
    assert {one for one in found if one[1] not in _NO_HANDLERS} == set()
    assert {name for _, name in found} == _NO_HANDLERS
