"""What is asked of an engine and what its answers mean, without one."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import (
    EngineMissing,
    EngineRefused,
    EngineUnavailable,
    ModelyardError,
    NotFound,
    PortTaken,
    SocketDenied,
)
from core.runtimes import docker_errors, docker_observe, docker_spec
from core.runtimes.base import Happening, Phase, ServerSpec
from core.runtimes.docker_spec import EngineAbilities

SPEC = ServerSpec(name="vllm-model-1", image="i:1", argv=("vllm", "serve", "/models/x"), port=8001, gpus=("GPU-1",))
NVIDIA, CDI = EngineAbilities(gpu_runtime="nvidia"), EngineAbilities(gpu_runtime="cdi")


def test_gpus_by_uuid_through_the_nvidia_runtime_or_cdi() -> None:
    asked = docker_spec.container_config(SPEC, NVIDIA)["HostConfig"]["DeviceRequests"]
    assert asked == [{"Driver": "nvidia", "DeviceIDs": ["GPU-1"], "Capabilities": [["gpu"]]}]
    asked = docker_spec.container_config(SPEC, CDI)["HostConfig"]["DeviceRequests"]
    assert asked == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-1"]}]
    assert "DeviceRequests" not in docker_spec.container_config(replace(SPEC, gpus=()), NVIDIA)["HostConfig"]


def test_the_whole_command_replaces_that_of_the_image() -> None:
    config = docker_spec.container_config(SPEC, NVIDIA)
    assert (config["Entrypoint"], config["Cmd"]) == (["vllm"], ["serve", "/models/x"])
    assert config["HostConfig"]["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}]}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, EngineAbilities(gpu_runtime="nvidia")),
        ({"Runtimes": {"runc": {}}, "InitCommit": {"ID": "N/A"}}, EngineAbilities(init=False)),
        ({"InitCommit": {"ID": ""}}, EngineAbilities()),
        (
            {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]},
            EngineAbilities(gpu_runtime="cdi"),
        ),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/net=0"}]}, ""),
        ({"Runtimes": {"nvidia": {}}, "BuildahVersion": "1.28.2"}, EngineAbilities()),
        (
            {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}], "BuildahVersion": "1.40.0"},
            EngineAbilities(gpu_runtime="cdi"),
        ),
    ],
)
def test_abilities(info: dict[str, Any], expected: EngineAbilities | str) -> None:
    found = docker_spec.abilities_of(info)
    assert (found if isinstance(expected, EngineAbilities) else found.gpu_runtime) == expected


def test_engine_without_init_program_is_not_asked_for_one() -> None:
    assert docker_spec.container_config(SPEC, NVIDIA)["HostConfig"]["Init"] is True
    assert "Init" not in docker_spec.container_config(SPEC, EngineAbilities(init=False))["HostConfig"]


def test_archive_of_secrets() -> None:
    made = docker_spec.secrets_archive({"/run/secrets/key": b"k"}, uid=1000, gid=7)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        (entry,) = archive.getmembers()
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("run/secrets/key", 0o400, 1000, 7)
    assert docker_spec.only_file(made) == b"k"


@pytest.mark.parametrize(
    ("user", "ids"), [("", (0, 0)), ("1000", (1000, None)), ("1000:7", (1000, 7)), ("vllm", None), ("vllm:7", None)]
)
def test_numeric_users(user: str, ids: tuple[int, int | None] | None) -> None:
    assert docker_spec.numeric_user(user) == ids


def test_named_users() -> None:
    passwd = "root:x:0:0::/:/bin/sh\nbroken\nvllm:x:2000:0::/home/vllm:/bin/sh\n"
    assert docker_spec.look_up_user("vllm:7", passwd) == (2000, 0)
    assert docker_spec.look_up_user("ghost", passwd) is None


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ("Up 3 seconds", 3),
        ("Up About a minute", 60),
        ("Up 2 minutes (healthy)", 120),
        ("Up About an hour", 3600),
        ("Up 2 hours (Paused)", 5400),
        ("Exited (137) 5 days ago", 432_000),
        ("Restarting (1) 4 seconds ago", 4),
        ("Up Less than a second", None),
        ("Exited (0) Less than a second ago", None),
        ("Created", None),
        ("Dead", None),
    ],
)
def test_how_long_a_container_is_in_its_state(status: str, seconds: float | None) -> None:
    assert docker_observe.settled_for(status) == seconds


def test_times_of_the_engine() -> None:
    assert docker_observe.parse_time("2026-11-21T05:04:01.004628432Z") == datetime(
        2026, 11, 21, 5, 4, 1, 4628, tzinfo=UTC
    )
    assert docker_observe.parse_time("0001-01-01T00:00:00Z") is None
    assert docker_observe.parse_time("") is None


@pytest.mark.parametrize(
    ("status", "phase", "code"),
    [
        ("created", Phase.CREATED, None),
        ("running", Phase.UP, None),
        ("paused", Phase.UP, None),
        ("restarting", Phase.RESTARTING, 3),
        ("exited", Phase.EXITED, 3),
        ("dead", Phase.EXITED, 3),
        ("removing", Phase.EXITED, 3),
    ],
)
def test_phases(status: str, phase: Phase, code: int | None) -> None:
    details = {
        "Id": "a" * 64,
        "Name": "/x",
        "State": {"Status": status, "ExitCode": 3},
        "Config": {"Image": "i:1", "Labels": None, "Entrypoint": None, "Cmd": ["a"]},
        "HostConfig": {"PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}]}},
    }
    found = docker_observe.observed(details)
    assert (found.phase, found.exit_code, found.name, found.port, found.argv) == (phase, code, "x", 8001, ("a",))


def test_events() -> None:
    attributes = {"image": "i:1", "name": "vllm-model-1", "exitCode": "1", "modelyard.managed": "1", "plain": "x"}
    event = {"Type": "container", "Action": "die", "Actor": {"ID": "abc", "Attributes": attributes}}
    assert docker_observe.happening(json.dumps(event).encode()) == Happening(
        action="die", id="abc", name="vllm-model-1", labels={"modelyard.managed": "1", "plain": "x"}
    )
    assert docker_observe.happening(json.dumps({**event, "Action": "exec_create: sh"}).encode()) is None


def test_progress_of_a_pull_sums_layers() -> None:
    progress = docker_observe.PullProgress()

    def step(layer: str, status: str, **detail: int) -> tuple[int, int | None] | None:
        return progress.feed({"id": layer, "status": status, "progressDetail": detail})

    assert step("a", "Pulling fs layer") is None
    assert step("a", "Downloading", current=10, total=100) == (10, 100)
    assert step("b", "Downloading", current=5, total=50) == (15, 150)
    assert step("a", "Download complete") == (105, 150)
    assert step("b", "Extracting", current=1, total=50) is None


def test_processor_share() -> None:
    def sample(used: int, system: int) -> dict[str, Any]:
        return {"cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": system, "online_cpus": 4}}

    assert docker_observe.cpu_percent(sample(0, 0), sample(50, 100)) == 200.0
    assert docker_observe.cpu_percent(sample(0, 5), sample(0, 5)) is None
    assert docker_observe.cpu_percent({}, sample(1, 1)) is None


class _Answer(Exception):
    def __init__(self, explanation: str, status_code: int = 500) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.status_code = status_code


@pytest.mark.parametrize(
    ("explanation", "kind", "words"),
    [
        ("Bind for 127.0.0.1:1 failed: port is already allocated", PortTaken, "port already in use"),
        ("listen tcp4 0.0.0.0:80: bind: address already in use", PortTaken, "port already in use"),
        ("bind source path does not exist: /x", EngineRefused, "does not exist on the host"),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', EngineRefused, "NVIDIA"),
        ("unresolvable CDI devices nvidia.com/gpu=GPU-1", EngineRefused, "GPU"),
        ("write /var/lib/docker/x: no space left on device", EngineRefused, "full"),
        ("unsatisfied condition: cuda>=13.0, please update your driver", EngineRefused, "driver"),
        ('Conflict. The container name "/x" is already in use by container "1"', EngineRefused, "has this name"),
        (
            'creating container storage: the container name "x" is already in use by 1: that name is already in use',
            EngineRefused,
            "has this name",
        ),
        (
            "container create: container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no "
            "such file or directory",
            EngineRefused,
            "init program",
        ),
        ("No such image: x:1", NotFound, "No such image"),
        ("something else\x1b[2J", EngineRefused, "something else"),
    ],
)
def test_refusals_say_cause_and_remedy(explanation: str, kind: type[ModelyardError], words: str) -> None:
    error = docker_errors.translate(_Answer(explanation), host="gpu1", doing="start x")
    assert type(error) is kind
    assert words in error.cause
    assert "gpu1" in error.message
    assert error.remedy
    assert "\x1b" not in str(error.as_dict())


class _RequestError(OSError):
    """As requests does: the cause is an argument of an argument."""


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (PermissionError(13, "Permission denied"), SocketDenied),
        (ConnectionRefusedError(), EngineMissing),
        (FileNotFoundError(), EngineMissing),
        (ConnectionResetError(), EngineMissing),
        (TimeoutError(), EngineUnavailable),
        (ValueError("odd"), EngineUnavailable),
    ],
)
def test_errors_without_an_answer(cause: Exception, kind: type[ModelyardError]) -> None:
    wrapped = _RequestError(RuntimeError("Connection aborted.", cause))
    error = docker_errors.translate(wrapped, host="gpu1", doing="list servers")
    assert type(error) is kind
    assert error.remedy


def test_when_a_request_may_be_repeated() -> None:
    refused, reset = _RequestError(ConnectionRefusedError()), _RequestError(ConnectionResetError())
    assert docker_errors.is_dead_socket(refused)
    assert docker_errors.never_sent(refused)
    assert docker_errors.is_dead_socket(reset)
    assert not docker_errors.never_sent(reset)
    assert not docker_errors.is_dead_socket(_RequestError(TimeoutError()))
