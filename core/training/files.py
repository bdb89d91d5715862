"""The small files that trainers write, read over a host's connection; weights and pickles are never opened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.errors import CommandFailed, NotFound
from core.files.values import ByteSource

_LARGEST = 4 << 20  # bytes; a longer trainer_state.json is read at its two ends
_END = 64 << 10
_NUMBER = re.compile(r'"(global_step|max_steps)"\s*:\s*(-?\d+)')
_BEST = re.compile(r'"best_model_checkpoint"\s*:\s*"((?:[^"\\]|\\.)*)"')
_ARGUMENTS = ("args.json", "training_args.json", "training_args.yaml", "axolotl_config.yml", "training_config.yaml")
_BASE_KEYS = ("model_name_or_path", "base_model", "base_model_name_or_path", "model_id_or_path", "model")
_JOB_KEYS = ("training_job_id", "job_id")
_TRAINERS = ("sft", "dpo", "grpo", "kto", "orpo", "ppo", "rloo", "cpo", "reward-trainer")


class Entry(Protocol):
    """A path as a host shows it, with the time of its last change in epoch seconds."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def is_dir(self) -> bool: ...
    @property
    def mtime(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder as it was listed: bytes by file name, the names of folders in it, the newest change."""

    path: str
    sizes: Mapping[str, int]
    folders: tuple[str, ...] = ()
    modified: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the small files of one folder say; "" and None where they don't."""

    base_model: str = ""
    base_source: str = ""
    peft: str = ""
    trainer: str = ""
    job_id: str = ""
    step: int | None = None
    steps: int | None = None
    best: str = ""  # the name of the best checkpoint's folder
    unreadable: tuple[str, ...] = field(default=())


async def read_told(source: ByteSource, folder: Folder) -> Told:
    """Everything that the small files of this folder say."""
    return await _Reading(source, folder).told()


class _Reading:
    """One folder's files; those that can't be understood are named instead of ending the look."""

    def __init__(self, source: ByteSource, folder: Folder) -> None:
        self._source = source
        self._folder = folder
        self._unreadable: list[str] = []

    async def told(self) -> Told:
        adapter = await self._json("adapter_config.json")
        card = _front_matter(await self._text("README.md"))
        arguments = await self._arguments()
        config = await self._json("config.json")
        base, where = _first_base(adapter, card, arguments, config)
        state = await self._state()
        return Told(
            base_model=base,
            base_source=where,
            peft=_word(adapter.get("peft_type") or ("lora" if adapter else "")),
            trainer=_trainer(card, arguments),
            job_id=_first_text(arguments, _JOB_KEYS),
            step=_count(state.get("global_step")),
            steps=_count(state.get("max_steps")),
            best=str(state.get("best_model_checkpoint") or "").replace("\\", "/").rstrip("/").rpartition("/")[2],
            unreadable=tuple(self._unreadable),
        )

    async def _text(self, name: str) -> str:
        size = self._folder.sizes.get(name)
        if size is None:
            return ""
        return await self._read(name, 0, min(size, _LARGEST))

    async def _read(self, name: str, offset: int, length: int) -> str:
        try:
            content = await self._bytes(name, offset, length)
        except (NotFound, CommandFailed):  # gone meanwhile, or closed to this user
            self._unreadable.append(name)
            return ""
        return content.decode("utf-8", "replace")

    async def _bytes(self, name: str, offset: int, length: int) -> bytes:
        content = b""
        while len(content) < length:
            path = f"{self._folder.path.rstrip('/')}/{name}"
            piece = await self._source.read(path, offset=offset + len(content), length=length - len(content))
            if not piece:
                break
            content += piece
        return content

    async def _json(self, name: str) -> Mapping[str, Any]:
        text = await self._text(name)
        if not text:
            return {}
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        self._unreadable.append(name)
        return {}

    async def _state(self) -> Mapping[str, Any]:
        name = "trainer_state.json"
        size = self._folder.sizes.get(name, 0)
        if size <= _LARGEST:
            return await self._json(name)
        text = await self._read(name, 0, _END) + await self._read(name, size - _END, _END)
        best = _BEST.search(text)
        numbers = {found[1]: int(found[2]) for found in _NUMBER.finditer(text)}
        return {**numbers, "best_model_checkpoint": best[1] if best else ""}

    async def _arguments(self) -> Mapping[str, Any]:
        for name in _ARGUMENTS:
            if name in self._folder.sizes:
                text = await self._text(name)
                return await self._json(name) if name.endswith(".json") else _yaml(text)
        return {}


def _first_base(*documents: Mapping[str, Any]) -> tuple[str, str]:
    """The base model of the first file that names one; a model card may name several."""
    adapter, card, arguments, config = documents
    in_card = card.get("base_model")
    named = in_card[0] if isinstance(in_card, list) and in_card else in_card
    candidates = (
        (adapter.get("base_model_name_or_path"), "adapter_config.json"),
        (named, "README.md"),
        (_first_text(arguments, _BASE_KEYS), "the training arguments"),
        (config.get("_name_or_path"), "config.json"),
    )
    for name, where in candidates:
        if isinstance(name, str) and name.strip() and name.isprintable():
            return name.strip(), where
    return "", ""


def _first_text(document: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    found = (document.get(key) for key in keys)
    return next((value for value in found if isinstance(value, str) and value.isprintable() and value), "")


def _trainer(card: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    tags = card.get("tags")
    words = [_word(tag) for tag in tags] if isinstance(tags, list) else []
    words += [_word(arguments.get(key)) for key in ("rlhf_type", "stage", "train_stage")]
    return next((word for word in words if word in _TRAINERS), "")


def _word(value: object) -> str:
    text = str(value or "").strip().lower()
    return text if re.fullmatch(r"[a-z0-9_-]{1,30}", text) else ""


def _count(value: object) -> int | None:
    fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if fine else None  # type: ignore[return-value]


def _front_matter(text: str) -> Mapping[str, Any]:
    if not text.startswith("---"):
        return {}
    head, closed, _ = text[3:].partition("\n---")
    return _yaml(head) if closed else {}


def _yaml(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text[: 256 << 10])
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
