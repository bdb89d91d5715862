"""An image that is not on the host is pulled from a registry, seen to advance, and a broken pull tells why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.app import Modelyard
from core.errors import ModelyardError
from core.events import Progress
from core.findings import Severity
from core.registry.values import DeployOptions, ServerStatus
from core.settings import Settings
from tests.fleet import image
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost
from tests.fleet.registry import ImageRegistry
from tests.fleet.test_main_job import add_host, add_model

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def host(clean_hosts: Fleet, llama_image: str, remote_model: str) -> FleetHost:
    host = clean_hosts.hosts[0]
    add_host(host)
    add_model(host, remote_model)
    return host


@pytest.fixture
def images(host: FleetHost, fleet: Fleet, tmp_path: Path) -> ImageRegistry:
    tarball = image.llama_tarball(fleet.folder)
    return ImageRegistry(tmp_path / "registry", tarball=tarball, entrypoint=["/app/llama-server"])


@pytest.fixture
def name(images: ImageRegistry, host: FleetHost) -> Iterator[str]:
    with images.served(host, 5555) as name:
        yield name
        host.docker("rmi", "-f", name, check=False)


@pytest.fixture
async def yard(host: FleetHost, settings: Settings) -> AsyncIterator[Modelyard]:
    async with Modelyard.open(settings) as opened:
        yield opened


async def test_a_missing_image_is_pulled_and_serves(
    yard: Modelyard, host: FleetHost, images: ImageRegistry, name: str
) -> None:
    options = DeployOptions(image=name, max_model_len=512)
    plan = await yard.deploys.plan("smol", host.name, options)
    assert [finding.check for finding in plan.of(Severity.WARNING)] == ["image"]

    with images.broken(), pytest.raises(ModelyardError) as failure:
        async for _ in yard.deploys.deploy(plan, confirmed=True):
            pass
    assert name in failure.value.message
    failed = await yard.registry.get_server("smol")
    assert (failed.status, name in failed.cause) == (ServerStatus.FAILED, True)
    assert host.docker("ps", "-aq") == ""

    steps: list[Progress] = []
    async for event in yard.deploys.deploy(plan, confirmed=True):
        if isinstance(event, Progress) and "pulling" in event.text:
            steps.append(event)
    sizes = [step.done for step in steps]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3
    assert steps[-1].done == steps[-1].total
    assert (await yard.registry.get_server("smol")).status == ServerStatus.RUNNING
    again = await yard.deploys.plan("smol", host.name, options, replace=True)
    assert not again.of(Severity.WARNING)
