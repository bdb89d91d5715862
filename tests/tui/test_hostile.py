"""Text from outside is shown literally, and nothing of it reaches the terminal as a command."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.segment import Segment
from textual.pilot import Pilot

from core.errors import ModelyardError
from core.findings import Severity
from core.hosts.values import Gpu, HostOverview
from core.registry.records import Host
from core.registry.store import Registry
from core.registry.values import ServerStatus
from tests.hostile import EVERYTHING, MARKUP
from tests.tui.fake import Script, Yard, finding, server_values, settings_in
from tests.tui.user import press, screen_text, session, settle, type_text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def hostile_yard(tmp_path: Any, text: str) -> Yard:
    """Everything that can come from outside says this."""

    async def fill(registry: Registry) -> None:
        host = await registry.add_host(Host(name="atlas", target=text, models_dir=text, problem=text))
        await registry.add_region({"id": "lab", "name": text})
        await registry.add_head({"name": text, "region": "lab", "url": "https://h/v1", "description": text})
        model = await registry.add_model(
            {
                "name": text.replace("\x00", ""),
                "provider": "vllm",
                "model_id": text,
                "path": text,
                "tags": [text],
                "head": text,
                "region": "lab",
                "served_name": "plain-1",
            }
        )
        more = {"container_name": text, "image": text, "cause": text, "remedy": text, "phase": text, "gpus": [text]}
        server = server_values(model, host, ServerStatus.FAILED, **more)
        server.model_name = text
        await registry.add_server(server)
        await registry.add_model({"name": "plain", "provider": "vllm", "model_id": text})

    gpu = Gpu(uuid=text, index=0, name=text, memory_total=100, memory_used=50)
    overview = HostOverview(
        name="atlas", kind="ssh", target=text, models_dir=text, reachable=True, problem=text, remedy=text, engine=text,
        gpus=(gpu,), os=text,
    )  # fmt: skip
    script = Script(
        findings=[finding(Severity.WARNING, text, text)],
        doctor=[finding(Severity.ERROR, text, text)],
        log_lines=[text],
        answer=[text[:3], text[3:]],
        overviews={"atlas": overview},
    )
    script.more_answer.set()
    return Yard(settings=settings_in(tmp_path), script=script, fill=fill)


def segments(pilot: Pilot[None]) -> Iterator[Segment]:
    """What is drawn now."""
    for strip in pilot.app.screen._compositor.render_strips():
        yield from strip


async def check(pilot: Pilot[None], name: str, *, literal: bool = True) -> None:
    """Nothing of it is a control sequence; markup is shown as it is written."""
    await settle(pilot)
    for segment in segments(pilot):
        assert not _CONTROL.search(segment.text), (segment.text, name)
        assert "@click" not in str(segment.style.meta if segment.style else {})
    text = screen_text(pilot)
    assert "owned" not in text
    if literal and name == "markup":
        assert all(part in text for part in MARKUP), text


@pytest.mark.parametrize("name", EVERYTHING)
async def test_screens_and_dialogs_show_it_literally(tmp_path: Any, name: str) -> None:
    text = EVERYTHING[name]
    yard = hostile_yard(tmp_path, text)
    async with session(yard, size=(150, 50)) as pilot:
        app: Any = pilot.app
        await press(pilot, "home")
        if "plain" in str(app.screen.models.selected.model.name):
            await press(pilot, "down")
        await check(pilot, name)
        for keys in (["e"], ["x"], ["l"], ["d"], ["question_mark"], ["ctrl+p"]):
            await press(pilot, *keys)
            await check(pilot, name, literal=keys[0] in "exl")
            if keys == ["d"]:
                await press(pilot, "ctrl+s")
                await check(pilot, name)
                await press(pilot, "ctrl+s")
                await check(pilot, name)
                await press(pilot, "y")
                await check(pilot, name)
                yard.script.go_on.set()
                await settle(pilot)
            await press(pilot, "escape")
        while len(app.screen_stack) > 1:
            app.pop_screen()
        await check(pilot, name)
        await press(pilot, "2", "home")
        await check(pilot, name)
        await press(pilot, "3", "down", "h")
        await check(pilot, name)


@pytest.mark.parametrize("name", ["sequences", "markup"])
async def test_heads_and_regions_show_it_literally(tmp_path: Any, name: str) -> None:
    """R1, R2: on their screen and in their forms."""
    async with session(hostile_yard(tmp_path, EVERYTHING[name]), size=(120, 40)) as pilot:
        for key in ("5", "e", "escape", "v", "e"):
            await press(pilot, key)
            await check(pilot, name)


@pytest.mark.parametrize("name", EVERYTHING)
async def test_errors_toasts_and_answers_show_it_literally(tmp_path: Any, name: str) -> None:
    text = EVERYTHING[name]
    async with session(hostile_yard(tmp_path, text), size=(150, 50), chat_with="plain") as pilot:
        app: Any = pilot.app
        await settle(pilot)
        await type_text(pilot, "hello")
        await press(pilot, "enter")
        await check(pilot, name)
        app.toast(text)
        app.show_error(ModelyardError(text, cause=text, remedy=text))
        await check(pilot, name)


async def test_the_terminal_gets_the_same_bytes_as_for_a_harmless_name(tmp_path: Any) -> None:
    written = [await _written(tmp_path / str(n), text) for n, text in enumerate(("a\x1b]0;owned\x07b\x1b[2J", "ab"))]
    assert written[0] == written[1]


async def _written(folder: Any, text: str) -> str:
    """All lines of the models screen as the terminal would get them."""
    async with session(hostile_yard(folder, text), size=(120, 30)) as pilot:
        output = io.StringIO()
        for segment in segments(pilot):
            output.write(segment.style.render(segment.text) if segment.style else segment.text)
        return re.sub(r"id=\d+|\b[0-9a-f]{12}\b|\d{4}-\d\d-\d\d \d\d:\d\d", "", output.getvalue())


async def test_pasted_text_is_cleaned(yard: Yard) -> None:
    from textual.events import Paste

    async with session(yard) as pilot:
        await press(pilot, "slash")
        field: Any = pilot.app.screen.query_one("#search")
        field.post_message(Paste("qwen\x1b]0;owned\x07\x1b[2J"))
        await settle(pilot)
        assert field.value == "qwen"
