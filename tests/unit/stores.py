"""Stores as Ollama and Hugging Face's tools lay them down, with models of a few bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.unit.model_files import LLAMA, TENSORS, gguf

_MEDIA = "application/vnd.ollama.image."


def ollama_store(folder: Path) -> None:
    """Two models that are whole, and one whose pull did not end."""
    model = _blob(folder, gguf(LLAMA, TENSORS))
    config = _blob(folder, _json({"model_format": "gguf", "model_family": "llama", "model_type": "1.2B"}))
    params = _blob(folder, _json({"temperature": 0.6, "stop": ["x"]}))
    layers = [_layer("model", model), _layer("params", params)]
    _manifest(folder, "registry.ollama.ai/library/llama3.2/1b", layers, config)
    _manifest(
        folder, "registry.ollama.ai/someone/small/latest", [_layer("model", model), _layer("projector", model)], config
    )


def half_a_pull(folder: Path, name: str = "registry.ollama.ai/library/broken/latest") -> None:
    """A manifest whose model is not there, and one that points out of the store."""
    _manifest(folder, name, [_layer("model", "sha256:" + "0" * 64)], "sha256:" + "1" * 64)
    _manifest(folder, "registry.ollama.ai/library/evil/latest", [_layer("model", "sha256:../../../etc/passwd")], "")


def _layer(kind: str, digest: str) -> dict[str, Any]:
    return {"mediaType": _MEDIA + kind, "digest": digest, "size": 1}


def _manifest(folder: Path, name: str, layers: list[dict[str, Any]], config: str) -> None:
    path = folder / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_json({"schemaVersion": 2, "config": {"digest": config}, "layers": layers}))


def _blob(folder: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / f"sha256-{digest}").write_bytes(data)
    return f"sha256:{digest}"


def hf_cache(hub: Path, name: str = "models--org--tiny", **config: Any) -> Path:
    """One model, whose `main` is the older of two revisions."""
    root = hub / name
    for revision in ("aaa", "bbb"):
        snapshot = root / "snapshots" / revision
        snapshot.mkdir(parents=True)
        values = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 8192, **config}
        (snapshot / "config.json").write_bytes(_json(values))
        blob = root / "blobs" / revision
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(b"12345")
        (snapshot / "model.safetensors").symlink_to(blob)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("aaa")
    return root


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
