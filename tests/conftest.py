"""What every test gets: folders of its own, no keyring, no agent, and the options and marks of the suite."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings

pytest_plugins = ["tests.fleet.fixtures", "tests.spread"]

_FOLDERS = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
    "XDG_RUNTIME_DIR": "run",
}
_UNSET = (
    *("MODELS_DIR", "MODELS_DB_PATH", "SSH_AUTH_SOCK", "SSH_ASKPASS"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY"),
    *("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_ENDPOINT", "CIVITAI_TOKEN"),
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "DBUS_SESSION_BUS_ADDRESS"),
    *("MODELYARD_VAULT_PASSPHRASE", "MODELYARD_VAULT_PASSPHRASE_FILE"),
    *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"),
)
_MARKED_FIXTURES = {"fleet": "fleet", "smollm2": "demo", "llama_image": "demo"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vllm", action="store_true", help="also run the tests that start vLLM on the CPU")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures that they use; leave out vLLM's unless asked for."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if mark := _MARKED_FIXTURES.get(fixture):
                item.add_marker(mark)
        if "vllm" in [mark.name for mark in item.iter_markers()] and not config.getoption("--vllm"):
            item.add_marker(pytest.mark.skip(reason="starts vLLM on the CPU: only with --vllm"))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A private folder with a short path: Unix sockets have room for 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="my-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_environment(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests is read or written: not their files, keys, agent or tokens."""
    for variable, name in _FOLDERS.items():
        (short_folder / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(short_folder / name))
    for variable in _UNSET:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MODELYARD_CATALOG", "none")  # an empty registry; what tests the catalog sets it
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def settings(own_environment: None) -> Settings:
    """Of a user who has configured nothing."""
    return Settings.load()
