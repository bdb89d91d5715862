"""The program with the test hosts in its registry."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.app import Modelyard
from core.settings import Settings
from tests.downloads.inline import working
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost

_MADE = "org custom loras m.gguf .modelyard-* .installed* installed*"  # by tests, in a host's models folder


@pytest.fixture
def host(fleet: Fleet) -> FleetHost:
    """The first one."""
    return fleet.hosts[0]


@pytest.fixture
async def idle(settings: Settings, fleet: Fleet) -> AsyncIterator[Modelyard]:
    """With both hosts, whose models folders are emptied afterwards; the worker is the program's own."""
    async with Modelyard.open(settings) as opened:
        for host in fleet.hosts:
            await opened.hosts.add(host.name, ssh_config=str(fleet.ssh_config), models_dir=host.models_dir)
        yield opened
    for host in fleet.hosts:
        host.exec(["sh", "-c", f"cd {host.models_dir} && rm -rf {_MADE}"])


@pytest.fixture
async def yard(idle: Modelyard, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Modelyard]:
    """With a worker in this process."""
    async with working(idle, monkeypatch):
        yield idle
