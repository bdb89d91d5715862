"""The first frame comes early, and a screen where nothing happens sends nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.tui.fake import Yard
from tests.tui.user import press, session, settle, until
from tui.app import ModelyardApp

_HEAVY = ("sqlmodel", "sqlalchemy", "docker", "httpx", "alembic", "keyring", "huggingface_hub", "pynvml")


def test_the_app_and_its_first_screen_import_nothing_heavy() -> None:
    code = (
        "import sys, json; import tui.app, tui.screens.models; "
        f"print(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_other_screens_and_dialogs_are_imported_when_they_are_opened() -> None:
    code = (
        "import sys, json; import tui.app, tui.screens.models; "
        "print(json.dumps([n for n in sys.modules if n.startswith(('tui.modals', 'tui.screens.hosts', "
        "'tui.screens.servers', 'tui.palette'))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


async def _drawn_while_idle(yard: Yard, *keys: str) -> int:
    """How often something is drawn in a second in which nothing happens."""
    async with session(yard) as pilot:
        app: Any = pilot.app
        await press(pilot, *keys)
        await until(pilot, lambda: not app._notifications)
        await settle(pilot)
        drawn: list[Any] = []
        display = app._display

        def counted(screen: Any, renderable: Any) -> None:
            drawn.append(renderable)
            display(screen, renderable)

        app._display = counted
        await pilot.pause(1.0)
        return len([one for one in drawn if one is not None])


async def test_idle_screens_draw_nothing(yard: Yard) -> None:
    for keys in ((), ("2",), ("3",), ("slash",), ("a",), ("2", "l")):
        yard.bus = type(yard.bus)()
        assert await _drawn_while_idle(yard, *keys) == 0, keys
        yard.settings.db_path.unlink()


async def test_a_changed_line_draws_only_that_line(yard: Yard) -> None:
    async with session(yard) as pilot:
        app: Any = pilot.app
        await press(pilot, "2")
        listing = app.screen.servers
        await settle(pilot)
        drawn: list[int] = []
        render_line = listing.render_line

        def counted(y: int) -> Any:
            drawn.append(y)
            return render_line(y)

        listing.render_line = counted
        assert yard.registry is not None
        server = await yard.registry.get_server("qwen3-32b")
        await yard.registry.edit_server(server.id, {"gpu_memory": 1})
        app.screen.reload_soon()
        await settle(pilot)
        place = [row.model_name for row in listing.snapshot].index("qwen3-32b")
        assert set(drawn) == {place + 1}


async def test_themes_of_the_terminal_and_no_color_work(yard: Yard, monkeypatch: Any) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for theme in ("modelyard", "ansi-dark", "ansi-light", "textual-light", "nord"):
        app = ModelyardApp(yard.settings, opener=yard.opener)
        app.theme = theme
        yard.bus = type(yard.bus)()
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: app.yard is not None)  # noqa: B023
            await settle(pilot)
            await press(pilot, "2", "3", "question_mark")
            assert app.no_color
        yard.settings.db_path.unlink()
