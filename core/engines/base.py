"""What the rest of the core knows of an engine: how to start it, how to tell that it is ready, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.registry.values import DeployOptions, EngineName

API_KEY_FILE = "/run/secrets/modelyard-api-key"
MODELS_MOUNT = "/models"
READY = "ready"  # the phase of an engine that says that it serves


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """All that an engine needs to write its command line.

    `model_path` is the path that the engine sees (inside the container, or on the host for a process).
    `port` is the port that the engine listens on there, `listen` the address.
    """

    model_path: str
    served_name: str
    options: DeployOptions
    max_model_len: int
    port: int
    listen: str
    gpu_count: int = 0
    api_key_file: str = ""  # empty: no API key
    task: str = "generate"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start an engine: `argv` is complete (entry point first); `shm_size` in bytes."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    shm_size: int | None = None
    writable: tuple[str, ...] = ()  # folders in the container that need a volume or tmpfs


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The cause of a failed start in a sentence, what to do, and the log line that tells."""

    cause: str
    remedy: str
    line: str = ""
    suggestion: dict[str, str] = field(default_factory=dict)  # options that would help, e.g. max_model_len


class Engine(Protocol):
    """One engine; stateless."""

    name: EngineName
    label: str  # for people: "vLLM"
    program: str  # its word in `Launch.argv`: first, or after the shell that reads the API key
    container_port: int
    health_path: str
    metrics_path: str
    formats: frozenset[str]  # of core.files.inspect.ModelInfo.format: "gguf", "safetensors", …
    user: str  # of the process in the container ("" = the image's)

    def default_image(self, *, gpu: bool, driver_version: str = "") -> str:
        """The image to use on a host with or without a GPU and with that NVIDIA driver."""

    def needs_gpu(self, image: str) -> bool:
        """Whether this image, or program, of the engine can't serve on a processor alone."""

    def launch(self, request: LaunchRequest) -> Launch:
        """The exact command and settings."""

    def check_options(self, options: DeployOptions) -> dict[str, str]:
        """Problems by option name (empty: fine): values out of range, flags that the engine has dropped."""

    def named_flags(self, options: DeployOptions) -> dict[str, str]:
        """The extra flags by their long names without dashes: `-ctk` and `cache-type-k` are the same."""

    def phase(self, line: str) -> str | None:
        """What a log line says the engine is at ("loading weights 25 %"), or None."""

    def diagnose(self, lines: Sequence[str]) -> Diagnosis | None:
        """Why it failed, from its last log lines; None when nothing is recognised."""
