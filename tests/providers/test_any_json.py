"""Whatever JSON an endpoint sends, reading it raises nothing but the errors it may."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.providers.places import wire_of
from core.providers.values import ChatPiece, Finish, ToolCall, Usage
from core.providers.wire import StreamedError
from tests.providers.asking import PROVIDERS
from tests.providers.formats import Anthropic, Google, Ollama, OpenAI

_WORDS = (
    *("choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "index", "usage"),
    *("prompt_tokens", "finish_reason", "error", "code", "type", "data", "id", "models", "candidates", "parts"),
    *("text", "thought", "functionCall", "args", "usageMetadata", "promptTokenCount", "done", "eval_count"),
    *("content_block", "message_start", "message_delta", "content_block_delta", "content_block_start", "details"),
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(_WORDS)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(events=st.lists(_JSON, max_size=4), status=st.integers(100, 599))
@settings(max_examples=150, deadline=None)
def test_no_answer_list_or_error_is_too_strange(provider: str, events: list[Any], status: int) -> None:
    wire = wire_of(provider)
    reader = wire.reader()
    for event in events:
        for read in (reader.event, reader.whole):
            try:
                parts = list(read(event))
            except StreamedError as error:
                assert wire.said(error.status, error.data).fault
            else:
                assert all(isinstance(part, ChatPiece | ToolCall | Usage | Finish) for part in parts)
        assert all(isinstance(name, str) and name for name in wire.names(event))
        assert isinstance(wire.next_page(event), str)
        assert isinstance(wire.said(status, event).text, str)
    assert all(isinstance(part, ToolCall) for part in reader.finish())


@pytest.mark.parametrize(
    ("provider", "form"), [("vllm", OpenAI()), ("anthropic", Anthropic()), ("google", Google()), ("ollama", Ollama())]
)
@given(names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True))
@settings(max_examples=50, deadline=None)
def test_every_name_is_listed_as_it_is(provider: str, form: Any, names: list[str]) -> None:
    names = [name for name in names if not name.startswith("models/")] or ["x"]
    assert list(wire_of(provider).names(form.listed(names))) == names
