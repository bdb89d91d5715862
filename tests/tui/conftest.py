"""A core for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui import demo
from tests.tui.fake import Yard, settings_in


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """The demo fleet: ten models, four hosts, servers in every state."""
    return Yard(settings=settings_in(tmp_path), script=demo.script(), fill=demo.fill)


@pytest.fixture
def empty_yard(tmp_path: Path) -> Yard:
    """Nothing but this machine."""
    return Yard(settings=settings_in(tmp_path))
