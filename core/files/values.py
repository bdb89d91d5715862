"""What inspecting a model gives, and what it needs of a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class SourceEntry(Protocol):
    """A path as a host shows it; size in bytes."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def is_dir(self) -> bool: ...


class ByteSource(Protocol):
    """The part of a host's connection that inspecting needs: prefixes of files and the names in a folder."""

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        """Up to `length` bytes of a file from `offset`."""

    async def stat(self, path: str) -> SourceEntry | None:
        """None when there is no such path."""

    async def listdir(self, path: str) -> Sequence[SourceEntry]:
        """The entries of a folder."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What headers and configuration say of a model; sizes in bytes, None means not told.

    `path` is what an engine loads: a .gguf file (the first of a split) or a folder. `weights_bytes` is the sum of
    the tensors' bytes. `files` are (name, size). `problems` are damage found, `warnings` what a whole model may do to
    whoever loads it, in sentences.

    `extra` may hold `kv_heads_per_layer` ("8,8,0,…"), `attention_layers` (of a hybrid: the others keep no KV),
    `sliding_head_dim`, `sliding_kv_heads`, `adapter`, `base_model`, `mmproj`, `name`, `quantization_bits`, `library`,
    `components` (of a diffusion pipeline), `pickle` (a scan's level), `pickles` and `code` (files beside the model).
    """

    path: str
    format: str  # "gguf", "safetensors", "diffusers", "pickle" or "unknown"
    architecture: str = ""
    parameters: int | None = None
    quantization: str = ""
    context_length: int | None = None
    weights_bytes: int = 0
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None  # of keys
    value_dim: int | None = None  # of values, where it differs
    hidden_size: int | None = None
    vocab_size: int | None = None
    kv_lora_rank: int | None = None  # MLA
    qk_rope_dim: int | None = None  # MLA
    sliding_window: int | None = None
    sliding_layers: int = 0  # how many of `layers` have the window
    dtype: str = ""
    has_tokenizer: bool = False
    has_chat_template: bool = False
    needs_remote_code: bool = False
    split: tuple[int, int] | None = None  # parts present, parts expected
    files: tuple[tuple[str, int], ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
