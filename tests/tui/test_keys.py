"""The registry of keys is what the program does, what it shows, and what the README says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.widget import Widget

from tests.tui.fake import Yard, settings_in
from tests.tui.user import press, rows, screen_text, session, type_text, until
from tui.app import ModelyardApp
from tui.keys import GROUPS, keys_markdown, keys_of
from tui.modals.chat import ChatDialog
from tui.modals.check import CheckDialog
from tui.modals.choose import ChooseDialog
from tui.modals.confirm import ConfirmDialog
from tui.modals.connection import ConnectionDialog
from tui.modals.copy import CopyDialog
from tui.modals.deploy import DeployDialog
from tui.modals.download import DownloadDialog
from tui.modals.error import ErrorDialog
from tui.modals.files import FilesDialog
from tui.modals.fingerprint import FingerprintDialog
from tui.modals.help import HelpDialog
from tui.modals.history import HistoryDialog
from tui.modals.host_files import HostFilesDialog
from tui.modals.host_form import HostForm
from tui.modals.keys import KeysDialog
from tui.modals.logs import LogDialog
from tui.modals.model_picker import ModelPicker, PicksInstalled
from tui.modals.pick import PickDialog
from tui.modals.rate import RateDialog
from tui.modals.record_form import Drafting, RecordForm
from tui.modals.tidy import TidyDialog
from tui.modals.token import TokenDialog
from tui.modals.training import TrainingDialog
from tui.screens.analytics import AnalyticsScreen
from tui.screens.base import ListScreen
from tui.screens.downloads import DownloadsScreen
from tui.screens.heads import HeadsScreen
from tui.screens.hosts import HostsScreen
from tui.screens.models import ModelsScreen
from tui.screens.servers import ServersScreen
from tui.widgets.paged_list import PagedList

_OWNERS: dict[str, list[type[Any]]] = {
    "app": [ModelyardApp],
    "list": [PagedList],
    "view": [ListScreen],
    "models": [ModelsScreen],
    "servers": [ServersScreen],
    "hosts": [HostsScreen],
    "analytics": [AnalyticsScreen],
    "heads": [HeadsScreen],
    "downloads": [DownloadsScreen],
    "host_files": [HostFilesDialog],
    "keys": [KeysDialog],
    "history": [HistoryDialog],
    "form": [RecordForm, HostForm, DeployDialog, DownloadDialog, TokenDialog],
    "draft": [Drafting],
    "training": [TrainingDialog],
    "choose": [ChooseDialog],
    "model_picker": [ModelPicker],
    "installed_files": [PicksInstalled],
    "check": [CheckDialog],
    "read": [ErrorDialog, HelpDialog, FilesDialog],
    "confirm": [ConfirmDialog, FingerprintDialog, TidyDialog],
    "pick": [PickDialog],
    "copy": [CopyDialog],
    "logs": [LogDialog],
    "chat": [ChatDialog],
    "rate": [RateDialog],
    "test": [ConnectionDialog],
}
_TEXTUALS_OWN = {"command_palette", "app.focus_next", "app.focus_previous"}


def test_every_group_has_an_owner_that_binds_exactly_its_keys() -> None:
    assert set(_OWNERS) == set(GROUPS)
    for group, owners in _OWNERS.items():
        for owner in owners:
            bound = {binding.id for binding in owner.__dict__["BINDINGS"] if isinstance(binding, Binding)}
            assert bound == {key.id for key in keys_of(group)}, owner


@pytest.mark.parametrize("group", GROUPS)
def test_every_action_is_there(group: str) -> None:
    for key in keys_of(group):
        name, _, argument = key.action.partition("(")
        if key.action.split("(")[0] in _TEXTUALS_OWN:
            continue
        for owner in _OWNERS[group]:
            assert hasattr(owner, f"action_{name}"), (owner, key)
            if name == "do":
                assert hasattr(owner, "do_" + argument.strip("')")), (owner, key)


def test_ids_are_unique_and_no_key_is_bound_twice_in_one_place() -> None:
    ids = [key.id for group in GROUPS for key in keys_of(group)]
    assert len(ids) == len(set(ids))
    for place in ("models", "servers", "hosts", "analytics", "heads", "downloads"):
        pressed = [part for key in keys_of(place, "view", "list", "app") for part in key.keys.split(",")]
        assert len(pressed) == len(set(pressed)), place


def test_no_widget_of_ours_has_bindings_beside_the_registry() -> None:
    known = {key.id for group in GROUPS for key in keys_of(group)}
    for path in Path("tui").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for found in re.findall(r"Binding\(\s*\"([^\"]+)\"", text):
            assert path.name in {"fields.py", "keys.py"}, (path, found)
    assert known


async def test_help_lists_every_key(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "question_mark")
        text = " ".join(pilot.app.screen.query_one("#help-text", Widget).text.split())  # type: ignore[attr-defined]
        for group in GROUPS.values():
            assert group.title in text
            for key in group.keys:
                assert f"{key.shown()} {key.help}" in text
        assert text.startswith("Models")
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1


def test_markdown_has_a_row_for_every_key() -> None:
    text = keys_markdown()
    for group in GROUPS:
        for key in keys_of(group):
            assert f"| `{key.shown()}` | {key.help} |" in text


def test_readme_has_the_table_of_keys() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    table = readme.partition("<!-- keys -->")[2].partition("<!-- /keys -->")[0].strip()
    assert table == keys_markdown()


async def test_keymap_of_the_configuration_changes_key_bar_and_help(yard: Yard, tmp_path: Path) -> None:
    yard.settings = settings_in(tmp_path, keymap={"models.deploy": "f9"})
    async with session(yard) as pilot:
        await press(pilot, "down")
        assert "f9 Deploy" in screen_text(pilot)
        await press(pilot, "f9")
        assert isinstance(pilot.app.screen, DeployDialog)


async def test_palette_finds_and_does_any_action(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "ctrl+p")
        await type_text(pilot, "archived")
        await until(pilot, lambda: "Show the archived models" in screen_text(pilot))
        await press(pilot, "enter")
        await until(pilot, lambda: rows(pilot) == [])
        assert "Nothing is archived" in screen_text(pilot)
