"""A folder in the layout of Hugging Face: safetensors files, `config.json`, a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from core.at_once import each
from core.errors import FileProblem
from core.files import folder
from core.files.headers import read_header
from core.files.hf_config import LARGEST, HfConfig, describe_config, parse_json
from core.files.safetensors import SafetensorsHeader, parse_safetensors
from core.files.values import ByteSource, ModelInfo
from core.text import clean_line

FIRST_READ = 128 << 10
_INDEX = "model.safetensors.index.json"
_LARGEST_INDEX = 16 << 20
_LARGEST_TOKENIZER_CONFIG = 4 << 20
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "tiktoken.model", "spiece.model")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_BASES = ("base_model", "ss_sd_model_name", "modelspec.architecture", "ss_base_model_version")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F8_E4M3": "float8_e4m3fn", "F64": "float64"}


async def inspect(source: ByteSource, path: str, there: dict[str, int]) -> ModelInfo:
    """All that the headers of the weights and the configuration say.

    Raises:
        FileProblem: a header or `config.json` is damaged.
    """
    base = path.rstrip("/")
    shards = await _shards(source, base, there)

    async def read(name: str) -> SafetensorsHeader:
        return await read_header(source, f"{base}/{name}", there[name], parse_safetensors, first=FIRST_READ)

    headers = await each(shards.present, read)
    found = describe(path, list(zip(shards.present, headers, strict=True)), files=tuple(sorted(there.items())))
    found = replace(
        found,
        split=(len(shards.present), shards.expected) if shards.expected > 1 else None,
        problems=(*shards.problems, *found.problems),
    )
    return await with_config(source, found, there)


async def _shards(source: ByteSource, base: str, there: dict[str, int]) -> folder.Shards:
    size = there.get(_INDEX)
    if size is None:
        return folder.shards_by_name(there)
    if size > _LARGEST_INDEX:
        return folder.Shards(present=(), expected=0, problems=(f"{_INDEX} is larger than any model's.",))
    return folder.shards_of_index(await _whole(source, f"{base}/{_INDEX}", size), there)


async def _whole(source: ByteSource, path: str, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = await source.read(path, offset=len(content), length=size - len(content))
        if not piece:
            break
        content += piece
    return content


def describe(
    path: str, headers: list[tuple[str, SafetensorsHeader]], *, files: tuple[tuple[str, int], ...]
) -> ModelInfo:
    """What the weights alone say."""
    values, type_bytes = _sum(h.values for _, h in headers), _sum(h.type_bytes for _, h in headers)
    majority = max(type_bytes, key=type_bytes.__getitem__, default="")
    return ModelInfo(
        path=path,
        format="safetensors",
        parameters=sum(values.values()) or None,
        weights_bytes=sum(header.weights_bytes for _, header in headers),
        dtype=_DTYPES.get(majority, majority.lower()),
        files=files,
        problems=tuple(
            f"{name} is truncated: the last {header.missing_bytes:,} bytes of its tensors are missing."
            for name, header in headers
            if header.missing_bytes
        ),
        extra={**_packed(values), **_lora([header for _, header in headers])},
    )


def _packed(values: dict[str, int]) -> dict[str, str]:
    packed = values.get("I32", 0) + values.get("U8", 0)
    return {"packed_values": str(packed)} if packed else {}


def _lora(headers: list[SafetensorsHeader]) -> dict[str, str]:
    """An adapter by the names of its tensors, and what its trainer noted of its base."""
    if 2 * sum(one.adapter_tensors for one in headers) <= sum(one.tensors for one in headers):
        return {}
    noted = {key: text for one in headers for key, text in one.metadata.items()}
    base = next((clean_line(noted[key]) for key in _BASES if noted.get(key)), "")
    return {"adapter": "lora", **({"base_model": base} if base else {})}


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for key, value in one.items():
            total[key] = total.get(key, 0) + value
    return total


async def with_config(source: ByteSource, found: ModelInfo, there: dict[str, int]) -> ModelInfo:
    """Add what configuration, tokenizer and adapter files say."""
    base = found.path.rstrip("/")
    adapter = await _document(source, base, there, "adapter_config.json")
    document = await _document(source, base, there, "config.json")
    config = describe_config(document) if document else HfConfig()
    quantization = config.quantization or await _modelopt(source, base, there)
    merged = replace(found, **_told(config, found), extra={**_unpacked(found), **config.extra, **_adapter(adapter)})
    return replace(
        merged,
        quantization=quantization,
        parameters=_parameters(found, quantization, config),
        has_tokenizer=any(name in there for name in _TOKENIZERS),
        has_chat_template=await _has_template(source, base, there),
        problems=(*found.problems, *_lacks(there, adapter=bool(adapter) or "adapter" in found.extra)),
    )


def _told(config: HfConfig, found: ModelInfo) -> dict[str, Any]:
    told = {one.name: getattr(config, one.name) for one in fields(config) if one.name not in {"extra", "quantization"}}
    return {**told, "dtype": config.dtype or found.dtype}


def _unpacked(found: ModelInfo) -> dict[str, str]:
    return {key: value for key, value in found.extra.items() if key != "packed_values"}


def _parameters(found: ModelInfo, quantization: str, config: HfConfig) -> int | None:
    """The count of values; where several are packed into one integer, each of them."""
    packed = int(found.extra.get("packed_values", 0))
    if found.parameters is None or not packed or not quantization:
        return found.parameters
    per_integer = 2 if "fp4" in quantization else 32 // max(1, int(config.extra.get("quantization_bits", 4)))
    return found.parameters + packed * (per_integer - 1)


async def _document(source: ByteSource, base: str, there: dict[str, int], name: str) -> dict[str, Any]:
    size = there.get(name)
    if size is None:
        return {}
    if size > LARGEST:
        raise FileProblem(
            f"{name} has {size:,} bytes, more than any model's.",
            cause="It is damaged, or made to exhaust its reader.",
            remedy="Copy or download the file again.",
        )
    return parse_json(await _whole(source, f"{base}/{name}", size), name)


async def _modelopt(source: ByteSource, base: str, there: dict[str, int]) -> str:
    document = await _document(source, base, there, "hf_quant_config.json")
    inner = document.get("quantization")
    return describe_config({"quantization_config": inner}).quantization if isinstance(inner, dict) else ""


def _adapter(document: dict[str, Any]) -> dict[str, str]:
    if not document:
        return {}
    base_model = document.get("base_model_name_or_path")
    kind = clean_line(str(document.get("peft_type", "LORA")))[:40].lower()
    return {"adapter": kind, "base_model": clean_line(str(base_model or ""))[:200]}


async def _has_template(source: ByteSource, base: str, there: dict[str, int]) -> bool:
    if any(name in there for name in _TEMPLATES):
        return True
    size = there.get("tokenizer_config.json")
    if size is None or size > _LARGEST_TOKENIZER_CONFIG:
        return False
    content = await _whole(source, f"{base}/tokenizer_config.json", size)
    return re.search(rb'"chat_template"\s*:\s*["\[]', content) is not None


def _lacks(there: dict[str, int], *, adapter: bool) -> tuple[str, ...]:
    if "config.json" in there or adapter or "params.json" in there:
        return ()
    return ("config.json is missing, so no engine can tell what the weights are.",)
