"""Look at a training job's folder, here or on a host: which outputs there are, and which one to take (P18)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Protocol

from core.at_once import each
from core.errors import CommandFailed, ModelyardError, NotFound
from core.files import folder as names
from core.files.values import ByteSource
from core.findings import Finding, Severity
from core.text import clean_line
from core.training.files import Entry, Folder, Told, read_told
from core.training.values import FINAL, Kind, Output, Progress, Training

_MOST_FOLDERS = 200
_LAST_STEPS = 2  # whose files are read: the newest may be half written
_RECENT_S = 30 * 60  # a job that wrote something since then is still at it
_STEP = re.compile(r"checkpoint-(\d+)$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DONE_FILES = ("all_results.json", "train_results.json")


class Source(ByteSource, Protocol):
    """A host's connection, as far as looking needs it."""

    async def listdir(self, path: str) -> Sequence[Entry]:
        """The entries of a folder."""


async def look(source: Source, path: str, *, host: str) -> Training:
    """What a job left at `path`: small files and names are read, weights only listed.

    Raises:
        NotFound: there is no such folder, or nothing in it that a trainer writes.
    """
    root = await _listed(source, path)
    inner = [folder for folder in await _inner(source, root) if folder is not None]
    told = await _told(source, [root, *inner])
    outputs = _proposed_first(_outputs(root, inner, told))
    if not outputs:
        raise _nothing(path, root)
    return _training(path, host, root, outputs, told)


async def _listed(source: Source, path: str) -> Folder:
    try:
        entries = await source.listdir(path)
    except NotFound as error:
        raise NotFound(
            f"There is no folder {clean_line(path)}.",
            cause="The path is wrong, or the training ran on another machine.",
            remedy="Correct the path, or say with the host where it lies.",
        ) from error
    return Folder(
        path=path.rstrip("/") or "/",
        sizes=names.sizes(entries),
        folders=tuple(names.name_of(one) for one in entries if one.is_dir),
        modified=max((one.mtime for one in entries if not one.is_dir), default=0.0),
    )


async def _inner(source: Source, root: Folder) -> list[Folder | None]:
    """The folders in it, the last steps first; what can't be listed is left out."""

    async def one(name: str) -> Folder | None:
        try:
            return await _listed(source, f"{root.path.rstrip('/')}/{name}")
        except (NotFound, CommandFailed):  # gone meanwhile, or closed to this user
            return None

    shown = [name for name in root.folders if not name.startswith(".")]
    return await each(sorted(shown, key=_step_of, reverse=True)[:_MOST_FOLDERS], one)


def _step_of(name: str) -> int:
    found = _STEP.search(name)
    return int(found[1]) if found else -1


async def _told(source: Source, folders: Sequence[Folder]) -> dict[str, Told]:
    """What the small files say, of the folder itself, of what it was merged to and of the last steps."""

    async def one(folder: Folder) -> tuple[str, Told]:
        return folder.path, await read_told(source, folder)

    root, *inner = folders
    holding = [folder for folder in inner if _kind(folder) is not None]
    steps = [folder for folder in holding if _step_of(folder.path) >= 0]
    worth = [root, *(folder for folder in holding if folder not in steps), *steps[:_LAST_STEPS]]
    return dict(await each(worth, one))


def _kind(folder: Folder) -> Kind | None:
    weights = [name for name in folder.sizes if _is_weights(name)]
    if any(not name.startswith("adapter_model") for name in weights):
        return Kind.MODEL
    return Kind.ADAPTER if weights or "adapter_config.json" in folder.sizes else None


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf")) or names.is_weight_pickle(name)


def _outputs(root: Folder, inner: Sequence[Folder], told: dict[str, Told]) -> list[Output]:
    best = next((one.best for one in told.values() if one.best), "")
    found = []
    for folder in (root, *inner):
        kind = _kind(folder)
        if kind is not None:
            name = FINAL if folder is root else PurePosixPath(folder.path).name
            found.append(_output(name, folder, kind, told.get(folder.path), best))
    return found


def _output(name: str, folder: Folder, kind: Kind, told: Told | None, best: str) -> Output:
    own = PurePosixPath(folder.path).name
    step = _step_of(own)
    return Output(
        name=name,
        path=folder.path,
        kind=kind,
        step=step if step >= 0 else (told.step if told else None),
        best=bool(best) and own == best,
        gguf=any(file.endswith(".gguf") for file in folder.sizes),
        size=sum(folder.sizes.values()),
        modified=folder.modified,
        problem=_problem(folder, kind),
    )


def _problem(folder: Folder, kind: Kind) -> str:
    """Why it can't be served: a job that is still writing, or was killed while it did."""
    if kind is Kind.ADAPTER:
        has = any(name.startswith("adapter_model") for name in folder.sizes)
        return "" if has else "The adapter's weights are missing."
    if any(name.endswith(".gguf") for name in folder.sizes):
        return ""
    whole = any(name.endswith(".safetensors") for name in folder.sizes)
    if whole and (missing := names.shards_by_name(dict(folder.sizes)).problems):
        return missing[0]
    return "" if "config.json" in folder.sizes else "config.json is missing."


def _proposed_first(outputs: Sequence[Output]) -> list[Output]:
    """Whole before adapters, final before the best step before the last one; what is damaged comes last."""

    def rank(output: Output) -> tuple[object, ...]:
        way = 0 if output.name == FINAL else 1 if not output.is_checkpoint else 2
        return (bool(output.problem), output.kind is Kind.ADAPTER, way, not output.best, -(output.step or 0))

    return sorted(outputs, key=rank)


def _nothing(path: str, root: Folder) -> ModelyardError:
    inner = ", ".join(clean_line(name) for name in root.folders[:5])
    return NotFound(
        f"{clean_line(path)} holds no training output.",
        cause=f"It holds no weights and no adapter; its folders are {inner}." if inner else "It holds no weights.",
        remedy="Give the folder that the trainer wrote to: it holds checkpoint-… folders, a model, or an adapter.",
    )


def _training(path: str, host: str, root: Folder, outputs: list[Output], told: dict[str, Told]) -> Training:
    of_all = [told[one.path] for one in outputs if one.path in told]
    known = [told[root.path], *of_all]
    base = next((one for one in known if one.base_model), Told())
    reached = max(known, key=lambda one: one.step or -1)
    progress = _progress(root, outputs, reached)
    method = _method(known, outputs[0], base.base_model)
    in_path = _UUID.search(path)
    return Training(
        path=root.path,
        host=host,
        base_model=base.base_model,
        base_source=base.base_source,
        method=method,
        job_id=next((one.job_id for one in known if one.job_id), in_path[0] if in_path else ""),
        progress=progress,
        step=reached.step,
        steps=reached.steps or None,
        outputs=tuple(outputs),
        findings=tuple(_findings(outputs, progress, base.base_model, known)),
    )


def _progress(root: Folder, outputs: Sequence[Output], reached: Told) -> Progress:
    ended = reached.step is not None and bool(reached.steps) and reached.step >= (reached.steps or 0)
    saved = any(not one.is_checkpoint and not one.problem for one in outputs)
    if ended or saved or any(name in root.sizes for name in _DONE_FILES):
        return Progress.FINISHED
    newest = max((root.modified, *(one.modified for one in outputs)))
    if time.time() - newest < _RECENT_S:
        return Progress.RUNNING
    return Progress.STOPPED if reached.step is not None else Progress.UNKNOWN


def _method(known: Sequence[Told], output: Output, base: str) -> str:
    """`full`, `lora`, `qlora`, and before it the trainer where it is known: `sft-lora`."""
    peft = next((one.peft for one in known if one.peft), "")
    kind = peft or ("lora" if output.kind is Kind.ADAPTER else "full")
    kind = "qlora" if kind == "lora" and "bnb-4bit" in base.lower() else kind
    trainer = next((one.trainer for one in known if one.trainer), "")
    return f"{trainer}-{kind}" if trainer else kind


def _findings(outputs: Sequence[Output], progress: Progress, base: str, known: Sequence[Told]) -> list[Finding]:
    found = []
    chosen = outputs[0]
    if chosen.problem:
        found.append(
            _finding(Severity.ERROR, "output", f"{chosen.name}: {chosen.problem}", "Train again, or copy it again.")
        )
    if chosen.kind is Kind.ADAPTER:
        found.append(_adapter_finding(base))
    if progress is Progress.RUNNING:
        reason = "The job still writes here: a later checkpoint may be better, and files may be incomplete."
        found.append(_finding(Severity.WARNING, "progress", reason, "Come back when it has finished."))
    if progress is Progress.STOPPED:
        found.append(_finding(Severity.WARNING, "progress", "The job stopped before its last step.", ""))
    if not base:
        reason = "No file names the base model; the id is read from the folder."
        found.append(_finding(Severity.INFO, "base_model", reason, "Say it with --base-model."))
    files = sorted({name for one in known for name in one.unreadable})
    if files:
        found.append(_finding(Severity.WARNING, "files", f"Can't be understood: {', '.join(files)}.", ""))
    return found


def _adapter_finding(base: str) -> Finding:
    of = clean_line(base) or "its base model"
    return _finding(
        Severity.WARNING,
        "adapter",
        f"This is an adapter alone; the engines here serve whole models, so it can't be deployed without {of}.",
        "Merge it where it was trained: AutoPeftModelForCausalLM.from_pretrained(DIR).merge_and_unload()"
        ".save_pretrained(DIR/merged), and save the tokenizer there too; then add that folder.",
    )


def _finding(severity: Severity, check: str, reason: str, remedy: str) -> Finding:
    return Finding(severity=severity, check=check, reason=reason, remedy=remedy)
