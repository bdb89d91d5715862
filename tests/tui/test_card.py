"""A model's card (P3), at every width."""

from __future__ import annotations

from typing import Any

from core.connections.report import TestReport
from core.findings import Severity
from core.registry.store import Registry
from tests.tui import demo
from tests.tui.fake import Yard, finding
from tests.tui.user import press, screen_text, select, selected, session, until
from tui.widgets.card import Card

HOSTILE = "\x1b]0;owned\x07[b]\u202edne"


def report(**more: Any) -> dict[str, Any]:
    """What a test of the connection leaves."""
    return TestReport(model_id="m", model_name="m", url="http://h", **more).as_dict()


async def fill(registry: Registry) -> None:
    """One model with everything in its record."""
    await demo.fill(registry)
    await registry.add_head({"name": "frankfurt", "region": "de", "url": "https://fra.example/v1"})
    model = await registry.edit_model(
        "qwen3-32b",
        {
            "region": "de",
            "head": "frankfurt",
            "tags": ["prod", HOSTILE],
            "extra": {"owner": HOSTILE},
            "flags": {"max-num-seqs": "8"},
            "api_key_ref": "team",
            "local_inference": True,
            "supports_vision": True,
        },
    )
    await registry.keep_test(model.id, report(ok=True, latency_s=0.21, serves=("a", "b", "c", "d"), findings=()))
    bad = (finding(Severity.ERROR, "The key is not accepted.", "Set another."),)
    team = await registry.get_model("team-gpt")
    await registry.keep_test(team.id, report(ok=False, fault="unauthorised", findings=bad))


async def test_all_of_the_record_and_its_server(yard: Yard) -> None:
    """P3, P10: all fields, marks, server, last test, files, allowed actions, the others with the reason; harmless."""
    yard.fill = fill
    async with session(yard, size=(120, 40)) as pilot:
        await select(pilot, "qwen3-32b")
        text = " ".join(pilot.app.screen.query_one(Card).text.split())
        for part in (
            *("Running vLLM on port 8000", "Host atlas", "http://127.0.0.1:8000/v1/chat/completions"),
            *("Provider vllm", "you (ada)", "✓ streaming ✓ tools ✓ vision", "40 960 tokens, output 2 048"),
            *("temperature 1, top-p 1", "de Germany", "Head frankfurt", "/srv/models/Qwen/Qwen3-32B on atlas"),
            *("the key named team", "prod, [b]dne", "It answers, 210 ms", "serves a, b, c and 1 more"),
            *("d Deploy It is running already.", "s Stop", "Served as qwen3-32b", "Task generate"),
            *("prompts stay on this machine", '{"max-num-seqs": "8"}', "\\u001b]0;owned\\u0007[b]"),
        ):
            assert part in text, part
        assert not set(text) & set("\x1b\x07\u202e")
        await select(pilot, "team-gpt")
        text = " ".join(pilot.app.screen.query_one(Card).text.split())
        assert "✗ The key is not accepted." in text
        assert "openai serves it itself." in text


async def test_narrow_first_below_then_nearly_the_whole_screen(yard: Yard) -> None:
    """P3: at 80 columns Enter opens the card below, then larger; it is read on while the cursor stays."""
    yard.fill = fill
    async with session(yard, size=(80, 24)) as pilot:
        await select(pilot, "qwen3-32b")
        await press(pilot, "enter")
        assert "Running vLLM on port 8000" in screen_text(pilot)
        assert "Head " not in screen_text(pilot)
        await press(pilot, "enter")
        assert "Head " in screen_text(pilot)
        assert selected(pilot) == "qwen3-32b"
        for _ in range(12):
            await press(pilot, "right_square_bracket")
        await until(pilot, lambda: "Served as" in screen_text(pilot))
        for _ in range(12):
            await press(pilot, "left_square_bracket")
        await press(pilot, "down")
        await until(pilot, lambda: "smollm2-135m" in screen_text(pilot))
        await press(pilot, "escape")
        assert "Served as" not in screen_text(pilot)
        assert "bge-m3" in screen_text(pilot)
