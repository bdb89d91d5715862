"""The main job by commands only, from this machine to a remote host: add, fit, deploy, chat, look, stop."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.program import modelyard

pytestmark = pytest.mark.timeout(300)


def add_host(host: FleetHost) -> None:
    """Make it known to the program."""
    words = ("--ssh-config", str(host.ssh_config), "--models-dir", host.models_dir)
    modelyard("hosts", "add", host.name, host.name, *words)


def add_model(host: FleetHost, path: str, name: str = "smol") -> None:
    """Register a file that lies on the host."""
    words = ("--model-id", "HuggingFaceTB/SmolLM2-135M-Instruct", "--path", path, "--host", host.name)
    modelyard("models", "add", name, "--provider", "llamacpp", *words)


def inspected(host: FleetHost, container: str) -> dict[str, object]:
    """What the host's own engine says of a container."""
    found: list[dict[str, object]] = json.loads(host.docker("inspect", container))
    return found[0]


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.gguf")}


@pytest.fixture
def host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> FleetHost:
    """A host that the program knows, with the image and a registered model."""
    host = clean_hosts.hosts[0]
    add_host(host)
    add_model(host, remote_model)
    return host


def test_the_whole_way(host: FleetHost, remote_model: str) -> None:
    before = checksums(host.models_folder)

    plan = modelyard("plan", "smol", "--host", host.name, "--max-model-len", "2048", "--json").document
    assert {finding["severity"] for finding in plan["findings"]} <= {"ok", "info"}
    assert plan["memory"]["weights"] == pytest.approx(92.10 * 2**20, rel=0.02)

    modelyard("deploy", "smol", "--host", host.name, "--max-model-len", "2048", "--wait")
    (server,) = modelyard("servers", "list", "--json").document["servers"]
    assert (server["status"], server["host"], server["model_name"]) == ("running", host.name, "smol")

    container = inspected(host, f"llamacpp-model-{server['model_id']}")
    argv = [*(container["Config"]["Entrypoint"] or ()), *(container["Config"]["Cmd"] or ())]  # type: ignore[index]
    assert argv == plan["command"]
    running = host.exec(["ps", "-eo", "args"])
    assert " ".join(plan["command"]) in running
    state = container["State"]
    assert state["Status"] == "running"  # type: ignore[index]
    assert server["started_at"][:19] == state["StartedAt"][:19]  # type: ignore[index]
    _is_safe(host, container, port=server["port"])

    answer = modelyard("chat", "smol", "Say hello.", "--max-tokens", "12", "--temperature", "0", "--json")
    assert answer.code == 0
    assert "tokens_per_second" in answer.stdout
    tested = modelyard("models", "test", "smol", "--json").document
    assert (tested["ok"], tested["serves"], tested["server_id"]) == (True, ["smol"], server["id"])
    assert "llama_server: model loaded" in modelyard("servers", "logs", "smol", "--tail", "50").stdout

    modelyard("stop", "smol")
    assert f":{server['port']} " not in host.exec(["ss", "-ltn"])
    stopped = inspected(host, f"llamacpp-model-{server['model_id']}")
    assert stopped["State"]["Running"] is False  # type: ignore[index]
    assert checksums(host.models_folder) == before

    modelyard("models", "delete", "smol", "--yes")
    assert host.docker("ps", "-aq").strip() == ""
    assert checksums(host.models_folder) == before
    assert remote_model.rpartition("/")[2] in before


def _is_safe(host: FleetHost, container: dict[str, object], *, port: int) -> None:
    """Loopback only, unprivileged, no capabilities, no key in what the engine shows."""
    settings = container["HostConfig"]
    assert isinstance(settings, dict)
    assert settings["Privileged"] is False
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["CapAdd"]
    assert all(mount["ReadOnly"] for mount in settings["Mounts"] if mount["Type"] == "bind")
    listening = [line.split()[3] for line in host.exec(["ss", "-Hltn"]).splitlines()]
    assert [address for address in listening if address.endswith(f":{port}")] == [f"127.0.0.1:{port}"]
    name = str(container["Name"]).strip("/")
    key = host.docker("exec", name, "/bin/busybox", "cat", "/run/secrets/modelyard-api-key").strip()
    assert len(key) > 30
    assert key not in json.dumps(container)
    assert key not in host.exec(["ps", "-eo", "args"])
    refused = host.exec(["curl", "-s", f"http://127.0.0.1:{port}/v1/chat/completions", "-d", "{}"])
    assert "api key" in refused.lower() or "invalid" in refused.lower()


def test_a_restart_keeps_the_container_and_an_update_changes_it(host: FleetHost) -> None:
    modelyard("deploy", "smol", "--host", host.name, "--max-model-len", "1024")
    (server,) = modelyard("servers", "list", "--json").document["servers"]
    name = f"llamacpp-model-{server['model_id']}"
    first = inspected(host, name)
    modelyard("restart", "smol")
    assert inspected(host, name)["Id"] == first["Id"]
    modelyard("update", "smol", "--host", host.name, "--max-model-len", "512", "--yes")
    changed = inspected(host, name)
    assert changed["Id"] != first["Id"]
    assert "512" in json.dumps(changed["Config"])
    refused = modelyard("deploy", "smol", "--host", host.name, "--json", code=3)
    assert "already" in refused.stderr
