"""Where there can be no test hosts the reason is told; a build server may not go without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import Settings
from tests.fleet import fixtures, requirements


def test_an_ordinary_user_is_told_that_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert requirements.missing() == "test hosts need root (network and mount namespaces)"


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "_PATH", str(tmp_path))
    reason = requirements.missing()
    assert "sshd" in reason
    assert "docker.io" in reason
    assert set(requirements.packages_of(requirements.absent_tools())) == set(requirements.PACKAGES.values())


def test_the_packages_are_listed_by_plain_python() -> None:
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import tests.fleet.requirements"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (listed.returncode, listed.stderr) == (0, "")


@pytest.mark.parametrize(("value", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_build_server_fails_instead(
    monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(outcome, match="no such thing"):
        fixtures.unavailable("no such thing")


def test_every_test_has_folders_of_its_own(settings: Settings, short_folder: Path) -> None:
    for path in (settings.config_dir, settings.data_dir, settings.runtime_dir, settings.models_dir, Path.home()):
        assert path.is_relative_to(short_folder)
    assert len(str(settings.runtime_dir)) < 40, "sockets below it have room"
    assert "SSH_AUTH_SOCK" not in os.environ
