"""What is known of a host at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from core.hosts.connection import DiskUsage


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU; bytes, percent, degrees Celsius, watts. None is "not available", never zero."""

    uuid: str
    index: int
    name: str
    memory_total: int | None = None
    memory_used: int | None = None
    memory_free: int | None = None
    utilization: int | None = None
    temperature: int | None = None
    power: float | None = None
    compute_capability: str = ""
    driver_version: str = ""
    mig: bool = False


@dataclass(frozen=True, kw_only=True)
class HostOverview:
    """A host as the Hosts screen and `hosts list` show it; `problem` says why parts are missing."""

    name: str
    kind: str
    target: str
    models_dir: str
    reachable: bool
    problem: str = ""
    remedy: str = ""
    engine: str = ""  # "Docker 20.10.24"
    gpus: tuple[Gpu, ...] = ()
    gpu_source: str = ""  # "nvml", "nvidia-smi" or ""
    disk: DiskUsage | None = None
    cpus: int | None = None
    memory_total: int | None = None
    memory_available: int | None = None
    os: str = ""
    clock_skew_s: float | None = None
    seen_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = asdict(self)
        values["seen_at"] = self.seen_at.isoformat() if self.seen_at else None
        return values
