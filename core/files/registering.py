"""From files to a record (L9, X8): what a model's record says so that it can be deployed from where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import NotAllowed
from core.files.pickles import UNSAFE
from core.files.stores import OLLAMA
from core.registry.naming import last_part, readable_id
from core.registry.values import Provider
from core.text import clean_line

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.files.values import ModelInfo

_ENGINES = {"gguf": Provider.LLAMACPP, "safetensors": Provider.VLLM}
_HUGGING_FACE = "hf:"


def record_values(info: ModelInfo, *, host: str, name: str = "", model: InstalledModel | None = None) -> dict[str, Any]:
    """The fields of a new record of what was inspected; `model` tells where it came from.

    Raises:
        NotAllowed: no engine serves it.
    """
    provider = _ENGINES.get(info.format)
    if provider is None or info.extra.get("adapter"):
        raise _not_served(info)
    model_id = _model_id(info, model)
    values: dict[str, Any] = {
        "name": name or last_part(model_id) or model_id,
        "provider": provider.value,
        "model_id": model_id,
        "path": info.path,
        "host": host,
        "extra": _origin(model),
    }
    if info.context_length:
        values["context_length"] = info.context_length
    if "mmproj" in info.extra:
        values["supports_vision"] = True
    return values


def _model_id(info: ModelInfo, model: InstalledModel | None) -> str:
    """The repository, Ollama's name, or what the path says."""
    if model is not None and model.store == OLLAMA:
        return clean_line(model.title).partition(",")[0]
    source = model.source if model is not None else ""
    repository = source.removeprefix(_HUGGING_FACE).partition("@")[0] if source.startswith(_HUGGING_FACE) else ""
    return readable_id(hugging_face_id=repository, path=info.path)


def _origin(model: InstalledModel | None) -> dict[str, str]:
    if model is None:
        return {}
    known = {"source": model.source, "store": model.store, "revision": model.revision}
    return {key: text for key, text in known.items() if text}


def _not_served(info: ModelInfo) -> NotAllowed:
    name = clean_line(info.path.rpartition("/")[2])
    if info.extra.get("adapter"):
        base = info.extra.get("base_model") or "its base model"
        return NotAllowed(f"{name} holds an adapter alone.", remedy=f"Merge it into {base}, and register that.")
    if info.format == "pickle":
        return NotAllowed(f"{name} is in a pickle format.", cause=UNSAFE, remedy="Use its safetensors or GGUF files.")
    return NotAllowed(f"{name} can't be served: no engine here reads {info.format}.", remedy="Use it from other tools.")
