"""A server's spec in the words of the Docker Engine API: what is asked, and what is never asked.

Never: privileged containers, added capabilities, the engine's socket, secrets in environment, arguments or labels.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.hosts.podman import is_podman
from core.registry.values import RuntimeName
from core.runtimes.base import RuntimeInfo, ServerSpec

_SECRET_MODE = 0o400


@dataclass(frozen=True, kw_only=True)
class EngineAbilities:
    """What of a host's engine changes the request: how it gives GPUs, and whether it can run an init process."""

    gpu_runtime: str = ""
    init: bool = True


def container_config(spec: ServerSpec, abilities: EngineAbilities) -> dict[str, Any]:
    """The body of `POST /containers/create`."""
    port = f"{spec.container_port}/tcp"
    return {
        "Image": spec.image,
        "Entrypoint": list(spec.argv[:1]),
        "Cmd": list(spec.argv[1:]),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "User": spec.user,
        "ExposedPorts": {port: {}},
        "StopTimeout": spec.stop_timeout_s,
        "HostConfig": _host_config(spec, abilities, port),
    }


def _host_config(spec: ServerSpec, abilities: EngineAbilities, port: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "PortBindings": {port: [{"HostIp": spec.bind, "HostPort": str(spec.port or "")}]},
        "Mounts": _mounts(spec),
        "RestartPolicy": {"Name": "unless-stopped" if spec.restart else "no"},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PidsLimit": spec.pids_limit,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": spec.log_max_size, "max-file": str(spec.log_max_files)},
        },
    }
    if abilities.init:
        config["Init"] = True
    if spec.shm_size is not None:
        config["ShmSize"] = spec.shm_size
    if spec.memory_limit is not None:
        config |= {"Memory": spec.memory_limit, "MemorySwap": spec.memory_limit}
    if spec.cpus is not None:
        config["NanoCpus"] = round(spec.cpus * 1e9)
    if spec.gpus:
        config["DeviceRequests"] = [_device_request(spec.gpus, abilities)]
    return config


def _mounts(spec: ServerSpec) -> list[dict[str, Any]]:
    bound = [{"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": True} for m in spec.mounts]
    return bound + [{"Type": "volume", "Target": target} for target in spec.writable]


def _device_request(gpus: tuple[str, ...], abilities: EngineAbilities) -> dict[str, Any]:
    if abilities.gpu_runtime == "cdi":
        return {"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={uuid}" for uuid in gpus]}
    return {"Driver": "nvidia", "DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}


def abilities_of(info: Mapping[str, Any]) -> EngineAbilities:
    """From `GET /info`; an engine whose init program is missing says "N/A" for its version."""
    devices = info.get("DiscoveredDevices") or []
    cdi = tuple(str(device.get("ID", "")) for device in devices if device.get("Source") == "cdi")
    return EngineAbilities(
        gpu_runtime=_gpu_runtime(info, cdi),
        init=(info.get("InitCommit") or {}).get("ID") != "N/A",
    )


def _gpu_runtime(info: Mapping[str, Any], cdi: tuple[str, ...]) -> str:
    if "nvidia" in (info.get("Runtimes") or {}) and not is_podman(info):
        return "nvidia"
    return "cdi" if any(device.startswith("nvidia.com/gpu=") for device in cdi) else ""


def runtime_info(info: Mapping[str, Any], *, api_version: str) -> RuntimeInfo:
    """What a front shows of an engine."""
    return RuntimeInfo(
        name=RuntimeName.DOCKER,
        version=str(info.get("ServerVersion", "")),
        api_version=api_version,
        gpu_runtime=abilities_of(info).gpu_runtime,
        is_podman=is_podman(info),
        root_dir=str(info.get("DockerRootDir", "")),
        security=tuple(info.get("SecurityOptions") or ()),
        memory=int(info.get("MemTotal") or 0),
        cpus=int(info.get("NCPU") or 0),
    )


def secrets_archive(files: Mapping[str, bytes], *, uid: int, gid: int) -> bytes:
    """A tar for `/` with each file readable by its owner alone; missing folders are made by the engine (0755)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(content), _SECRET_MODE, uid, gid
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def only_file(archive: bytes) -> bytes | None:
    """The content of the one regular file in a tar that the engine sent; None when it is something else."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as entries:
        first = entries.next()
        content = entries.extractfile(first) if first is not None and first.isreg() else None
        return content.read() if content else None


def numeric_user(user: str) -> tuple[int, int | None] | None:
    """uid and gid of "", "1000" or "1000:1000"; None when a name must be looked up in the image."""
    name, _, group = user.partition(":")
    if not name:
        return 0, 0
    if not name.isdecimal():
        return None
    return int(name), int(group) if group.isdecimal() else None


def look_up_user(user: str, passwd: str) -> tuple[int, int] | None:
    """uid and gid of a user, by name or number, in a container's /etc/passwd; None when it isn't there."""
    wanted = user.partition(":")[0]
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] == wanted and fields[2].isdecimal() and fields[3].isdecimal():
            return int(fields[2]), int(fields[3])
    return None
