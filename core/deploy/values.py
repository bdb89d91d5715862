"""What the dry run and the life cycle hand to a front."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from core.findings import Finding, Severity
from core.registry.values import DeployOptions, EngineName, RuntimeName
from core.runtimes.base import ServerSpec


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """What a server will need; bytes, over all its GPUs together (or of the host's memory when on the CPU).

    `kv_cache` is for `context` tokens of `sequences` sequences together. `low`/`high` bound `total`.
    """

    weights: int
    kv_cache: int
    overhead: int
    total: int
    low: int
    high: int
    kv_bytes_per_token: int
    context: int
    sequences: int = 1


@dataclass(frozen=True, kw_only=True)
class GpuFit:
    """One GPU against the estimate; bytes."""

    uuid: str
    name: str
    total: int | None
    free: int | None
    needed: int
    fits: bool
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A dry run: exactly what `deploy` would do, and everything that was checked."""

    model_id: str
    model_name: str
    served_name: str
    host: str
    engine: EngineName
    runtime: RuntimeName
    options: DeployOptions
    image: str
    has_image: bool  # it was on the host
    model_path: str
    spec: ServerSpec
    findings: tuple[Finding, ...]
    memory: MemoryEstimate | None
    gpus: tuple[GpuFit, ...]
    max_model_len: int

    @property
    def command(self) -> tuple[str, ...]:
        """The argv that the container or process will have."""
        return self.spec.argv

    @property
    def url(self) -> str:
        """Where the server will answer, as seen from its host."""
        return f"http://{self.spec.bind}:{self.spec.port}"

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "model_id": self.model_id,
            "model_name": self.model_name,
            "served_name": self.served_name,
            "host": self.host,
            "engine": self.engine.value,
            "runtime": self.runtime.value,
            "image": self.image,
            "has_image": self.has_image,
            "model_path": self.model_path,
            "command": list(self.command),
            "url": self.url,
            "max_model_len": self.max_model_len,
            "options": self.options.as_dict(),
            "spec": self.spec.as_dict(),
            "memory": asdict(self.memory) if self.memory else None,
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "findings": [finding.as_dict() for finding in self.findings],
        }
