"""Refusals as the providers document them become kinds of our own, with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from core.providers.errors import Fault, ProviderError
from tests.providers.asking import ask, caller
from tests.providers.server import KEY, FakeProvider


def _openai(message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(kind: str, message: str) -> Any:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _google(status: str, message: str) -> Any:
    return {"error": {"code": 400, "message": message, "status": status}}


_CASES: list[tuple[str, int, Any, Fault]] = [
    ("openai", 401, _openai("Incorrect API key provided", code="invalid_api_key"), Fault.UNAUTHORISED),
    ("openai", 403, _openai("Country, region, or territory not supported"), Fault.FORBIDDEN),
    ("openai", 429, _openai("Rate limit reached", code="rate_limit_exceeded"), Fault.RATE_LIMITED),
    ("openai", 429, _openai("You exceeded your current quota", code="insufficient_quota"), Fault.NO_CREDIT),
    ("openai", 400, _openai("too long", code="context_length_exceeded"), Fault.CONTEXT_TOO_LONG),
    ("openai", 400, _openai("Unsupported value: 'temperature'", code="unsupported_value"), Fault.BAD_REQUEST),
    ("openai", 503, _openai("Overloaded", kind="server_error"), Fault.OVERLOADED),
    ("openai", 500, _openai("Oh no", kind="server_error"), Fault.SERVER_ERROR),
    ("vllm", 404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, Fault.MODEL_NOT_FOUND),
    ("vllm", 400, {"message": "This model's maximum context length is 128 tokens."}, Fault.CONTEXT_TOO_LONG),
    ("vllm", 401, {"error": "Unauthorized"}, Fault.UNAUTHORISED),
    ("vllm", 503, _openai("Loading model", kind="unavailable_error"), Fault.LOADING),
    ("vllm", 400, _openai("exceeds", kind="exceed_context_size_error"), Fault.CONTEXT_TOO_LONG),
    ("vllm", 404, "not found", Fault.NOT_FOUND),
    ("vllm", 422, {"detail": [{"loc": ["body"]}]}, Fault.BAD_REQUEST),
    ("anthropic", 401, _anthropic("authentication_error", "invalid x-api-key"), Fault.UNAUTHORISED),
    ("anthropic", 403, _anthropic("permission_error", "no"), Fault.FORBIDDEN),
    ("anthropic", 404, _anthropic("not_found_error", "model: claude-x"), Fault.MODEL_NOT_FOUND),
    ("anthropic", 429, _anthropic("rate_limit_error", "slow"), Fault.RATE_LIMITED),
    ("anthropic", 529, _anthropic("overloaded_error", "Overloaded"), Fault.OVERLOADED),
    ("anthropic", 400, _anthropic("invalid_request_error", "prompt is too long: 9 > 8"), Fault.CONTEXT_TOO_LONG),
    ("anthropic", 400, _anthropic("invalid_request_error", "Your credit balance is too low"), Fault.NO_CREDIT),
    ("anthropic", 413, _anthropic("request_too_large", "big"), Fault.CONTEXT_TOO_LONG),
    ("google", 403, _google("PERMISSION_DENIED", "no"), Fault.FORBIDDEN),
    ("google", 400, _google("FAILED_PRECONDITION", "User location is not supported"), Fault.FORBIDDEN),
    ("google", 404, _google("NOT_FOUND", "models/x is not found"), Fault.MODEL_NOT_FOUND),
    ("google", 429, _google("RESOURCE_EXHAUSTED", "quota"), Fault.RATE_LIMITED),
    ("google", 503, _google("UNAVAILABLE", "busy"), Fault.OVERLOADED),
    ("google", 400, _google("INVALID_ARGUMENT", "The input token count (9) exceeds 8"), Fault.CONTEXT_TOO_LONG),
    ("google", 429, [_google("RESOURCE_EXHAUSTED", "quota")], Fault.RATE_LIMITED),
    ("ollama", 404, {"error": 'model "x" not found, try pulling it first'}, Fault.MODEL_NOT_FOUND),
    ("ollama", 404, "404 page not found", Fault.NOT_FOUND),
    ("ollama", 503, {"error": "server busy, please try again"}, Fault.OVERLOADED),
]


@pytest.mark.parametrize(("provider", "status", "body", "fault"), _CASES)
async def test_a_refusal_has_its_kind(
    server: FakeProvider, provider: str, status: int, body: Any, fault: Fault
) -> None:
    server.script.fail = (status, body, {})
    with pytest.raises(ProviderError) as error:
        await ask(server, provider)
    assert error.value.fault is fault
    assert error.value.status == status
    assert error.value.remedy


async def test_when_to_try_again_is_told(server: FakeProvider) -> None:
    server.script.fail = (429, _openai("slow", code="rate_limit_exceeded"), {"Retry-After": "17"})
    with pytest.raises(ProviderError) as error:
        await ask(server, "openai")
    assert error.value.retry_after_s == 17
    assert "in 17 s" in error.value.remedy


async def test_an_endpoint_that_repeats_the_key_is_not_quoted(server: FakeProvider) -> None:
    server.script.fail = (401, _openai(f"Incorrect API key provided: {KEY}"), {})
    with pytest.raises(ProviderError) as error:
        await ask(server, "openai")
    assert KEY not in f"{error.value.as_dict()}"
    assert "[key]" in error.value.cause


async def test_a_redirect_carries_no_key_anywhere(server: FakeProvider) -> None:
    with FakeProvider() as elsewhere:
        server.script.fail = (307, {}, {"Location": f"{elsewhere.url}/v1/chat/completions"})
        for provider in ("openai", "anthropic", "google", "ollama"):
            async with caller(server, provider) as one:
                with pytest.raises(ProviderError) as error:
                    await one.models()
            assert error.value.fault is Fault.REDIRECTED
            assert elsewhere.url in error.value.cause
        assert elsewhere.asked == []
