"""Files and folders that are one user's alone (P8): made so, and refused with what mends them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from core.db import Database
from core.errors import ModelyardError, Refused
from core.private import check_file, check_folder, make_folder
from core.settings import Settings
from core.waiting import locked_file


def _mend(error: Refused, *, expects: str) -> None:
    assert error.remedy == expects
    subprocess.run(error.remedy, shell=True, check=True)


def test_a_folder_is_made_private_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o770])
def test_a_folder_open_to_others_is_refused_by_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "it's mine"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Refused, match="other users") as caught:
        check_folder(folder)
    _mend(caught.value, expects=f"chmod 700 {shlex.quote(str(folder))}")
    check_folder(folder)


@pytest.mark.parametrize("part", ["config_dir", "data_dir", "runtime_dir"])
def test_every_folder_of_the_program_is_checked(settings: Settings, part: str) -> None:
    settings.ensure_folders()
    folder: Path = getattr(settings, part)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o755)
    with pytest.raises(Refused) as caught:
        settings.ensure_folders()
    _mend(caught.value, expects=f"chmod 700 {folder}")
    settings.ensure_folders()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_the_registry_its_journal_and_its_index_are_checked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"registry.db{suffix}"
    path.touch(mode=0o640)
    path.chmod(0o640)
    with pytest.raises(Refused, match="registry") as caught:
        await Database(tmp_path / "registry.db").open()
    assert caught.value.remedy == f"chmod 600 {path}"


async def test_a_registry_in_a_folder_where_others_can_replace_it_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Refused, match="replace") as caught:
        await Database(tmp_path / "registry.db").open()
    _mend(caught.value, expects=f"chmod go-w {tmp_path}")
    database = Database(tmp_path / "registry.db")
    await database.open()
    await database.close()
    for name in ("registry.db", "registry.lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    tmp_path.chmod(0o1777)  # as /tmp: others can't replace what is not theirs
    database = Database(tmp_path / "registry.db")
    await database.open()
    await database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.touch(mode=0o600)
    os.chown(path, 64101, 64101)
    with pytest.raises(Refused, match="belongs to another user") as caught:
        check_file(path, "registry")
    assert caught.value.remedy.startswith(f"sudo chown {os.geteuid()} {path}")


def test_something_else_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="something else"):
        check_file(tmp_path, "vault")
    check_file(tmp_path / "missing", "vault")


def test_a_lock_that_is_held_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with (
        locked_file(tmp_path / "lock", what="the vault", timeout_s=1),
        pytest.raises(ModelyardError, match="Another program"),
        locked_file(tmp_path / "lock", what="the vault", timeout_s=0.05),
    ):
        raise AssertionError
