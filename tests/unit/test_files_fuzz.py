"""No model file exhausts its reader: limits measured in a process of its own, and mutations of a corpus."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import FileProblem, NotFound
from core.files.inspect import inspect_model
from core.files.values import ModelInfo
from core.text import clean_line
from tests.unit.hostile_files import LIMIT_MS, write
from tests.unit.model_files import LLAMA, TENSORS, Entry, gguf, safetensors

ROOT = Path(__file__).resolve().parents[2]


def test_hostile_headers_cost_little(tmp_path: Path) -> None:
    """L9: an error within 100 ms of processor time and 50 MiB, however large the header is."""
    write(tmp_path)
    words = [sys.executable, "-m", "tests.unit.hostile_files", str(tmp_path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT, timeout=120)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in told] == sorted(path.name for path in tmp_path.iterdir())
    assert [one for one in told if not one["told"]] == []
    assert [one for one in told if one["ms"] > LIMIT_MS or one["mib"] > 50] == []


@dataclass(frozen=True)
class Memory:
    """Files by path, read as a host's connection does."""

    files: dict[str, bytes]

    async def read(self, path: str, *, offset: int = 0, length: int) -> bytes:
        return self.files[path][offset : offset + length]

    async def stat(self, path: str) -> Entry | None:
        if path == "/m":
            return Entry(path, 0, is_dir=True)
        return Entry(path, len(self.files[path]), is_dir=False) if path in self.files else None

    async def listdir(self, path: str) -> list[Entry]:
        if path != "/m":
            raise NotFound(path)
        return [Entry(name, len(content), is_dir=False) for name, content in sorted(self.files.items())]


_INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
_CONFIG = {
    "architectures": ["X"],
    "num_hidden_layers": 2,
    "rope_scaling": {"type": "yarn", "factor": 2},
    "torch_dtype": "x",
}
CORPUS: list[dict[str, bytes]] = [
    {"/m/x.gguf": gguf({**LLAMA, "tokenizer.ggml.tokens": ["a", "b"], "x": [1, 2]}, TENSORS)},
    {"/m/x-00001-of-00002.gguf": gguf(LLAMA, TENSORS), "/m/x-00002-of-00002.gguf": gguf({"split.no": 1}, TENSORS)},
    {
        "/m/config.json": json.dumps(_CONFIG).encode(),
        "/m/model.safetensors.index.json": json.dumps(_INDEX).encode(),
        "/m/model-00001-of-00002.safetensors": safetensors({"a": ("BF16", [10], 20)}, metadata={"format": "pt"}),
        "/m/model-00002-of-00002.safetensors": safetensors({"b": ("I32", [4, 2], 32)}),
        "/m/tokenizer_config.json": b'{"chat_template": "x"}',
    },
    {
        "/m/adapter_model.safetensors": safetensors({"x.lora_A.weight": ("F32", [2], 8)}),
        "/m/adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}',
    },
    {"/m/sha256-0": gguf(LLAMA, TENSORS)},
]


def _outcome(files: dict[str, bytes], path: str) -> ModelInfo | None:
    try:
        return asyncio.run(inspect_model(Memory(files), path))
    except FileProblem as error:
        shown = f"{error.message}{error.cause}{error.remedy}"
        assert clean_line(shown) == shown
        assert error.remedy
        return None


@settings(max_examples=250, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CORPUS), st.data())
def test_a_damaged_model_is_described_or_refused(files: dict[str, bytes], data: st.DataObject) -> None:
    """Bytes flipped, cut out and put in, in any of a model's files."""
    changed = dict(files)
    path = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[path])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, min(len(content), 500) - 1)))
        cut = data.draw(st.sampled_from([0, 1, 1, 1, 8, 100]))
        content[at : at + cut] = data.draw(
            st.binary(max_size=9) | st.sampled_from([b"\xff" * 8, b"[" * 2000, b'{"a":', b"-1"])
        )
    changed[path] = bytes(content)
    for place in ("/m", path):
        info = _outcome(changed, place)
        if info is not None:
            assert info.weights_bytes >= 0
            assert (info.parameters or 0) >= 0
