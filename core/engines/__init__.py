"""The engines by name; importing this is light."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from core.engines.base import Engine
from core.engines.llamacpp import LlamaCpp
from core.engines.vllm import Vllm
from core.registry.values import EngineName

_ENGINES: Mapping[EngineName, Engine] = MappingProxyType(
    {EngineName.VLLM: Vllm(), EngineName.LLAMACPP: LlamaCpp()},
)


def engines() -> Mapping[EngineName, Engine]:
    """All engines, the preferred one first."""
    return _ENGINES


def engine_named(name: EngineName | str) -> Engine:
    """One engine; `ValueError` when there is no such name."""
    return _ENGINES[EngineName(name)]
