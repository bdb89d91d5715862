"""What is checked on a host before it serves: each finding says how it stands, and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from core.errors import EngineMissing, HostUnreachable, ModelyardError, SocketDenied
from core.findings import Finding, Severity
from core.hosts.connection import Connection
from core.hosts.podman import GPUS_REMEDY, is_podman
from core.hosts.probe import HostProbe, Place, probe
from core.hosts.unix_http import NoAnswer, get_json
from core.text import clean_line

if TYPE_CHECKING:
    from core.registry.records import Host

_OLDEST_DOCKER = (20, 10)
_LITTLE_SPACE = 20 * 10**9
_SKEW_S = 30.0
_TOOLKIT = (
    "On the host: sudo apt install nvidia-container-toolkit (from NVIDIA's repository), then "
    "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
)


async def diagnose(connection: Connection, host: Host) -> list[Finding]:
    """Check everything that serving needs; a host that can't be reached is one finding of its own."""
    try:
        await connection.connect()
        seen = await probe(connection, [host.models_dir] if host.models_dir else [])
        engine = [finding async for finding in _engine(connection, seen)]
    except HostUnreachable as error:
        return [from_error("ssh", error)]
    except ModelyardError as error:
        return [_ok("ssh", "The login works."), from_error("probe", error)]
    return [*_basics(host, seen), *engine, *_driver(seen), *_place(host, seen), *_clock(seen)]


def _basics(host: Host, seen: HostProbe) -> Iterator[Finding]:
    if host.kind == "ssh":
        yield _ok("ssh", f"{host.target} can be reached.")
    if seen.python:
        yield _ok("python3", f"python3 {seen.python} is there.")
    else:
        yield _warning(
            "python3",
            "There is no python3: GPUs are asked through nvidia-smi only, checksums are slower.",
            "On the host: sudo apt install python3-minimal",
        )
    if host.kind == "ssh" and "rsync" not in seen.programs:
        yield _warning("rsync", "rsync is not there: models can't be copied.", "On the host: sudo apt install rsync")
    elif host.kind == "ssh":
        yield _ok("rsync", "rsync is there.")


async def _engine(connection: Connection, seen: HostProbe) -> AsyncIterator[Finding]:
    try:
        socket = await connection.docker_socket()
        version = await get_json(socket, "/version", timeout_s=10)
        info = await get_json(socket, "/info", timeout_s=20) if seen.nvidia or seen.gpus else None
    except SocketDenied as error:
        yield from_error("engine-socket", error)
        return
    except EngineMissing as error:
        yield from_error("engine", error)
        return
    except NoAnswer as problem:
        remedy = "On the host: sudo systemctl restart docker"
        yield _error("engine", f"The container engine does not answer: {problem}", remedy)
        return
    yield _version(version)
    yield _ok("engine-socket", "This user may use the engine's socket.")
    if info is not None:
        yield gpu_containers(info)


def engine_label(version: dict[str, Any]) -> str:
    """ "Docker 20.10.24", from the engine's GET /version."""
    parts = [str(part.get("Name", "")) for part in version.get("Components") or []]
    name = "Podman" if any("Podman" in part for part in parts) else "Docker"
    return clean_line(f"{name} {version.get('Version', '')}").strip()


def _version(version: dict[str, Any]) -> Finding:
    label = engine_label(version)
    if label.startswith("Docker") and _numbers(str(version.get("Version", ""))) < _OLDEST_DOCKER:
        return _warning(
            "engine",
            f"{label} is older than 20.10.",
            "On the host: sudo apt install docker.io, or Docker's own packages",
        )
    return _ok("engine", f"{label} answers.")


def _numbers(version: str) -> tuple[int, ...]:
    """Empty versions count as new: nothing is known against them."""
    words = version.split(".")[:2]
    return tuple(int(word) for word in words) if words and all(word.isdigit() for word in words) else (999,)


def gpu_containers(info: dict[str, Any]) -> Finding:
    """Whether containers can have NVIDIA GPUs: a runtime of that name, or CDI devices."""
    if "nvidia" in (info.get("Runtimes") or {}) and not is_podman(info):
        return _ok("gpu-containers", "The engine has the nvidia runtime.")
    devices = info.get("DiscoveredDevices") or []
    if any(str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices):
        return _ok("gpu-containers", "The engine knows the GPUs as CDI devices.")
    if is_podman(info):
        reason = "Podman does not pass the GPUs on through Docker's API."
        return _error("gpu-containers", reason, f"On the host: {GPUS_REMEDY}")
    return _error(
        "gpu-containers", "Containers can't have the GPUs: the NVIDIA container toolkit is missing.", _TOOLKIT
    )


def _driver(seen: HostProbe) -> Iterator[Finding]:
    if seen.gpus:
        versions = sorted({gpu.driver_version for gpu in seen.gpus if gpu.driver_version})
        yield _ok("gpu-driver", f"{len(seen.gpus)} GPU(s), driver {', '.join(versions) or 'unknown'}.")
        if seen.gpu_problem:
            yield _warning(
                "gpu-lost", f"{seen.gpu_problem}.", "On the host: sudo dmesg | grep -i xid; restart the host"
            )
    elif seen.nvidia and "Version" in seen.gpu_problem and "mismatch" in seen.gpu_problem:
        yield _error(
            "gpu-driver",
            f"The driver was updated and the old one is still loaded: {seen.gpu_problem}",
            "Restart the host: sudo reboot",
        )
    elif seen.nvidia:
        why = f": {seen.gpu_problem}" if seen.gpu_problem else ""
        yield _error(
            "gpu-driver",
            f"NVIDIA hardware is there, and its driver does not work{why}.",
            "On the host: sudo apt install nvidia-driver (Debian: non-free), then sudo reboot; see nvidia-smi",
        )
    else:
        yield Finding(
            severity=Severity.INFO, check="gpu-driver", reason="No NVIDIA GPU is there; models run on the CPU."
        )


def _place(host: Host, seen: HostProbe) -> Iterator[Finding]:
    if not seen.places:
        yield _warning("models-dir", "No models folder is set.", f"modelyard hosts edit {host.name} --models-dir DIR")
        return
    place = seen.places[0]
    yield _folder(place)
    free = f"{place.free / 1e9:.0f} GB of {place.total / 1e9:.0f} GB are free at {clean_line(place.path)}."
    if place.free < _LITTLE_SPACE:
        yield _warning("disk", free, "Free space there, or choose another models folder.")
    else:
        yield _ok("disk", free)


def _folder(place: Place) -> Finding:
    path = clean_line(place.path)
    if not place.exists:
        return _warning("models-dir", f"{path} does not exist.", f"On the host: sudo install -d -o $USER -m 755 {path}")
    if not place.readable:
        return _error("models-dir", f"{path} can't be read.", f"On the host: sudo chmod a+rx {path}")
    if not place.writable:
        return Finding(
            severity=Severity.INFO,
            check="models-dir",
            reason=f"{path} can be read, not written: nothing can be copied there.",
            remedy=f"On the host: sudo chown $USER {path}",
        )
    return _ok("models-dir", f"{path} is there.")


def _clock(seen: HostProbe) -> Iterator[Finding]:
    if seen.clock_skew_s is None:
        return
    skew = seen.clock_skew_s
    if abs(skew) > _SKEW_S:
        direction = "ahead of" if skew > 0 else "behind"
        yield _warning(
            "clock",
            f"The host's clock is {abs(skew):.0f} s {direction} this machine's: times shown would be off.",
            "On the side that is wrong: sudo timedatectl set-ntp true",
        )
    else:
        yield _ok("clock", "The clocks agree.")


def _ok(check: str, reason: str) -> Finding:
    return Finding(severity=Severity.OK, check=check, reason=reason)


def _warning(check: str, reason: str, remedy: str) -> Finding:
    return Finding(severity=Severity.WARNING, check=check, reason=reason, remedy=remedy)


def _error(check: str, reason: str, remedy: str) -> Finding:
    return Finding(severity=Severity.ERROR, check=check, reason=reason, remedy=remedy)


def from_error(check: str, error: ModelyardError) -> Finding:
    """An error as a finding, its class first."""
    cause = f" ({error.cause})" if error.cause else ""
    return _error(check, f"{error.code}: {error.message}{cause}", error.remedy)
