"""Servers and clients for the tests of wire formats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.providers.server import FakeProvider
from tests.providers.yard import SmallYard, small_yard


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as started:
        yield started


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[SmallYard]:
    async with small_yard(tmp_path) as opened:
        yield opened
