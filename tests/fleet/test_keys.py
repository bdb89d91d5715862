"""A key of this machine never reaches a host that serves: not its containers, arguments, logs or files (P8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.program import modelyard
from tests.fleet.test_main_job import add_host, add_model

pytestmark = pytest.mark.timeout(300)
PLANTED = "zq-planted-0d599f0ec05c"
PASSPHRASE = "zq passphrase 3bda8068"


def test_a_planted_key_is_in_no_container(
    clean_hosts: Fleet, llama_image: str, remote_model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = clean_hosts.hosts[0]
    path = tmp_path / "key"
    path.write_text(PLANTED)
    path.chmod(0o600)
    for name, value in (("planted_FILE", str(path)), ("OPENAI_API_KEY", PLANTED)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MODELYARD_VAULT_PASSPHRASE", PASSPHRASE)
    add_host(host)
    add_model(host, remote_model)
    modelyard("models", "edit", "smol", "--api-key-ref", "planted")
    modelyard("deploy", "smol", "--host", host.name, "--max-model-len", "512", "--wait")
    assert modelyard("chat", "smol", "Hi", "--max-tokens", "2", "--json").code == 0

    (container,) = host.docker("ps", "-q").split()
    shown = {
        "inspect": host.docker("inspect", container),
        "history": host.docker("history", "--no-trunc", llama_image),
        "log": host.docker("logs", container),
        "environment": host.docker("exec", container, "/bin/busybox", "cat", "/proc/1/environ"),
        "arguments": host.exec(["ps", "-eo", "args"]),
        "changes": host.docker("diff", container),
    }
    assert "llama-server" in shown["arguments"]
    assert [name for name, text in shown.items() if PLANTED in text or PASSPHRASE in text] == []
