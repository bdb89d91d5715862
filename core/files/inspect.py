"""What a model file or folder is, read from headers alone (a prefix of bytes), here or on a host."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What headers and configuration say of a model; sizes in bytes, None means not told.

    `path` is what an engine loads: a .gguf file (the first of a split) or a folder. `weights_bytes` is the sum of
    the tensors' bytes. `files` are (name, size). `problems` are damage found, in sentences.
    """

    path: str
    format: str  # "gguf", "safetensors", "pickle" or "unknown"
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
    extra: dict[str, str] = field(default_factory=dict)
