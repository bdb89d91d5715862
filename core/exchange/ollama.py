"""Ollama's store: its manifests name a model, and the blob that is its GGUF file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import NotFound
from core.exchange.portable import incoming
from core.files.stores import is_digest, ollama_name
from core.registry.import_values import Incoming
from core.registry.values import Provider

_LARGEST = 1 << 20  # bytes of a manifest, or of a blob of settings
_MODEL, _PARAMS, _PROJECTOR = (f"application/vnd.ollama.image.{kind}" for kind in ("model", "params", "projector"))


def store() -> Path:
    """Where Ollama of this user keeps its models."""
    return Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")


def read_ollama(folder: Path) -> Iterator[Incoming]:
    """The models of a store, by name.

    Raises:
        NotFound: there is no store.
    """
    manifests = folder / "manifests"
    if not manifests.is_dir():
        raise NotFound(
            f"There is no Ollama store at {folder}.",
            cause="Ollama has pulled nothing here, or keeps its models elsewhere, such as /usr/share/ollama/.ollama.",
            remedy="Give its folder: --from-ollama FOLDER, or set OLLAMA_MODELS.",
        )
    for path in sorted(manifests.rglob("*")):
        parts = path.relative_to(manifests).parts
        if len(parts) >= 4 and path.is_file() and not path.name.startswith("."):
            yield _model(folder, path, ollama_name(parts))


def _model(folder: Path, path: Path, name: str) -> Incoming:
    where = str(path)
    manifest = _document(path)
    layers = manifest.get("layers") if manifest else None
    found = [layer for layer in layers if isinstance(layer, Mapping)] if isinstance(layers, list) else []
    blob = _blob(folder, found, _MODEL)
    if blob is None:
        return Incoming(kind="model", name=name, where=where, problems={"path": "The manifest names no model file."})
    if not blob.is_file():
        reason = "Its model file is not there: ollama pull did not end, or it was removed."
        return Incoming(kind="model", name=name, where=where, problems={"path": reason})
    config = _settings(folder, [manifest.get("config")])
    values = {
        **_sampling(_settings(folder, [layer for layer in found if layer.get("mediaType") == _PARAMS])),
        "name": name,
        "provider": Provider.OLLAMA.value,
        "model_id": name,
        "served_name": name,
        "path": str(blob),
        "task": "embed" if "bert" in str(config.get("model_family")) else "generate",
        "supports_vision": any(layer.get("mediaType") == _PROJECTOR for layer in found),
        "metadata": _facts(config, blob),
    }
    if context := _context(blob):
        values["context_length"] = context
    return incoming("model", values, where=where)


def _facts(config: Mapping[str, Any], blob: Path) -> dict[str, Any]:
    known = {
        "format": config.get("model_format"),
        "family": config.get("model_family"),
        "parameters": config.get("model_type"),
        "quantization": config.get("file_type"),
        "size_bytes": blob.stat().st_size,
        "source": "ollama",
    }
    return {name: value for name, value in known.items() if isinstance(value, str | int) and value != ""}


def _sampling(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"temperature": "default_temperature", "top_p": "default_top_p"}
    return {ours: params[name] for name, ours in wanted.items() if isinstance(params.get(name), int | float)}


def _blob(folder: Path, layers: list[Mapping[str, Any]], kind: str) -> Path | None:
    digests = (layer.get("digest") for layer in layers if layer.get("mediaType") == kind)
    return next((_path(folder, digest) for digest in digests if is_digest(digest)), None)


def _path(folder: Path, digest: object) -> Path:
    return folder / "blobs" / str(digest).replace(":", "-")


def _settings(folder: Path, layers: list[Any]) -> Mapping[str, Any]:
    """The first of these blobs, which are small JSON documents."""
    for layer in layers:
        if isinstance(layer, Mapping) and is_digest(layer.get("digest")):
            return _document(_path(folder, layer["digest"]))
    return {}


def _document(path: Path) -> Mapping[str, Any]:
    """A small JSON object; empty when it is none."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _context(blob: Path) -> int | None:
    """What the GGUF header says; None when it can't be read."""
    from core.errors import FileProblem
    from core.files.gguf import parse_gguf
    from core.files.gguf_info import describe_gguf
    from core.files.headers import FIRST_READ, LARGEST_HEADER, NeedMore

    size = blob.stat().st_size
    length = FIRST_READ
    try:
        with blob.open("rb") as file:
            while True:
                file.seek(0)
                try:
                    return describe_gguf(str(blob), parse_gguf(file.read(length), size)).context_length
                except NeedMore as more:
                    length = max(more.at_least, 2 * length)
                    if length > LARGEST_HEADER:
                        return None
    except (OSError, FileProblem):
        return None
