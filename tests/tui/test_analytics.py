"""The figures of use, by keys (N3)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.events import now
from core.registry.counting import Told
from core.registry.records import Call
from core.registry.store import Registry
from core.settings import Settings
from tests.cli.program import done
from tests.tui import demo, figures
from tests.tui.fake import Yard, settings_in
from tests.tui.test_start_and_idle import _drawn_while_idle
from tests.tui.user import press, rows, screen_text, select, selected, session, start, toasts, type_text, until
from tui.app import ModelyardApp
from tui.screens.analytics import AnalyticsScreen
from tui.widgets.chart import bars


@pytest.fixture
def busy_yard(tmp_path: Path) -> Yard:
    """The demo fleet after a month of use."""

    async def fill(registry: Registry) -> None:
        if not (await registry.servers()):
            await demo.fill(registry)
            await figures.fill(registry)

    return Yard(settings=settings_in(tmp_path), script=demo.script(), fill=fill)


async def call(yard: Yard, name: str, **more: Any) -> Call:
    registry = yard.registry
    assert registry is not None
    model = await registry.get_model(name)
    values: dict[str, Any] = {"kind": "chat", "ok": True, "seconds": 1.0, **more}
    return await registry.record_call(Call(user_id="ada", model_id=model.id, model_name=name, **values))


def cells(pilot: Any, name: str) -> list[str]:
    """The line of this model."""
    listing = pilot.app.screen.usages
    row = next(row for row in listing.snapshot if row.model_name == name)
    return [cell.text for cell in listing.cells(row)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_figures_and_plots_of_every_model_that_is_used(busy_yard: Yard, size: tuple[int, int]) -> None:
    """N3: name, readable id, requests, success, tokens, latency, rating; plots of the selected one below."""
    async with session(busy_yard, size=size) as pilot:
        await press(pilot, "4")
        assert isinstance(pilot.app.screen, AnalyticsScreen)
        assert rows(pilot)[0] == "qwen3-32b"
        await until(pilot, lambda: "Median latency, 1." in screen_text(pilot), "the plots")
        text = screen_text(pilot)
        for part in ("REQS▼", "SUCCESS", "IN/OUT", "P50/P95", "RATED", "last week", "3 of 3 models", "█", "now"):
            assert part in text, part
        assert "qwen3-32b  Qwen/Qwen3-32B · vllm" in text
        assert "By engines" in text
        line = next(line for line in text.splitlines() if line.startswith("▌"))
        assert line.split()[-1].startswith("4.")
        await press(pilot, "m")
        await until(pilot, lambda: "Tokens in and out, most" in screen_text(pilot))
        await press(pilot, "enter")
        assert "By engines" not in screen_text(pilot)


async def test_periods_sort_search_and_servers(busy_yard: Yard) -> None:
    async with session(busy_yard) as pilot:
        await press(pilot, "4")
        week = cells(pilot, "team-gpt")
        await press(pilot, "p")
        assert "last month" in screen_text(pilot)
        assert int(cells(pilot, "team-gpt")[3]) > int(week[3])
        await press(pilot, "P")
        assert cells(pilot, "team-gpt") == week
        await press(pilot, "o", "m", "enter")
        assert rows(pilot) == ["team-gpt", "smollm2-135m", "qwen3-32b"]
        assert "MODEL ID▲" in screen_text(pilot)
        await press(pilot, "O")
        assert rows(pilot) == ["qwen3-32b", "smollm2-135m", "team-gpt"]
        header = next(line for line in screen_text(pilot).split("\n") if "REQS" in line)
        await pilot.click("#list", offset=(header.index("REQS"), 0))
        await until(pilot, lambda: "REQS▼" in screen_text(pilot))
        await press(pilot, "slash")
        await type_text(pilot, "qwen VLLM")
        assert rows(pilot) == ["qwen3-32b"]
        assert "1 of 3 models" in screen_text(pilot)
        await press(pilot, "enter", "escape", "b")
        assert len(rows(pilot)) == 3
        assert "3 of 3 servers" in screen_text(pilot)
        await select(pilot, "smollm2-135m")
        await until(
            pilot, lambda: "smollm2-135m  HuggingFaceTB/SmolLM2-135M-Instruct · llamacpp · local" in screen_text(pilot)
        )


async def test_a_call_a_rating_and_counters_are_shown_at_once(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "4")
        made = await call(yard, "team-gpt", prompt_tokens=12, completion_tokens=1500, seconds=0.25)
        await until(pilot, lambda: rows(pilot) == ["team-gpt"])
        assert cells(pilot, "team-gpt")[3:] == ["1", "100 %", "12/1.5k", "250ms/250ms", "-"]
        assert yard.registry is not None
        await yard.registry.rate_call(made.id or 0, 4)
        await until(pilot, lambda: cells(pilot, "team-gpt")[-1] == "4.0")
        await call(yard, "team-gpt", ok=False, error="timeout")
        await until(pilot, lambda: cells(pilot, "team-gpt")[4] == "50 %")
        server = await yard.registry.get_server("qwen3-32b")
        totals = {"requests": 20.0, "generation_tokens": 70.0}
        await yard.registry.add_readings(
            [Told(server_id=server.id, start=None, began=now(), ended=now(), totals=totals)]
        )
        await until(pilot, lambda: rows(pilot) == ["qwen3-32b", "team-gpt"])
        assert selected(pilot) == "team-gpt"


async def test_what_changes_while_another_screen_is_shown_is_there_on_return(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "4", "1")
        await call(yard, "team-gpt")
        await press(pilot, "4")
        await until(pilot, lambda: rows(pilot) == ["team-gpt"])


async def test_tests_are_counted_apart_until_they_are_asked_for(yard: Yard) -> None:
    async with session(yard) as pilot:
        await press(pilot, "4")
        await call(yard, "team-gpt")
        await call(yard, "team-gpt", kind="test", ok=False, error="timeout")
        await until(pilot, lambda: "tests 0/1" in screen_text(pilot))
        assert cells(pilot, "team-gpt")[3:5] == ["1", "100 %"]
        await press(pilot, "t")
        assert cells(pilot, "team-gpt")[3:5] == ["2", "50 %"]
        assert "with tests" in screen_text(pilot)


async def test_without_figures_it_says_how_they_come_to_be(yard: Yard) -> None:
    async with session(yard, size=(80, 24)) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: "No figures: last week." in screen_text(pilot))
        assert "They come from chats" in screen_text(pilot)
        assert "Press p for another period." in screen_text(pilot)
        await press(pilot, "w")
        assert any("There is nothing to write" in toast for toast in toasts(pilot))


async def test_figures_and_the_view_survive_a_restart(busy_yard: Yard) -> None:
    async with session(busy_yard) as pilot:
        await press(pilot, "4", "p", "b", "m", "O")
        before = [cells(pilot, name) for name in rows(pilot)]
    busy_yard.bus = type(busy_yard.bus)()
    async with session(busy_yard) as pilot:
        await press(pilot, "4")
        assert [cells(pilot, name) for name in rows(pilot)] == before
        for part in ("last month", "3 of 3 servers", "REQS▲", "Tokens in and out"):
            assert part in screen_text(pilot)


async def test_the_figures_are_written_to_a_file(
    busy_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with session(busy_yard) as pilot:
        await press(pilot, "4", "w", "c", "enter")
        await until(pilot, lambda: any("Wrote" in toast for toast in toasts(pilot)))
        (written,) = tmp_path.glob("modelyard-models-week-*.csv")
        lines = list(csv.DictReader(io.StringIO(written.read_text(encoding="utf-8"))))
        assert [line["name"] for line in lines] == rows(pilot)
        await press(pilot, "w", "j", "enter")
        await until(pilot, lambda: bool(list(tmp_path.glob("*.json"))))
        (written,) = tmp_path.glob("*.json")
        assert [row["name"] for row in json.loads(written.read_text(encoding="utf-8"))["rows"]] == rows(pilot)


async def test_names_from_outside_are_harmless(yard: Yard) -> None:
    async with session(yard) as pilot:
        assert yard.registry is not None
        name = "\x1b]0;x\x07[red]evil[/red]"
        await yard.registry.add_model({"name": name, "provider": "openai", "model_id": "x\x1b[2J"})
        await press(pilot, "4")
        await call(yard, name)
        await until(pilot, lambda: "[red]evil[/red]  x · openai" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)


async def test_the_screen_draws_nothing_while_nothing_happens(busy_yard: Yard) -> None:
    assert await _drawn_while_idle(busy_yard, "4") == 0


async def test_what_others_ask_a_real_server_arrives_while_the_program_is_open(
    smollm2: Path, settings: Settings
) -> None:
    """N3: llama-server's counters, read by the running program; nothing was asked through it."""
    done("models", "add", "smol", "--provider", "llamacpp", "--path", str(smollm2))
    words = ("--runtime", "process", "--gpus", "none", "--max-model-len", "512", "--no-api-key", "--yes")
    url = done("deploy", "smol", *words).out.strip()
    try:
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 6}
        httpx.post(f"{url}/v1/chat/completions", json=question, timeout=60).raise_for_status()
        app = ModelyardApp(settings)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await start(pilot)
            await press(pilot, "4")
            await until(pilot, lambda: rows(pilot) == ["smol"], "its counters", within_s=30)
            assert cells(pilot, "smol")[3:6] == ["-", "-", f"{_prompt(pilot)}/6"]
            await until(pilot, lambda: "By engines  requests not told" in screen_text(pilot))
            assert "Asked here  nothing" in screen_text(pilot)
    finally:
        done("stop", "smol")


def _prompt(pilot: Any) -> int:
    """The tokens of the question, as the model's template makes it."""
    count: int = pilot.app.screen.usages.snapshot[0].all.prompt_tokens
    assert count > 10
    return count


def test_bars_fill_their_room_and_show_every_value_above_zero() -> None:
    lines = bars([0, 1, 1000, None, 500], width=20, height=4)
    assert [len(line) for line in lines] == [20] * 4
    columns = ["".join(line[at] for line in lines) for at in (0, 4, 8, 12, 16)]
    assert columns == ["    ", "   ▁", "████", "    ", "  ██"]
    assert bars([], width=3, height=2) == ["   ", "   "]
    assert bars([0, 0], width=4, height=1) == ["    "]
    assert all(len(line) == 10 for line in bars([1.0] * 37, width=10, height=3))
