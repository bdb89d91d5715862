"""The probe against a small library that answers like NVML, against nvidia-smi, and on hosts that lack either."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.hosts import probe as probing
from core.hosts.gpus import from_smi
from core.hosts.local import LocalConnection
from core.hosts.probe import GpuUser, HostProbe, probe
from core.registry.records import Host
from core.settings import Settings

GIB = 1024**3
SMI_LINES = """\
0, GPU-aa, NVIDIA H200, 143771, 1000, 142071, 12, 40, 75.31, 580.95.05, 9.0, Disabled
1, GPU-bb, NVIDIA GB10, [N/A], [N/A], [N/A], [N/A], [Not Supported], [Unknown Error], 580.95.05, 12.1, [N/A]
"""


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libnvidia-ml.so.1."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[LocalConnection]:
    connection = LocalConnection(Host(name="local", kind="local"), settings)
    yield connection
    await connection.close()


@pytest.fixture
def programs(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH is a folder with what every Linux has, and nothing more: no python3, no nvidia-smi."""
    folder = short_folder / "bin"
    folder.mkdir()
    for name in ("sh", "awk", "grep", "date", "df", "cat", "timeout", "sleep"):
        (folder / name).symlink_to(shutil.which(name) or "/missing")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_smi(folder: Path, script: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def check_host_part(seen: HostProbe) -> None:
    """What has to be there whatever the GPUs do."""
    assert seen.cpus == os.cpu_count()
    assert seen.memory_total is not None
    assert seen.memory_available is not None
    assert 0 < seen.memory_available < seen.memory_total
    assert seen.os
    assert seen.clock_skew_s == 0.0


async def test_gpus_by_nvml(nvml: Path, here: LocalConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    seen = await probe(here)
    check_host_part(seen)
    assert seen.gpu_source == "nvml"
    sound, poor, first, second = seen.gpus
    assert (sound.uuid, sound.index, sound.name) == ("GPU-00000000-aaaa", 0, "NVIDIA H200")
    assert (sound.memory_total, sound.memory_used, sound.memory_free) == (100 * GIB, 30 * GIB, 68 * GIB)
    assert (sound.utilization, sound.temperature, sound.power) == (37, 61, 412.345)
    assert (sound.compute_capability, sound.driver_version, sound.mig) == ("9.0", "580.95.05", False)
    assert (poor.uuid, poor.memory_total, poor.memory_free) == ("GPU-11111111-bbbb", None, None)
    assert (poor.utilization, poor.temperature, poor.power, poor.compute_capability) == (None, None, None, "9.0")
    assert [(part.uuid, part.name) for part in (first, second)] == [
        ("MIG-22222222-0000", "NVIDIA A100 MIG 3g.20gb"),
        ("MIG-22222222-1111", "NVIDIA A100"),
    ]
    assert all(part.mig and part.index == 2 and part.utilization is None for part in (first, second))


async def test_who_has_memory_of_a_gpu(
    nvml: Path, here: LocalConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = "4f" * 32
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "cgroup").write_text(f"9:memory:/docker/{container}\n1:cpu:/docker/{container}\n")
    monkeypatch.setattr(probing, "_PROC", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    monkeypatch.setenv("FAKE_NVML_PID", "77")
    assert (await probe(here)).gpu_users == (GpuUser(pid=77, used=3 * GIB, container=container),)
    monkeypatch.setenv("FAKE_NVML_PID", "78")
    assert (await probe(here)).gpu_users == (GpuUser(pid=78, used=3 * GIB, container=""),)


async def test_a_lost_gpu_is_told_beside_the_others(
    nvml: Path, here: LocalConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    assert "GPU 3" in (await probe(here)).gpu_problem


async def test_an_old_driver_without_the_second_memory_call(
    nvml: Path, here: LocalConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    monkeypatch.setenv("FAKE_NVML_OLD", "1")
    assert (await probe(here)).gpus[0].memory_free == 68 * GIB


async def test_a_driver_that_does_not_start(nvml: Path, here: LocalConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    monkeypatch.setenv("FAKE_NVML_INIT", "18")
    seen = await probe(here)
    check_host_part(seen)
    assert seen.gpus == ()
    assert "LibRmVersionMismatch" in seen.gpu_problem


async def test_a_driver_that_hangs_costs_the_gpus_only(
    nvml: Path, here: LocalConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml))
    monkeypatch.setenv("FAKE_NVML_HANGS", "1")
    seen = await probe(here, timeout_s=2)
    check_host_part(seen)
    assert "did not answer" in seen.gpu_problem


async def test_nvidia_smi_where_nvml_is_not(
    here: LocalConnection, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    put_smi(programs, f"cat <<'E'\n{SMI_LINES}E")
    seen = await probe(here)
    check_host_part(seen)
    assert seen.python
    assert seen.gpu_source == "nvidia-smi"
    assert [gpu.uuid for gpu in seen.gpus] == ["GPU-aa", "GPU-bb"]


async def test_a_host_without_python(here: LocalConnection, programs: Path) -> None:
    put_smi(programs, f"cat <<'E'\n{SMI_LINES}E")
    seen = await probe(here, ["/proc/no/such", "/"])
    check_host_part(seen)
    assert seen.python == ""
    assert [gpu.uuid for gpu in seen.gpus] == ["GPU-aa", "GPU-bb"]
    missing, root = seen.places
    assert (missing.path, missing.exists, root.exists, root.readable) == ("/proc/no/such", False, True, True)
    usage = shutil.disk_usage("/")
    assert root.total == usage.total


async def test_nvidia_smi_that_fails(here: LocalConnection, programs: Path) -> None:
    put_smi(programs, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    seen = await probe(here)
    check_host_part(seen)
    assert seen.gpus == ()
    assert "version mismatch" in seen.gpu_problem


async def test_a_host_without_gpus(here: LocalConnection, programs: Path) -> None:
    seen = await probe(here)
    check_host_part(seen)
    assert (seen.gpus, seen.gpu_source, seen.gpu_problem) == ((), "", "")


async def test_both_ways_agree(here: LocalConnection, short_folder: Path) -> None:
    paths = [str(short_folder), "/nowhere/at/all", str(short_folder / "-odd name")]
    by_python = await probe(here, paths)
    by_shell = await probing._ask_shell(here, paths, timeout_s=10)
    assert (by_python.cpus, by_python.memory_total, by_python.os) == (
        by_shell.cpus,
        by_shell.memory_total,
        by_shell.os,
    )
    assert by_python.nvidia is by_shell.nvidia
    for one, other in zip(by_python.places, by_shell.places, strict=True):
        assert (one.path, one.exists, one.readable, one.writable, one.total) == (
            *(other.path, other.exists, other.readable, other.writable, other.total),
        )


async def test_watching_sends_one_answer_after_the_other(here: LocalConnection) -> None:
    seen = probing.watch(here, interval_s=0.05)
    first, second = await anext(seen), await anext(seen)
    await seen.aclose()
    check_host_part(first)
    check_host_part(second)


def test_nvidia_smi_lines() -> None:
    sound, poor = from_smi("Warning: something is persistent\n" + SMI_LINES + "\n")
    assert (sound.memory_total, sound.memory_free) == (143771 * 1024**2, 142071 * 1024**2)
    assert (sound.utilization, sound.temperature, sound.power, sound.mig) == (12, 40, 75.31, False)
    assert (poor.memory_total, poor.memory_used, poor.memory_free, poor.utilization) == (None, None, None, None)
    assert (poor.temperature, poor.power, poor.compute_capability) == (None, None, "12.1")


@pytest.mark.parametrize("text", ["", "No devices were found\n", "a, b\n", "x\x1b[2J, y\n" * 3])
def test_nvidia_smi_without_gpus(text: str) -> None:
    assert from_smi(text) == ()


def test_names_of_gpus_are_harmless() -> None:
    (gpu,) = from_smi("0, GPU-\x1b[2Jaa, NVIDIA\x1b]0;x\x07 H200, 1, 1, 1, 1, 1, 1, 1, 1, Disabled\n")
    assert (gpu.uuid, gpu.name) == ("GPU-aa", "NVIDIA H200")
