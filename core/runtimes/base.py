"""What the rest of the core knows of a runtime: the place where servers are created, started and observed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from core.registry.values import RuntimeName

LABEL_PREFIX = "modelyard"


@dataclass(frozen=True, kw_only=True)
class BindMount:
    """A folder or file of the host, seen in the container; always read-only."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """Everything asked of a runtime for one server; its hash is the label `modelyard.spec`.

    Sizes in bytes. `argv` is the whole command, entry point first. `writable` folders get an anonymous volume.
    `files` in `Runtime.create` are put into the container before it starts (mode 0400) and never appear here.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[BindMount, ...] = ()
    container_port: int = 8000
    bind: str = "127.0.0.1"
    port: int = 0
    gpus: tuple[str, ...] = ()
    shm_size: int | None = None
    memory_limit: int | None = None
    cpus: float | None = None
    pids_limit: int = 4096
    user: str = ""
    writable: tuple[str, ...] = ()
    restart: bool = True
    stop_timeout_s: int = 30
    log_max_size: str = "20m"
    log_max_files: int = 3

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, for the dry run."""
        return asdict(self)


class Phase(StrEnum):
    """What a runtime says of a server, before anyone asked the engine inside."""

    CREATED = "created"
    UP = "up"
    RESTARTING = "restarting"
    EXITED = "exited"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A server as its runtime shows it now."""

    id: str
    name: str
    image: str
    phase: Phase
    labels: Mapping[str, str]
    argv: tuple[str, ...] = ()
    bind: str = ""
    port: int | None = None
    gpus: tuple[str, ...] = ()
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    restarts: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RuntimeInfo:
    """The engine of a host: version, API, whether containers can have NVIDIA GPUs, and how."""

    name: RuntimeName
    version: str
    api_version: str = ""
    gpu_runtime: str = ""  # "nvidia", "cdi" or ""
    is_podman: bool = False
    root_dir: str = ""
    security: tuple[str, ...] = ()
    memory: int = 0
    cpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something the runtime reports by itself: a server was created, started, died, was removed."""

    action: str  # "create", "start", "die", "stop", "destroy", "oom"
    id: str
    name: str
    labels: Mapping[str, str]


class Runtime(Protocol):
    """One place on one host. Raises `EngineUnavailable` and `HostUnreachable` subclasses, `NotFound`."""

    name: RuntimeName

    async def info(self) -> RuntimeInfo:
        """Version and abilities; also the check that it answers at all."""

    async def has_image(self, image: str) -> bool:
        """Whether the image is on the host; nothing is fetched."""

    def pull(self, image: str) -> AsyncIterator[tuple[int, int | None]]:
        """Fetch an image; yields bytes done and bytes in total where known."""

    async def create(self, spec: ServerSpec, *, files: Mapping[str, bytes] | None = None) -> str:
        """Create, not start; returns the id. A container that could not be completed is not left behind."""

    async def start(self, server_id: str) -> None:
        """Start; a port taken by something else is a `EngineRefused` with that cause."""

    async def stop(self, server_id: str, *, timeout_s: float) -> None:
        """SIGTERM, wait, SIGKILL; no error when it is stopped already."""

    async def remove(self, server_id: str) -> None:
        """Remove a server with our label (never another one), and its anonymous volumes; files of models stay.

        By id or name; no error when there is no such server.
        """

    async def list(self) -> list[Observed]:
        """All servers with the label `modelyard.managed`, whoever made them."""

    async def inspect(self, server_id: str) -> Observed | None:
        """By id or name; None when there is no such server."""

    def logs(self, server_id: str, *, tail: int | None = 200, follow: bool = False) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) pairs, "stdout" or "stderr"; with `follow` until the server ends."""

    def happenings(self) -> AsyncIterator[Happening]:
        """What happens to managed servers from now on."""

    async def read_file(self, server_id: str, path: str) -> bytes:
        """A small file from inside the server (its API key)."""

    async def stats(self, server_id: str) -> dict[str, float]:
        """`cpu_percent`, `memory_bytes` of a running server."""

    async def close(self) -> None:
        """Let go of what this process holds; servers go on."""
