"""Testing a connection (P9): what is found, what is kept, what is counted."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from core.connections.report import TestReport
from core.findings import Severity
from core.providers.openai import OpenAIWire
from tests.providers.certificates import server_context
from tests.providers.formats import OpenAI
from tests.providers.server import KEY, FakeProvider, listening
from tests.providers.yard import SmallYard, small_yard


def _found(report: TestReport) -> dict[str, Severity]:
    return {finding.check: finding.severity for finding in report.findings}


@pytest.mark.parametrize("provider", ["openai", "vllm", "local", "llamacpp", "anthropic", "google", "ollama"])
async def test_all_is_well(server: FakeProvider, yard: SmallYard, provider: str) -> None:
    """P9 for every provider: reachable, authorised, served, how fast; kept with the model and counted."""
    model = await yard.add(server, provider)
    report = await yard.connections.test("mine")
    assert report.ok, report.findings
    assert _found(report) == {"reachable": Severity.OK, "authorised": Severity.OK, "model": Severity.OK}
    assert report.serves == ("tiny-1", "tiny-2")
    assert report.latency_s
    assert report.connect_s
    assert report.connect_s <= report.latency_s
    kept = await yard.registry.get_model("mine")
    assert kept.last_test is not None
    assert TestReport.from_dict(kept.last_test) == report
    assert kept.updated_at == model.updated_at
    (call,) = await yard.registry.calls()
    assert (call.kind, call.ok, call.error, call.first_token_s) == ("test", True, "", report.latency_s)
    assert KEY not in f"{kept.last_test}"
    questions = [one for one in server.asked if one.body and {"messages", "contents"} & set(one.body)]
    assert questions == [], "a test asks nothing that costs"
    loads = [one for one in server.asked if one.path == "/api/chat" and one.body["model"]]
    assert loads == [], "Ollama loads the model of a question without messages"


@pytest.mark.parametrize("provider", ["openai", "vllm", "anthropic", "google", "ollama"])
async def test_each_trouble_is_a_finding_of_its_own(server: FakeProvider, yard: SmallYard, provider: str) -> None:
    await yard.add(server, provider, name="wrong-key", api_key_ref="bad")
    await yard.add(server, provider, name="wrong-model", model_id="tiny-9")
    await yard.add(server, provider, name="no-key", api_key_ref="nowhere")
    await yard.add(f"{server.url}/elsewhere", provider, name="wrong-path")
    yard.keys.values["bad"] = "sk-wrong"
    reports = {name: await yard.connections.test(name) for name in ("wrong-key", "wrong-model", "no-key", "wrong-path")}
    assert {name: report.fault for name, report in reports.items()} == {
        "wrong-key": "unauthorised",
        "wrong-model": "model_not_found",
        "no-key": "no_key",
        "wrong-path": "not_found",
    }
    for report in reports.values():
        assert not report.ok
        assert all(finding.remedy for finding in report.findings if finding.severity is Severity.ERROR)
    assert "tiny-1" in reports["wrong-model"].sentence
    assert [call.ok for call in await yard.registry.calls()] == [False] * 3, "without a key nothing was sent"


async def test_rate_limits_redirects_and_pages_are_told_apart(server: FakeProvider, yard: SmallYard) -> None:
    await yard.add(server)
    found = []
    for reply in (
        (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, {"Retry-After": "9"}),
        (301, {}, {"Location": "https://other.example/v1/models"}),
        (200, "<html>", {"Content-Type": "text/html"}),
        (503, {"error": {"message": "Loading model"}}, {}),
        (500, "boom", {"Content-Type": "text/plain"}),
    ):
        server.script.fail = reply
        found.append((await yard.connections.test("mine")).fault)
    assert found == ["rate_limited", "redirected", "not_an_api", "loading", "server_error"]


async def test_a_host_that_is_not_there_and_one_that_is_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def silent(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.recv(1)

    async with small_yard(tmp_path, silence_s=0.2) as yard:
        with listening(silent) as url:
            await yard.add(f"http://127.0.0.1:{port}", name="refused")
            await yard.add("http://no-such-host.invalid", name="dns")
            await yard.add(url, name="silent")
            faults = [(await yard.connections.test(name)).fault for name in ("refused", "dns", "silent")]
    assert faults == ["refused", "dns", "silent"]


async def test_tls_trouble_is_a_finding(tmp_path: Path, yard: SmallYard) -> None:
    context, _ = server_context(tmp_path)
    with FakeProvider(tls=context) as server:
        await yard.add(server, "anthropic")
        report = await yard.connections.test("mine")
    assert report.fault == "tls"
    assert "signed itself" in report.sentence


async def test_a_list_open_to_all_does_not_hide_a_wrong_key(
    server: FakeProvider, yard: SmallYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp and many gateways list their models without a key."""
    await yard.add(server, "llamacpp", api_key_ref="bad")
    yard.keys.values["bad"] = "sk-wrong"

    def open_list(handler: Any) -> None:
        if handler.command == "GET":
            handler.reply(200, OpenAI().listed(["tiny-1"]), {})
        else:
            handler.reply(*OpenAI().wrong_key())

    server.script.raw = open_list
    assert (await yard.connections.test("mine")).fault == "unauthorised"


async def test_an_endpoint_without_a_list_is_tested_by_what_it_says_to_a_question(
    server: FakeProvider, yard: SmallYard
) -> None:
    await yard.add(server)

    def no_list(handler: Any) -> None:
        if handler.command == "GET":
            handler.reply(404, "not found", {"Content-Type": "text/plain"})
        else:
            handler.reply(*OpenAI().bad_request())

    server.script.raw = no_list
    report = await yard.connections.test("mine")
    assert report.ok
    assert _found(report)["model"] is Severity.WARNING


async def test_a_model_for_embeddings_is_tested_at_its_own_path(server: FakeProvider, yard: SmallYard) -> None:
    """vLLM has no chat where it serves embeddings."""
    await yard.add(server, task="embed")

    def embeddings(handler: Any) -> None:
        if handler.command == "GET":
            handler.reply(200, OpenAI().listed(["tiny-1"]), {})
        elif handler.path == "/v1/embeddings":
            handler.reply(
                *(OpenAI().bad_request() if KEY in handler.headers["Authorization"] else OpenAI().wrong_key())
            )
        else:
            handler.reply(404, {"detail": "Not Found"}, {})

    server.script.raw = embeddings
    assert (await yard.connections.test("mine")).ok
    await yard.registry.edit_model("mine", {"api_key_ref": "bad"})
    yard.keys.values["bad"] = "sk-wrong"
    assert (await yard.connections.test("mine")).fault == "unauthorised"


async def test_an_alias_is_served_though_no_list_holds_it(server: FakeProvider, yard: SmallYard) -> None:
    server.script.aliases = ["tiny-latest"]
    await yard.add(server, "anthropic", model_id="tiny-latest")
    assert (await yard.connections.test("mine")).ok


async def test_the_providers_own_key_goes_to_the_provider_only(
    server: FakeProvider, yard: SmallYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that points elsewhere does not get the global key, unless it names one."""
    yard.keys.values["openai"] = KEY
    await yard.add(server, "openai", api_key_ref="")
    report = await yard.connections.test("mine")
    assert report.fault == "unauthorised"
    assert all(KEY not in f"{asked.headers}" for asked in server.asked)
    await yard.registry.edit_model("mine", {"api_key_ref": "test"})
    assert (await yard.connections.test("mine")).ok


async def test_hosted_without_any_key_says_how_to_store_one(yard: SmallYard) -> None:
    await yard.registry.add_model({"name": "gpt", "provider": "openai", "model_id": "gpt-5"})
    report = await yard.connections.test("gpt")
    assert report.fault == "no_key"
    assert "modelyard keys set openai" in report.findings[-1].remedy


async def test_a_key_on_an_open_line_is_a_warning(yard: SmallYard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.providers.network.is_loopback", lambda _: False)
    with FakeProvider() as server:
        await yard.add(server)
        report = await yard.connections.test("mine")
    assert report.ok
    assert _found(report)["key"] is Severity.WARNING


async def test_what_nothing_serves_says_so(yard: SmallYard) -> None:
    await yard.registry.add_model({"name": "idle", "provider": "vllm", "model_id": "some/model"})
    report = await yard.connections.test("idle")
    assert report.fault == "not_running"
    assert "modelyard deploy idle" in report.findings[-1].remedy


async def test_local_inference_never_leaves_this_machine(yard: SmallYard) -> None:
    model = await yard.registry.add_model(
        {"name": "here", "provider": "vllm", "model_id": "some/model", "endpoint": "http://192.0.2.1:8000"}
    )
    model.local_inference = True
    with pytest.raises(Exception, match="this machine only"):
        async with yard.connections._places.open(model, silence_s=1):
            pass


async def test_a_report_of_another_version_is_no_report() -> None:
    assert TestReport.from_dict({"ok": True}) is None
    assert OpenAIWire().names({"data": [{"id": "a"}]}) == ("a",)
