"""The test hosts are what they claim to be, and each fault does what it says."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.shell import wait_until


def test_hosts_are_apart(fleet: Fleet) -> None:
    for host in fleet.hosts:
        seen = host.ssh("hostname; id -un; pwd; ls -d /srv/models; ip -4 -br a show eth0")
        assert seen.stdout.splitlines()[:4] == [host.name, "root", "/root", "/srv/models"]
        assert host.address in seen.stdout
    first, second = fleet.hosts
    first.exec(["touch", "/root/only", "/run/only", "/tmp/only", "/srv/models/only"])
    assert second.attempt(["ls", "/root/only", "/run/only", "/tmp/only", "/srv/models/only"]).stdout == ""
    assert (first.models_folder / "only").exists()


def test_nothing_but_ssh_listens(host: FleetHost) -> None:
    listening = host.exec(["ss", "-Hltn"]).splitlines()
    assert sorted(line.split()[3] for line in listening) == [f"{host.address}:22", f"{host.address}:2222"]


def test_hosts_reach_each_other(fleet: Fleet) -> None:
    first, second = fleet.hosts
    answer = first.exec(["bash", "-c", f"read -t 5 line </dev/tcp/{second.address}/22; echo $line"])
    assert answer.startswith("SSH-2.0-")


def test_only_keys_are_accepted(host: FleetHost) -> None:
    refused = host.ssh("true", options=("-o", "PubkeyAuthentication=no"))
    assert refused.returncode == 255
    assert "(publickey)" in refused.stderr


def test_llama_server_answers_from_each_host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> None:
    for host in clean_hosts.hosts:
        model = f"/models/{Path(remote_model).relative_to(host.models_dir)}"
        host.docker(
            *("run", "-d", "--name", "llama", "-p", "127.0.0.1:18080:8080", "-v", f"{host.models_dir}:/models:ro"),
            *(llama_image, "-m", model, "-c", "512", "-t", "1", "--port", "8080"),
        )
    for host in clean_hosts.hosts:
        wait_until(lambda host=host: _get(host, "/health") == '{"status":"ok"}', what="llama-server is ready")  # type: ignore[misc]
        question = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 4}
        answer = json.loads(_get(host, "/v1/chat/completions", json.dumps(question)))
        assert answer["usage"]["completion_tokens"] > 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{host.address}:18080/health", timeout=2)


def _get(host: FleetHost, path: str, body: str = "") -> str:
    data = ("--post-data", body) if body else ()
    return host.attempt(["busybox", "wget", "-q", "-O", "-", *data, f"http://127.0.0.1:18080{path}"]).stdout
