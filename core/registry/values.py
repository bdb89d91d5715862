"""The words of the registry: enumerations and plain values, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.registry.records import Model, Server

LOCAL_HOST = "local"


class Provider(StrEnum):
    """Who serves a model (P2)."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    LOCAL = "local"
    VLLM = "vllm"
    OLLAMA = "ollama"
    LLAMACPP = "llamacpp"


DEPLOYABLE = frozenset({Provider.LOCAL, Provider.VLLM, Provider.OLLAMA, Provider.LLAMACPP})


class EngineName(StrEnum):
    """What runs a model."""

    VLLM = "vllm"
    LLAMACPP = "llamacpp"


class RuntimeName(StrEnum):
    """Where a server runs."""

    DOCKER = "docker"
    PROCESS = "process"


class ServerStatus(StrEnum):
    """The states of a server (L3)."""

    STOPPED = "stopped"
    STARTING = "starting"
    LOADING = "loading"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


ACTIVE = frozenset({ServerStatus.STARTING, ServerStatus.LOADING, ServerStatus.RUNNING, ServerStatus.STOPPING})


class Ownership(StrEnum):
    """The ownership filter (P2)."""

    ALL = "all"
    GLOBAL = "global"
    MINE = "mine"


class Capability(StrEnum):
    """What a model can do (P3); each is a `supports_…` column."""

    STREAMING = "streaming"
    TOOLS = "tools"
    VISION = "vision"


class ModelSort(StrEnum):
    """The columns that the list can be sorted by; equal ones come by name."""

    NAME = "name"
    PROVIDER = "provider"
    MODEL_ID = "model_id"
    CONTEXT = "context"
    REGION = "region"
    STATUS = "status"
    UPDATED = "updated"
    OWNER = "owner"  # one's own first


@dataclass(frozen=True, kw_only=True)
class ModelQuery:
    """A filtered, sorted view of the models; every word of `text` must be in name, id or a tag (P2).

    `state` STOPPED includes models without a server; `capabilities` must all be there.
    """

    text: str = ""
    provider: Provider | None = None
    ownership: Ownership = Ownership.ALL
    region: str | None = None
    state: ServerStatus | None = None
    capabilities: frozenset[Capability] = frozenset()
    archived: bool = False
    sort: ModelSort = ModelSort.NAME
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A line of the list: the record and, of its servers, the one to show (a running one is preferred)."""

    model: Model
    server: Server | None = None


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """Rows [offset, offset+len(rows)) of `shown` that match, of `total` models there are."""

    rows: list[ModelRow]
    offset: int
    shown: int
    total: int


@dataclass(frozen=True, kw_only=True)
class ModelCounts:
    """What the line "Showing `shown` of `total` models" says."""

    shown: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Action:
    """What can be done with a record now; `why_not` is empty when it is allowed (P10)."""

    name: str
    why_not: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the action may run."""
        return not self.why_not


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """What a deploy asks for (P11); None means: the engine's or the planner's choice.

    `extra` holds further engine flags without the leading dashes; a value of "" gives a bare flag.
    `gpus` holds UUIDs, never indexes. Memory limits are bytes.
    """

    engine: EngineName | None = None
    runtime: RuntimeName | None = None
    image: str | None = None
    gpus: tuple[str, ...] | None = None
    gpu_memory_utilization: float = 0.8
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    dtype: str = "auto"
    trust_remote_code: bool = False
    parallel: int | None = None
    bind: str = "127.0.0.1"
    port: int | None = None
    api_key: bool = True
    memory_limit: int | None = None
    cpus: float | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is the inverse."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DeployOptions:
        """Unknown keys, from a newer version, are left out."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        if known.get("gpus") is not None:
            known["gpus"] = tuple(known["gpus"])
        if known.get("engine"):
            known["engine"] = EngineName(known["engine"])
        if known.get("runtime"):
            known["runtime"] = RuntimeName(known["runtime"])
        return cls(**known)
