"""What a training job left: found, judged and named from its own small files (P18, N1, N2)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput, NotFound
from core.findings import Severity
from core.hosts.connection import FileStat
from core.training.files import Folder, read_told
from core.training.look import look
from core.training.register import choose, proposed_name, values
from core.training.values import Kind, Progress, Training
from tests.unit.model_files import FolderSource, safetensors

UUID = "550e8400-e29b-41d4-a716-446655440000"
WEIGHTS = {
    "config.json": {"architectures": ["LlamaForCausalLM"]},
    "model.safetensors": safetensors({"a": ("F16", [2, 2], 8)}),
}
ADAPTER = {
    "adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen3-8B"},
    "adapter_model.safetensors": b"",
}


def state(step: int, steps: int, best: str = "") -> dict[str, object]:
    return {"trainer_state.json": {"global_step": step, "max_steps": steps, "best_model_checkpoint": best or None}}


def write(folder: Path, files: Mapping[str, object], *, age_s: float = 86_400) -> Path:
    """A folder of such files, last changed so long ago."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else _text(content).encode())
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


class _Disk(FolderSource):
    """This machine's files, with their times, as a connection shows them."""

    async def listdir(self, path: str) -> list[FileStat]:  # type: ignore[override]
        return [await self._stat(one.path) for one in await super().listdir(path)]

    async def _stat(self, path: str) -> FileStat:
        found = Path(path).stat()
        return FileStat(path=path, size=found.st_size, is_dir=Path(path).is_dir(), mtime=found.st_mtime)


async def seen(folder: Path) -> Training:
    return await look(_Disk(), str(folder), host="local")


async def test_the_best_checkpoint_is_proposed_and_the_others_are_offered(tmp_path: Path) -> None:
    """P18: the trainer's own word for the best one, though its path is another machine's."""
    job = tmp_path / "my-tune"
    for step in (100, 200, 300):
        write(job / f"checkpoint-{step}", {**WEIGHTS, **state(step, 1000, "/scratch/other/my-tune/checkpoint-200")})
    write(job, {"README.md": "---\nbase_model: meta-llama/Llama-3.1-8B\ntags: [trl, sft]\n---\n# x\n"})
    found = await seen(job)
    assert [one.name for one in found.outputs] == ["checkpoint-200", "checkpoint-300", "checkpoint-100"]
    assert found.outputs[0].best
    assert (found.progress, found.step, found.steps) == (Progress.STOPPED, 300, 1000)
    assert (found.base_model, found.base_source, found.method) == ("meta-llama/Llama-3.1-8B", "README.md", "sft-full")
    made = values(found, choose(found, "checkpoint-300"))
    assert made["model_id"] == "meta-llama/Llama-3.1-8B"
    assert made["path"] == str(job / "checkpoint-300")
    assert made["extra"]["checkpoint_path"] == str(job / "checkpoint-300")
    assert proposed_name(found) == "my-tune"
    with pytest.raises(InvalidInput, match="checkpoint-100"):
        choose(found, "checkpoint-9")


async def test_a_half_written_checkpoint_is_told_and_not_proposed(tmp_path: Path) -> None:
    """P18: of a job that was killed while it saved."""
    write(tmp_path / "checkpoint-100", {**WEIGHTS, **state(100, 1000)})
    write(tmp_path / "checkpoint-200", {"model-00001-of-00002.safetensors": b"x", "config.json": {}})
    found = await seen(tmp_path)
    assert found.proposed.name == "checkpoint-100"
    assert "1 of 2 weight files are missing" in found.outputs[1].problem


async def test_a_merged_model_comes_before_its_adapter(tmp_path: Path) -> None:
    """P18: an adapter with the merge beside it can be served."""
    write(tmp_path, {**ADAPTER, **state(10, 10)})
    write(tmp_path / "merged", WEIGHTS)
    write(tmp_path / "checkpoint-10", ADAPTER)
    found = await seen(tmp_path)
    assert [one.name for one in found.outputs] == ["merged", ".", "checkpoint-10"]
    assert (found.proposed.kind, found.base_model) == (Kind.MODEL, "Qwen/Qwen3-8B")
    assert (found.progress, found.method) == (Progress.FINISHED, "lora")
    assert not any(finding.check == "adapter" for finding in found.findings)


async def test_an_adapter_alone_says_what_is_needed(tmp_path: Path) -> None:
    """P18: it is registered with its base, and how to make it deployable is said."""
    base = {"adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "unsloth/llama-3-8b-bnb-4bit"}}
    write(tmp_path, {**ADAPTER, **base})
    found = await seen(tmp_path)
    finding = next(one for one in found.findings if one.check == "adapter")
    assert "unsloth/llama-3-8b-bnb-4bit" in finding.reason
    assert "merge_and_unload" in finding.remedy
    made = values(found, found.proposed)
    assert made["extra"]["adapter"] == "qlora"
    assert made["extra"]["training_method"] == "qlora"


@pytest.mark.parametrize(("age_s", "expected"), [(10, Progress.RUNNING), (86_400, Progress.STOPPED)])
async def test_whether_the_job_is_still_at_it(tmp_path: Path, age_s: float, expected: Progress) -> None:
    """P18: judged from its steps and from when it wrote last."""
    write(tmp_path / "checkpoint-5", {**WEIGHTS, **state(5, 50)}, age_s=age_s)
    found = await seen(tmp_path)
    assert found.progress is expected
    assert found.how_far == f"{expected} at step 5 of 50"
    assert [one.severity for one in found.findings if one.check == "progress"] == [Severity.WARNING]


async def test_a_finished_job_and_one_checkpoint_alone(tmp_path: Path) -> None:
    job = tmp_path / UUID
    write(
        job / "checkpoint-50", {**WEIGHTS, **state(50, 50), "args.json": {"model": "Qwen/Qwen3-4B", "rlhf_type": "dpo"}}
    )
    found = await seen(job)
    assert (found.progress, found.method, found.base_model) == (Progress.FINISHED, "dpo-full", "Qwen/Qwen3-4B")
    assert found.job_id == UUID
    alone = await seen(job / "checkpoint-50")
    assert (alone.proposed.name, alone.proposed.step, alone.progress) == (".", 50, Progress.FINISHED)
    assert values(alone, alone.proposed)["extra"]["checkpoint_path"] == str(job / "checkpoint-50")


async def test_without_a_base_the_id_is_read_from_the_path(tmp_path: Path) -> None:
    """N1: never the path itself, a UUID or a checkpoint."""
    found = await seen(write(tmp_path / "house-style" / UUID / "checkpoint-7", WEIGHTS))
    made = values(found, found.proposed)
    assert made["model_id"] == proposed_name(found) == "house-style"
    assert made["extra"] == {
        "training_job_id": UUID,
        "checkpoint_path": str(tmp_path / "house-style" / UUID / "checkpoint-7"),
        "training_method": "full",
    }
    assert values(found, found.proposed, base_model="org/said")["model_id"] == "org/said"
    assert any(finding.check == "base_model" for finding in found.findings)


async def test_a_base_that_is_a_path_becomes_readable(tmp_path: Path) -> None:
    write(
        tmp_path, {**WEIGHTS, "config.json": {"_name_or_path": "/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B/x"}}
    )
    found = await seen(tmp_path)
    assert values(found, found.proposed)["model_id"] == "Qwen/Qwen3-8B"


async def test_a_long_state_is_read_at_its_ends(tmp_path: Path) -> None:
    log = [{"loss": 1.0, "step": number} for number in range(200_000)]
    document = {"best_model_checkpoint": "out/checkpoint-8", "global_step": 9, "log_history": log, "max_steps": 10}
    write(tmp_path / "checkpoint-9", {**WEIGHTS, "trainer_state.json": document})
    write(tmp_path / "checkpoint-8", WEIGHTS)
    found = await seen(tmp_path)
    assert (found.proposed.name, found.step, found.steps) == ("checkpoint-8", 9, 10)


async def test_damaged_files_are_told_and_pickles_are_never_opened(tmp_path: Path) -> None:
    bomb = b"cos\nsystem\n(S'touch /tmp/never'\ntR."
    write(tmp_path, {**WEIGHTS, "trainer_state.json": "{", "adapter_config.json": "[]", "training_args.bin": bomb})
    write(tmp_path, {"README.md": "---\nbase_model: [1, 2\n---\n"})
    found = await seen(tmp_path)
    assert any("adapter_config.json, trainer_state.json" in finding.reason for finding in found.findings)


@pytest.mark.parametrize("inner", [(), ("logs", "runs")])
async def test_what_is_no_training_output_is_refused(tmp_path: Path, inner: tuple[str, ...]) -> None:
    for name in inner:
        (tmp_path / name).mkdir()
    with pytest.raises(NotFound, match="no training output") as caught:
        await seen(tmp_path)
    assert all(name in caught.value.cause for name in inner)
    with pytest.raises(NotFound, match="no folder"):
        await seen(tmp_path / "nowhere")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(
    st.sampled_from(
        ["base_model_name_or_path", "peft_type", "global_step", "max_steps", "best_model_checkpoint", "model"]
    ),
    anything,
    max_size=4,
)


class _Memory:
    """Files of one folder, in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        return self._files[path.rpartition("/")[2]][offset : offset + length]

    async def stat(self, path: str) -> None:
        raise AssertionError(path)

    async def listdir(self, path: str) -> list[object]:
        raise AssertionError(path)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["adapter_config.json", "trainer_state.json", "config.json", "args.json", "README.md"]),
        documents.map(lambda one: json.dumps(one).encode())
        | st.binary(max_size=40)
        | st.text(max_size=40).map(lambda t: f"---\n{t}\n---".encode()),
        max_size=4,
    )
)
async def test_whatever_a_trainer_wrote_is_read_or_left_out(files: dict[str, bytes]) -> None:
    """P18: files of other programs never break the look, and what is told is harmless and readable (N1)."""
    folder = Folder(path="/job", sizes={name: len(content) for name, content in files.items()})
    told = await read_told(_Memory(files), folder)  # type: ignore[arg-type]
    assert told.base_model.isprintable()
    assert told.step is None or told.step >= 0
    assert set(told.unreadable) <= set(files)
