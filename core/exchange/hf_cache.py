"""Hugging Face's cache of downloads: a folder for each model, in it the files of each revision."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import NotFound
from core.exchange.portable import incoming
from core.registry.import_values import Incoming
from core.registry.values import Provider

_LARGEST = 4 << 20  # bytes of a configuration
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_WEIGHTS = (".safetensors", ".gguf", ".bin")
_PART = "-of-"


def hub() -> Path:
    """Where this user's cache is."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface") / "hub"


def read_hf_cache(folder: Path) -> Iterator[Incoming]:
    """The models of a cache, by name: of each the revision that `main` is, else the newest.

    Raises:
        NotFound: there is no cache.
    """
    if (folder / "hub").is_dir():
        folder = folder / "hub"
    if not folder.is_dir():
        raise NotFound(
            f"There is no Hugging Face cache at {folder}.",
            cause="Nothing was downloaded here, or HF_HOME names another folder.",
            remedy="Give its folder: --from-hf-cache FOLDER, or set HF_HOME.",
        )
    for path in sorted(folder.glob("models--*")):
        if path.is_dir():
            yield from _models(path)


def _models(path: Path) -> Iterator[Incoming]:
    name = path.name.removeprefix("models--").replace("--", "/")
    snapshot = _snapshot(path)
    if snapshot is None:
        reason = "No revision of it is complete: the download did not end."
        yield Incoming(kind="model", name=name, where=str(path), problems={"path": reason})
        return
    files = sorted(file for file in snapshot.rglob("*") if file.suffix in _WEIGHTS and file.is_file())
    ggufs = [file for file in files if file.suffix == ".gguf" and _is_first(file)]
    if ggufs:
        for file in ggufs:
            yield _model(name if len(ggufs) == 1 else f"{name} {file.stem}", name, file, snapshot, ggufs)
    elif files:
        yield _model(name, name, snapshot, snapshot, files)
    else:
        reason = "It has no weights: only some of its files were downloaded."
        yield Incoming(kind="model", name=name, where=str(snapshot), problems={"path": reason})


def _snapshot(path: Path) -> Path | None:
    main = path / "refs" / "main"
    snapshots = path / "snapshots"
    if main.is_file() and main.stat().st_size < 256:
        chosen = snapshots / Path(main.read_text(encoding="utf-8", errors="replace").strip()).name
        if chosen.is_dir():
            return chosen
    found = [folder for folder in snapshots.glob("*") if folder.is_dir()]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _is_first(file: Path) -> bool:
    """Of a model in several files, the first stands for all; projectors are no models."""
    part = file.stem.rpartition(_PART)[0]
    return not file.name.startswith("mmproj") and (not part or part.endswith("-00001"))


def _model(name: str, model_id: str, path: Path, snapshot: Path, files: list[Path]) -> Incoming:
    config = _config(snapshot / "config.json")
    is_gguf = path.suffix == ".gguf"
    values = {
        "name": name,
        "provider": (Provider.LLAMACPP if is_gguf else Provider.VLLM).value,
        "model_id": model_id,
        "path": str(path),
        "task": _task(snapshot, config),
        "supports_vision": "vision_config" in config or any(snapshot.rglob("mmproj*.gguf")),
        "metadata": {
            "source": "huggingface",
            "revision": snapshot.name,
            "size_bytes": sum(file.stat().st_size for file in ([path] if is_gguf else files)),
            **({"architecture": kind} if (kind := _architecture(config)) else {}),
        },
    }
    if context := _context(config):
        values["context_length"] = context
    return incoming("model", values, where=str(snapshot))


def _task(snapshot: Path, config: Mapping[str, Any]) -> str:
    kind = _architecture(config)
    if (snapshot / "modules.json").is_file():
        return "embed"
    if kind.endswith("ForSequenceClassification"):
        return "classify"
    return "embed" if kind.endswith("Model") else "generate"


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _context(config: Mapping[str, Any]) -> int | None:
    parts = [config, *(part for name in _TEXT_PARTS if isinstance(part := config.get(name), dict))]
    found = (part.get(name) for part in parts for name in _CONTEXT)
    return next((one for one in found if isinstance(one, int) and not isinstance(one, bool) and one > 0), None)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
