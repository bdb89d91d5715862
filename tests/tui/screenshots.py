"""Write a picture of every screen and dialog: `python -m tests.tui.screenshots [FOLDER]`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from core.registry import records
from tests.tui import demo, figures, files_demo
from tests.tui.fake import FINGERPRINTS, Yard, settings_in
from tests.tui.user import settle, start, until
from tui.app import ModelyardApp
from tui.modals import deploy_progress
from tui.widgets import spinner

Steps = Callable[[Pilot[None], Yard], Awaitable[None]]


def keys(*pressed: str) -> Steps:
    """Press these, one after the other."""

    async def steps(pilot: Pilot[None], yard: Yard) -> None:
        for key in pressed:
            await pilot.press(key)
            await settle(pilot)

    return steps


async def _options(pilot: Pilot[None], yard: Yard) -> None:
    await to_row(pilot, "deepseek-r1-distill-14b")
    await keys("d")(pilot, yard)


async def _plan(pilot: Pilot[None], yard: Yard) -> None:
    await _options(pilot, yard)
    await keys("ctrl+s")(pilot, yard)


async def _progress(pilot: Pilot[None], yard: Yard) -> None:
    yard.script.findings = yard.script.findings[:2]
    await _plan(pilot, yard)
    await keys("ctrl+s")(pilot, yard)


async def _chat(pilot: Pilot[None], yard: Yard) -> None:
    yard.script.more_answer.set()
    await to_row(pilot, "qwen3-32b")
    await keys("c")(pilot, yard)
    await pilot.press(*"How do I find a bearing fault?".replace(" ", "\0").replace("\0", " "), "enter")
    await settle(pilot)


async def to_row(pilot: Pilot[None], name: str) -> None:
    """Move the cursor to the model of this name."""
    rows: Any = pilot.app.screen.query_one("#list")
    for index in range(rows.count):
        if rows.row_at(index).model.name == name:
            rows.move_to(index)
    await settle(pilot)


async def _card(pilot: Pilot[None], yard: Yard) -> None:
    await to_row(pilot, "qwen3-32b")
    if pilot.app.size.width < 100:
        await keys("enter")(pilot, yard)


async def _fingerprint(pilot: Pilot[None], yard: Yard) -> None:
    yard.script.known_key = False
    await keys("3", "a", *"dione", "tab", *"ops@dione.lab")(pilot, yard)
    await keys("ctrl+s")(pilot, yard)
    assert FINGERPRINTS


async def _wrong_form(pilot: Pilot[None], yard: Yard) -> None:
    await keys("a", *"qwen3-32b", "tab", "tab", *"Qwen/Qwen3-32B", "tab", "tab", "tab")(pilot, yard)
    await keys("0", "tab", "tab", "3", "ctrl+s")(pilot, yard)


async def _delete(pilot: Pilot[None], yard: Yard) -> None:
    await to_row(pilot, "qwen3-32b")
    await keys("x")(pilot, yard)


async def _logs(pilot: Pilot[None], yard: Yard) -> None:
    await to_row(pilot, "qwen3-32b")
    await keys("l", "slash", *"info", "enter")(pilot, yard)


async def _hosts(pilot: Pilot[None], yard: Yard) -> None:
    await keys("3", "home", "down")(pilot, yard)
    await keys("h")(pilot, yard)


async def _analytics(pilot: Pilot[None], yard: Yard) -> None:
    assert yard.registry is not None
    await figures.fill(yard.registry)
    await keys("4")(pilot, yard)


async def _region(pilot: Pilot[None], yard: Yard) -> None:
    await keys("a")(pilot, yard)
    pilot.app.screen.query_one("#field-region Picker").focus()
    await keys(*"uni")(pilot, yard)


async def _gpus(pilot: Pilot[None], yard: Yard) -> None:
    await _options(pilot, yard)
    pilot.app.screen.query_one("#field-gpus Picker").focus()
    await keys("enter", "space", "down")(pilot, yard)


SCENES: dict[str, Steps] = {
    "models": _card,
    "search": keys("slash", *"qwen"),
    "provider": keys("p"),
    "add-model": _wrong_form,
    "delete-model": _delete,
    "deploy-options": _options,
    "deploy-plan": _plan,
    "deploy-progress": _progress,
    "servers": keys("2"),
    "hosts": _hosts,
    "analytics": _analytics,
    "heads": keys("5"),
    "regions": keys("5", "v"),
    "catalog": files_demo.catalog,
    "installed": files_demo.installed_tab,
    "installed-on-host": files_demo.host_tab,
    "choose-host": files_demo.hosts_to_choose,
    "pick-on-host": files_demo.host_picker,
    "downloads": files_demo.jobs_tab,
    "start-download": files_demo.start_dialog,
    "disk-usage": files_demo.usage_dialog,
    "filter": keys("f"),
    "marked": keys("space", "down", "space"),
    "keys": keys("K"),
    "import": keys("i"),
    "pick-region": _region,
    "pick-gpus": _gpus,
    "leave-form": keys("a", *"half a name", "escape"),
    "add-host": _fingerprint,
    "logs": _logs,
    "chat": _chat,
    "help": keys("question_mark"),
    "palette": keys("ctrl+p"),
}
SIZES = {"": (120, 36), "-80x24": (80, 24)}


async def picture(name: str, size: tuple[int, int]) -> str:
    """One scene as SVG, with ids that don't change from run to run."""
    with tempfile.TemporaryDirectory() as folder:
        yard = Yard(settings=settings_in(Path(folder)), script=demo.script(), fill=demo.fill)
        app = ModelyardApp(yard.settings, opener=yard.opener)
        async with app.run_test(size=size) as pilot:
            await start(pilot)
            await until(pilot, lambda: bool(app.screen.query_one("#list").count))  # type: ignore[attr-defined]
            await SCENES[name](pilot, yard)
            app.clear_notifications()
            await settle(pilot)
            return _stable(app.export_screenshot(title="Modelyard"), name)


def _stable(svg: str, name: str) -> str:
    """The same ids in every run, and blanks kept by every viewer."""
    named = re.sub(r"terminal-\d+", f"terminal-{name}", svg)
    named = re.sub(r"\b[0-9a-f]{12}\b", "1d0c9e5b7a42", named)
    return named.replace("<svg class", '<svg xml:space="preserve" class', 1)


def stop_the_clock() -> None:
    """The same moment and zone in every run."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    moment = datetime(2026, 7, 2, 9, 15, tzinfo=UTC)
    for module in (records, demo):
        setattr(module, "now", lambda: moment)  # noqa: B010 - a name of another module
    setattr(deploy_progress, "monotonic", lambda: 0.0)  # noqa: B010
    setattr(spinner, "_TURN_S", 3600.0)  # noqa: B010


async def main(folder: Path, only: list[str]) -> None:
    """Every scene in both sizes."""
    stop_the_clock()
    folder.mkdir(exist_ok=True)
    for name in only or SCENES:
        for suffix, size in SIZES.items():
            (folder / f"{name}{suffix}.svg").write_text(await picture(name, size), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"), sys.argv[2:]))
