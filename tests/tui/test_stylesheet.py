"""Style sheets are parsed once; another theme changes every colour all the same."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from textual.css import stylesheet

from tests.tui.fake import Yard
from tests.tui.user import press, session, settle


async def test_no_sheet_is_parsed_twice_at_the_start_and_for_new_screens(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: Counter[tuple[object, ...]] = Counter()
    parse: Any = vars(stylesheet)["parse"]

    def counted(scope: str, css: str, read_from: Any, **more: Any) -> Any:
        parsed[scope, css, read_from, more["tie_breaker"]] += 1
        return parse(scope, css, read_from, **more)

    monkeypatch.setattr(stylesheet, "parse", counted)
    async with session(yard) as pilot:
        await press(pilot, "2", "3", "1", "question_mark", "escape")
    assert parsed
    assert parsed.most_common(1)[0][1] == 1


async def test_another_theme_changes_the_colours_of_what_is_shown(yard: Yard) -> None:
    async with session(yard) as pilot:
        header = pilot.app.screen.query_one("#header")
        before = header.styles.background
        pilot.app.theme = "nord"
        await settle(pilot)
        assert header.styles.background != before
        pilot.app.theme = "modelyard"
        await settle(pilot)
        assert header.styles.background == before


def test_garbage_is_looked_for_once_the_core_is_imported() -> None:
    code = "import gc; gc.disable(); import core.app; core.app._import_parts(); assert gc.isenabled()"
    subprocess.run([sys.executable, "-c", code], check=True)
