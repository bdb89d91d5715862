"""What must not be imported where every millisecond counts: help, completion, dispatch, the first frame."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"sqlmodel", "sqlalchemy", "pydantic", "alembic", "docker", "requests", "httpx", "keyring", "pynvml", "psutil"}
HEAVY |= {"huggingface_hub", "httpx2"}
FRONTS = {"textual", "rich"}
SLOW_STANDARD = {"asyncio", "dataclasses", "inspect", "json", "ssl", "email"}

LIGHT = {
    "core.cli.commands": HEAVY | FRONTS | SLOW_STANDARD | {"click"},
    "core.cli.main": HEAVY | FRONTS | SLOW_STANDARD | {"click"},
    "tui.__main__": HEAVY | FRONTS | SLOW_STANDARD | {"click"},
    "core.cli.diagnostics": HEAVY | FRONTS | SLOW_STANDARD | {"click"},
    "core.cli.program": HEAVY | FRONTS | {"asyncio", "ssl"},
    "core.settings": HEAVY | FRONTS | {"asyncio"},
    "core.registry.values": HEAVY | FRONTS | {"asyncio"},
    "core.app": HEAVY | FRONTS,
    "core.analytics.values": HEAVY | FRONTS,
    "core.cli.analytics": HEAVY | FRONTS,
    "core.cli.models": HEAVY | FRONTS,
    "core.cli.model_lists": HEAVY | FRONTS,
    "core.cli.model_bulk": HEAVY | FRONTS,
    "core.cli.hosts": HEAVY | FRONTS,
    "core.cli.deploy": HEAVY | FRONTS,
    "core.cli.servers": HEAVY | FRONTS,
    "core.cli.chat": HEAVY | FRONTS,
    "core.cli.demo": HEAVY | FRONTS,
    "core.cli.downloads": HEAVY | FRONTS,
    "core.cli.doctor": HEAVY | FRONTS,
    "core.cli.files": HEAVY | FRONTS,
    "core.cli.keys": HEAVY | FRONTS | {"cryptography"},
    "core.keys.store": {"keyring", "secretstorage", "cryptography"} | FRONTS,
    "core.cli.catalog": HEAVY | FRONTS | {"yaml"},
    "core.cli.download_catalog": HEAVY | FRONTS | {"yaml"},
    "core.cli.training_export": HEAVY | FRONTS | {"yaml"},
    "core.cli.training": HEAVY | FRONTS | {"yaml"},
    "core.cli.routes": HEAVY | FRONTS,
    "core.cli.exchange": HEAVY | FRONTS | {"yaml"},
    "core.cli.history": HEAVY | FRONTS,
    "core.catalog.service": HEAVY | FRONTS | {"yaml"},
    "core.training.look": HEAVY | FRONTS | {"yaml"},
    "tui.app": HEAVY,
}
COMMAND_LINES = {
    "--help": HEAVY | FRONTS | SLOW_STANDARD | {"click"},
    "models --help": HEAVY | FRONTS | {"asyncio"},
    "nonsense": HEAVY | FRONTS | {"asyncio"},
}


def _loaded(script: str) -> set[str]:
    script += "\nimport sys; sys.stderr.write('\\nLOADED ' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("\nLOADED ")[2].split())


@pytest.mark.parametrize(("module", "absent"), LIGHT.items(), ids=LIGHT)
def test_importing_stays_light(module: str, absent: set[str]) -> None:
    assert _loaded(f"import {module}") & absent == set()


@pytest.mark.parametrize(("line", "absent"), COMMAND_LINES.items(), ids=COMMAND_LINES)
def test_running_stays_light(line: str, absent: set[str]) -> None:
    loaded = _loaded(f"from core.cli.main import main; main({line.split()!r})")
    assert "core.cli.commands" in loaded
    assert loaded & absent == set()


def test_opening_the_core_looks_for_no_keyring_and_no_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    loaded = _loaded("from core.cli.main import main; main(['models', 'list'])")
    assert "core.keys.store" in loaded
    assert loaded & {"keyring", "secretstorage", "jeepney", "core.keys.kernel"} == set()


def test_completion_imports_no_command() -> None:
    script = (
        "import os; os.environ.update(_MODELYARD_COMPLETE='bash_complete', COMP_WORDS='modelyard h', COMP_CWORD='1')"
    )
    loaded = _loaded(f"{script}\nfrom core.cli.main import main; main([])")
    commands = {"core.cli.models", "core.cli.hosts", "core.cli.demo", "core.cli.deploy"}
    assert loaded & (HEAVY | FRONTS | commands | {"asyncio"}) == set()
