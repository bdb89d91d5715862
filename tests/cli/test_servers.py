"""The life of a server on this machine, by commands: a real llama.cpp with a real small model, without a container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.program import COMMAND, Ended, Terminal, done, modelyard, start

P16 = {
    *("id", "user_id", "model_id", "model_name", "server_type", "status", "port", "url", "started_at"),
    "uptime_seconds",
}
OURS = {"host", "phase", "cause", "remedy", "reachable", "served_name"}
DEPLOY = ("--runtime", "process", "--gpus", "none", "--max-model-len", "512", "--yes")


@pytest.fixture
def model(smollm2: Path) -> Iterator[str]:
    """The name of a model that can be deployed; whatever serves it ends with the test."""
    done("models", "add", "smol", "--provider", "llamacpp", "--path", str(smollm2), "--max-output-tokens", "16")
    yield "smol"
    for server in done("servers", "list", "--cached", "--json").json()["servers"]:
        modelyard("stop", server["id"])


@pytest.fixture
def server(model: str) -> str:
    """The URL of the running server of `model`."""
    return done("deploy", model, *DEPLOY).out.strip()


def events(ended: Ended) -> list[dict[str, Any]]:
    """NDJSON: every line is a document."""
    return [json.loads(line) for line in ended.out.splitlines()]


def test_the_dry_run_starts_nothing(model: str) -> None:
    plan = done("plan", model, "--host", "local", *DEPLOY[:-1], "--json").json()
    assert plan["engine"] == "llamacpp"
    assert plan["command"][0].endswith("llama-server")
    assert {"severity", "check", "reason", "remedy"} == set(plan["findings"][0])
    assert plan["memory"]["total"] > 0
    people = done("plan", model, "--host", "local", *DEPLOY[:-1])
    assert "llama-server" in people.out
    assert done("servers", "list", "--json").json() == {"servers": []}


def test_without_a_host_the_plan_is_made_for_every_host(model: str) -> None:
    document = done("plan", model, *DEPLOY[:-1], "--json").json()
    assert [(one["host"], one["fits"]) for one in document["hosts"]] == [("local", True)]
    assert "local" in done("plan", model, *DEPLOY[:-1]).out


def test_a_plan_with_errors_is_refused(model: str) -> None:
    wrong = (*DEPLOY[:-1], "--gpus", "GPU-00000000-0000-0000-0000-000000000000")
    planned = modelyard("plan", model, "--host", "local", *wrong, "--json")
    assert planned.code == 3
    assert any(one["severity"] == "error" for one in planned.json()["findings"])
    refused = modelyard("deploy", model, *wrong, "--yes", "--json")
    assert refused.code == 3
    assert refused.error()["error"] == "PlanRefused"
    assert refused.error()["findings"]
    assert done("servers", "list", "--json").json() == {"servers": []}


def test_warnings_need_a_yes(model: str) -> None:
    words = ("deploy", model, *DEPLOY[:-1], "--no-api-key")
    refused = modelyard(*words)
    assert (refused.code, refused.out) == (3, "")
    assert "warning" in refused.err
    assert "--yes" in refused.err
    terminal = Terminal(*words)
    terminal.wait_for("Deploy all the same? [y/N]")
    terminal.write("n\r")
    assert terminal.close() == 3
    terminal = Terminal(*words)
    terminal.wait_for("Deploy all the same? [y/N]")
    terminal.write("y\r")
    assert terminal.close() == 0
    assert b"http://127.0.0.1:" in terminal.seen


def test_two_deploys_at_once_get_two_ports(model: str, smollm2: Path) -> None:
    done("models", "add", "other", "--provider", "llamacpp", "--path", str(smollm2), "--max-output-tokens", "16")
    with start("deploy", "other", *DEPLOY) as beside:
        done("deploy", model, *DEPLOY)
        beside.communicate(timeout=60)
    servers = done("servers", "list", "--json").json()["servers"]
    assert [server["status"] for server in servers] == ["running", "running"]
    assert len({server["url"] for server in servers}) == 2


def test_deploy_tells_its_events_and_ends_running(model: str) -> None:
    told = events(done("deploy", model, *DEPLOY, "--json"))
    assert [one["event"] for one in (told[0], told[-1])] == ["Planned", "Done"]
    states = [one["after"] for one in told if one["event"] == "ServerChanged"]
    assert states == ["starting", "loading", "running"]
    server = told[-1]["server"]
    assert set(server) >= P16 | OURS
    assert (server["status"], server["model_name"], server["host"], server["reachable"]) == (
        "running",
        model,
        "local",
        True,
    )
    with urllib.request.urlopen(f"{server['url']}/health", timeout=10) as answer:
        assert answer.status == 200


def test_the_life_of_a_server(model: str, server: str) -> None:
    [listed] = done("servers", "list", "--json").json()["servers"]
    assert (listed["url"], listed["status"]) == (server, "running")
    assert listed["uptime_seconds"] > 0
    shown = done("models", "show", model, "--json").json()
    assert (shown["status"], shown["port"], shown["url"]) == ("running", listed["port"], server)
    for ref in (listed["id"], listed["id"][:6], listed["container_name"], model):
        assert done("servers", "show", ref, "--json").json()["id"] == listed["id"]
    assert server in done("servers", "list").out

    assert modelyard("deploy", model, *DEPLOY).code == 3
    assert modelyard("servers", "remove", model, "--yes").code == 3

    stopped = events(done("stop", model, "--json"))
    assert [one["after"] for one in stopped if one["event"] == "ServerChanged"] == ["stopping", "stopped"]
    assert stopped[-1]["server"]["status"] == "stopped"
    assert modelyard("stop", model).code == 3
    assert modelyard("chat", model, "hello").code == 3

    assert done("restart", model).out.strip() == server
    assert done("stop", model).err.splitlines() == [f"{model}: stopping", f"{model}: stopped"]
    assert done("servers", "remove", model, "--yes", "--json").json()["removed"] is True
    assert done("servers", "list", "--json").json() == {"servers": []}


def test_update_changes_what_is_said_and_keeps_the_rest(model: str, server: str) -> None:
    told = events(done("update", model, "--max-model-len", "256", "--yes", "--json"))
    assert told[-1]["server"]["status"] == "running"
    options = told[0]["plan"]["options"]
    assert (options["max_model_len"], options["runtime"], options["gpus"]) == (256, "process", [])
    assert modelyard("update", "nothing").code == 1


def test_chat_streams_counts_and_reads_standard_input(model: str, server: str) -> None:
    answered = done("chat", model, "Say hello.", "--max-tokens", "8", "--temperature", "0")
    assert answered.out.strip()
    assert "tokens in" in answered.err
    document = done("chat", model, "--max-tokens", "8", "--temperature", "0", "--json", stdin="Say hello.").json()
    assert document["answer"].strip() == answered.out.strip()
    assert 0 < document["completion_tokens"] <= 8
    assert document["tokens_per_second"] > 0
    assert modelyard("chat", model, stdin="").code == 2
    asked = done("chat", model, "Who are you?", "--system", "You are a pirate.", "--json").json()
    assert asked["prompt_tokens"] > 0


def test_a_conversation_on_a_terminal(model: str, server: str) -> None:
    terminal = Terminal("chat", model, "--max-tokens", "8")
    terminal.wait_for("> ")
    terminal.write("hello\r")
    terminal.wait_for("tokens in")
    terminal.write("\x04")
    assert terminal.close() == 0


def test_ctrl_c_stops_an_answer_and_keeps_the_conversation(model: str, server: str) -> None:
    terminal = Terminal("chat", model, "--max-tokens", "400", "--temperature", "0")
    terminal.wait_for("> ")
    terminal.write("Write a very long story about a ship.\r")
    terminal.wait_for("ship.\r\n")
    seen = len(terminal.seen)
    while len(terminal.seen) < seen + 20:
        terminal.wait_for(terminal.seen.decode(errors="replace")[-1:])
        assert terminal._read(30)
    terminal.write("\x03")
    terminal.wait_for("stopped")
    terminal.write("\x03")
    assert terminal.close() == 130


def test_logs_show_filter_and_follow(model: str, server: str) -> None:
    [listed] = done("servers", "list", "--cached", "--json").json()["servers"]
    lines = done("servers", "logs", model, "--tail", "50").out.splitlines()
    assert 0 < len(lines) <= 50
    assert all("LISTEN" in line.upper() for line in done("servers", "logs", model, "--grep", "listen").out.splitlines())
    told = events(done("servers", "logs", listed["id"], "--tail", "3", "--json"))
    assert {one["server_id"] for one in told} == {listed["id"]}

    following = start("servers", "logs", model, "-f", "--json")
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["event"] == "LogLine"
    os.kill(following.pid, signal.SIGINT)
    _, told_last = following.communicate(timeout=30)
    assert following.returncode == 130
    assert json.loads(told_last)["error"] == "Interrupted"


def test_following_a_log_ends_quietly_when_nobody_reads(model: str, server: str) -> None:
    following = start("servers", "logs", model, "-f")
    assert following.stdout is not None
    following.stdout.readline()
    following.stdout.close()
    done("stop", model)
    _, told = following.stderr.read(), following.wait(timeout=30)  # type: ignore[union-attr]
    assert _ == b""
    assert told in {0, 141}


def test_metrics_count_what_was_asked(model: str, server: str) -> None:
    done("chat", model, "hello", "--max-tokens", "4")
    counted = done("servers", "metrics", model, "--json").json()
    assert counted["model_name"] == model
    assert counted["metrics"]["generation_tokens"] >= 4
    samples = done("servers", "metrics", model, "--raw", "--json").json()["samples"]
    assert {"name", "labels", "value"} == set(samples[0])
    assert "generation_tokens" in done("servers", "metrics", model).out


def test_a_tunnel_reaches_the_server_until_ctrl_c(model: str, server: str) -> None:
    tunnel = start("servers", "tunnel", model, "--json")
    assert tunnel.stdout is not None
    opened = json.loads(tunnel.stdout.readline())
    with urllib.request.urlopen(f"{opened['url']}/health", timeout=10) as answer:
        assert answer.status == 200
    os.kill(tunnel.pid, signal.SIGINT)
    tunnel.communicate(timeout=30)
    assert tunnel.returncode == 130


def test_a_failed_start_tells_cause_and_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 4096)
    done("models", "add", "broken", "--provider", "llamacpp", "--path", str(broken))
    refused = modelyard("deploy", "broken", *DEPLOY, "--json")
    assert refused.code in {1, 3}
    assert refused.error()["message"]
    assert refused.error()["remedy"]


def test_a_killed_engine_is_started_again_and_the_registry_sees_it(model: str, server: str) -> None:
    [listed] = done("servers", "list", "--json").json()["servers"]
    os.kill(_listener(listed["port"]), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        [seen] = done("servers", "list", "--json").json()["servers"]
        if seen["status"] == "running" and seen["restarts"] > 0:
            break
        assert time.monotonic() < deadline, seen
    assert seen["id"] == listed["id"]


def _listener(port: int) -> int:
    """The process that listens on a port of this machine."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
        if listens and connection.pid:
            return connection.pid
    raise AssertionError(f"nothing listens on {port}")


def test_deleting_a_model_stops_its_server_and_leaves_its_files(model: str, server: str, smollm2: Path) -> None:
    done("models", "delete", model, "--yes")
    assert done("servers", "list", "--json").json() == {"servers": []}
    assert smollm2.is_file()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{server}/health", timeout=10)


def test_two_programs_that_deploy_one_model_at_once_start_one_server(model: str) -> None:
    programs = [
        subprocess.Popen([*COMMAND, "deploy", model, *DEPLOY], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [program.communicate(timeout=120) for program in programs]
    codes = sorted(program.returncode for program in programs)
    assert codes[0] == 0, told
    assert codes[1] in {1, 3}, told
    servers = done("servers", "list", "--json").json()["servers"]
    assert [one["status"] for one in servers] == ["running"]


def test_without_waiting_the_command_ends_while_it_loads(model: str) -> None:
    ended = done("deploy", model, *DEPLOY, "--no-wait")
    assert ended.out.startswith("http://127.0.0.1:")
    [server] = done("servers", "list", "--json").json()["servers"]
    assert server["status"] in {"loading", "running"}
