"""Which worker runs what: the test hosts' files on one, which mostly waits for them, and the others beside it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling  # type: ignore[import-untyped]

_HOSTS = "tests on hosts"
_USES_HOSTS = re.compile(r"^from tests\.(fleet|contract\.runtime_places)\b", re.MULTILINE)
_LONG_FIRST = ("tui", "cli", "contract", "downloads", "providers", "unit")  # files that end late begin early
_ROOT = Path(__file__).resolve().parents[1]


@cache
def uses_hosts(file: str) -> bool:
    """Whether this file, named from the root, has tests on the hosts."""
    return bool(_USES_HOSTS.search((_ROOT / file).read_text(encoding="utf-8")))


class Spread(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests stay together, and so do all that use the hosts: starting them twice would cost more."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _HOSTS if uses_hosts(file) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    """In place of `--dist loadfile`."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Spread(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits longest first; the many short files of unit tests fill what is left at the end."""
    items.sort(key=lambda item: _turn(item.nodeid.partition("::")[0]))


def _turn(file: str) -> int:
    if uses_hosts(file):
        return -1
    room = Path(file).parent.name
    return _LONG_FIRST.index(room) if room in _LONG_FIRST else len(_LONG_FIRST)
