"""Inspecting files and folders: what is found, what is missing, and that nothing leads out of a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import FileProblem, NotFound
from core.files import headers
from core.files.gguf import parse_gguf
from core.files.headers import read_header
from core.files.inspect import ModelInfo, inspect_model
from tests.unit.model_files import LLAMA, TENSORS, FolderSource, Tensor, gguf, safetensors
from tests.unit.pickles import running, zipped

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "sliding_window": 32768,
    "use_sliding_window": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}


def write_folder(folder: Path, config: dict[str, Any] | None = None, **files: bytes | str) -> Path:
    folder.mkdir(exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        raw = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".", 1)).write_bytes(raw)
    return folder


def shard(folder: Path, number: int, count: int) -> None:
    content = safetensors({f"layer{number}.weight": ("BF16", [16], 32)})
    (folder / f"model-{number:05}-of-{count:05}.safetensors").write_bytes(content)


async def refused(path: Path) -> FileProblem:
    with pytest.raises(FileProblem) as raised:
        await inspect_model(FolderSource(), str(path))
    assert raised.value.remedy
    return raised.value


async def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        await inspect_model(FolderSource(), str(tmp_path / "none.gguf"))
    assert raised.value.cause
    assert raised.value.remedy


async def test_a_gguf_file_and_its_folder_are_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(gguf(LLAMA, TENSORS))
    (tmp_path / "mmproj-x.gguf").write_bytes(gguf({"general.architecture": "clip"}))
    (tmp_path / "README.md").write_text("hello")
    by_file = await inspect_model(FolderSource(), str(tmp_path / "x.gguf"))
    by_folder = await inspect_model(FolderSource(), str(tmp_path))
    assert by_folder.path == by_file.path == str(tmp_path / "x.gguf")
    assert by_folder.extra["mmproj"] == "mmproj-x.gguf"
    assert by_folder.architecture == "llama"


async def test_several_models_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(gguf(LLAMA, TENSORS))
    problem = await refused(tmp_path)
    assert "a.gguf, b.gguf" in problem.message


async def test_escape_sequences_in_names_are_taken_out(tmp_path: Path) -> None:
    for name in ("a\x1b[2J.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(gguf(LLAMA, TENSORS))
    assert "\x1b" not in (await refused(tmp_path)).message
    (tmp_path / "c\x1b]0;x\x07.gguf").write_bytes(b"none")
    assert "\x1b" not in (await refused(tmp_path / "c\x1b]0;x\x07.gguf")).message


async def test_a_split_is_summed_and_missing_parts_are_told(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        content = gguf(LLAMA if number == 1 else {"split.no": number}, [Tensor(f"t{number}", (32,), 0)])
        (tmp_path / f"x-{number:05}-of-00003.gguf").write_bytes(content)
    whole = await inspect_model(FolderSource(), str(tmp_path))
    assert whole.path == str(tmp_path / "x-00001-of-00003.gguf")
    assert (whole.weights_bytes, whole.parameters, whole.split) == (3 * 128, 96, (3, 3))
    assert whole.problems == ()
    by_part = await inspect_model(FolderSource(), str(tmp_path / "x-00003-of-00003.gguf"))
    assert by_part == whole
    (tmp_path / "x-00002-of-00003.gguf").unlink()
    lacking = await inspect_model(FolderSource(), str(tmp_path))
    assert lacking.split == (2, 3)
    assert lacking.problems == ("1 of 3 parts are missing.",)
    (tmp_path / "x-00001-of-00003.gguf").unlink()
    assert "first" in (await refused(tmp_path)).message


async def test_a_folder_of_safetensors(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "m",
        CONFIG,
        model__safetensors=safetensors({"w": ("BF16", [10], 20)}),
        tokenizer__json="{}",
        tokenizer_config__json=json.dumps({"chat_template": "{{x}}"}),
    )
    info = await inspect_model(FolderSource(), str(folder))
    assert (info.format, info.architecture, info.dtype) == ("safetensors", "Qwen2ForCausalLM", "bfloat16")
    assert (info.layers, info.heads, info.kv_heads, info.head_dim) == (28, 12, 2, 128)
    assert (info.weights_bytes, info.parameters, info.context_length) == (20, 10, 32768)
    assert info.sliding_window is None
    assert info.has_tokenizer
    assert info.has_chat_template
    assert not info.needs_remote_code
    assert info.problems == ()
    assert ("model.safetensors", folder.joinpath("model.safetensors").stat().st_size) in info.files


async def test_shards_of_an_index_and_names_that_leave_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", CONFIG)
    for number in (1, 2):
        shard(folder, number, 3)
    (tmp_path / "secret.safetensors").write_bytes(safetensors({"w": ("BF16", [10], 20)}))
    names = [f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)]
    outside = ["../secret.safetensors", str(tmp_path / "secret.safetensors"), "a\\b.safetensors"]
    weight_map = {f"w{i}": name for i, name in enumerate([*names, *outside])}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    source = FolderSource()
    info = await inspect_model(source, str(folder))
    assert info.weights_bytes == 64
    assert not any("secret" in path for path, _, _ in source.reads)
    assert sum("outside" in problem for problem in info.problems) == 3
    assert "1 of 3 weight files are missing: model-00003-of-00003.safetensors." in info.problems


async def test_numbered_shards_without_an_index(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", CONFIG, consolidated__safetensors=safetensors({"w": ("BF16", [10], 20)}))
    for number in (1, 3):
        shard(folder, number, 3)
    info = await inspect_model(FolderSource(), str(folder))
    assert info.split == (2, 3)
    assert info.weights_bytes == 64
    assert info.problems == ("1 of 3 weight files are missing: model-00002-of-00003.safetensors.",)


async def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    content = safetensors({"w": ("BF16", [100], 200)})
    folder = write_folder(tmp_path / "m", CONFIG, model__safetensors=content[:-50])
    info = await inspect_model(FolderSource(), str(folder))
    assert info.problems == ("model.safetensors is truncated: the last 50 bytes of its tensors are missing.",)


async def test_a_truncated_index_is_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", CONFIG)
    shard(folder, 1, 1)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-00001-of')
    assert "index" in (await inspect_model(FolderSource(), str(folder))).problems[0]


async def test_only_the_headers_are_read(tmp_path: Path) -> None:
    size = 64 << 20
    folder = write_folder(tmp_path / "m", CONFIG)
    content = safetensors({"w": ("BF16", [size // 2], size)}, data=False)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(content)
        file.truncate(len(content) + size)
    source = FolderSource()
    info = await inspect_model(source, str(folder))
    assert info.weights_bytes == size
    assert info.problems == ()
    assert source.bytes < 1 << 20
    assert len(source.reads) <= 4


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "x.ckpt"])
async def test_pickles_are_flagged_and_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n")
    source = FolderSource()
    info = await inspect_model(source, str(tmp_path / name))
    assert info.format == "pickle"
    assert "unsafe" in info.warnings[0]
    assert info.problems == ()
    assert source.reads == []


async def test_a_folder_of_pickles(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", CONFIG, pytorch_model__bin=b"\x80\x04")
    info = await inspect_model(FolderSource(), str(folder))
    assert (info.format, info.layers) == ("pickle", 28)
    assert "unsafe" in info.warnings[0]


async def test_here_a_scanner_tells_what_a_pickle_imports(tmp_path: Path) -> None:
    """D5, L9: on this machine, in a process of its own; the file is never loaded."""
    victim = tmp_path / "victim"
    content = zipped(running(victim))
    folder = write_folder(tmp_path / "m", CONFIG, pytorch_model__bin=content, modeling_x__py="import os")
    info = await inspect_model(FolderSource(), str(folder), here=True)
    assert info.extra["pickle"] == "dangerous"
    assert any("posix.system" in warning for warning in info.warnings)
    assert any("modeling_x.py" in warning for warning in info.warnings)
    (folder / "model.safetensors").write_bytes(safetensors({"w": ("BF16", [10], 20)}))
    mixed = await inspect_model(FolderSource(), str(folder), here=True)
    assert (mixed.format, mixed.extra["pickles"]) == ("safetensors", "pytorch_model.bin")
    assert any("posix.system" in warning for warning in mixed.warnings)
    assert not victim.exists()


async def test_a_blob_without_a_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """X8: Ollama's blobs are GGUF files."""
    blob = tmp_path / f"sha256-{'0' * 64}"
    blob.write_bytes(gguf(LLAMA, TENSORS))
    info = await inspect_model(FolderSource(), str(blob))
    assert (info.format, info.architecture, info.path) == ("gguf", "llama", str(blob))
    blob.write_bytes(b"else")
    assert "no model file" in (await refused(blob)).message


async def test_a_diffusion_pipeline_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"], "vae": ["diffusers", "Y"]}
    odd = {"scheduler": ["diffusers", "Z"], "tokenizer": ["t", "T"], "safety": [None, None], "../out": ["a", "b"]}
    folder = write_folder(tmp_path / "m", None, model_index__json=json.dumps({**index, **odd}))
    for part, values in (("transformer", 10), ("vae", 6), ("tokenizer", 0)):
        (folder / part).mkdir()
        if values:
            content = safetensors({"w": ("BF16", [values], 2 * values)})
            (folder / part / "diffusion_pytorch_model.safetensors").write_bytes(content)
    info = await inspect_model(FolderSource(), str(folder))
    assert (info.format, info.architecture, info.parameters, info.weights_bytes) == (
        "diffusers",
        "FluxPipeline",
        16,
        32,
    )
    assert info.has_tokenizer
    assert info.problems == ()
    assert "../out" not in info.extra["components"]
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert "vae" in (await inspect_model(FolderSource(), str(folder))).problems[0]


@pytest.mark.parametrize("name", ["x.lora_A.weight", "lora_unet_down.alpha", "a.lora_down.weight", "b.hada_w1_a"])
async def test_an_adapter_in_one_file_is_known_by_its_tensors(tmp_path: Path, name: str) -> None:
    """L9: and by what its trainer noted of its base."""
    path = tmp_path / "style.safetensors"
    path.write_bytes(safetensors({name: ("BF16", [10], 20)}, metadata={"ss_sd_model_name": "sdxl\x1b[2J_base"}))
    info = await inspect_model(FolderSource(), str(path))
    assert (info.extra["adapter"], info.extra["base_model"]) == ("lora", "sdxl_base")


async def test_an_adapter_as_gguf_names_its_base(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    told: dict[str, Any] = {"general.type": "adapter", "adapter.type": "lora", "general.base_model.0.name": "Llama 3"}
    path.write_bytes(gguf({**LLAMA, **told}, TENSORS))
    info = await inspect_model(FolderSource(), str(path))
    assert (info.extra["adapter"], info.extra["base_model"]) == ("lora", "Llama 3")


def test_nothing_here_can_unpickle() -> None:
    """Importing and using the readers never imports pickle's or torch's loaders."""
    code = (
        "import sys, core.files.inspect, core.files.hf_folder\n"
        "loaded = {'pickle', '_pickle', 'torch', 'numpy', 'safetensors', 'gguf'} & sys.modules.keys()\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "empty" in (await refused(tmp_path)).cause
    (tmp_path / "readme.txt").write_text("x")
    assert "no .gguf" in (await refused(tmp_path)).cause
    (tmp_path / "inner").mkdir()
    assert "inner" in (await refused(tmp_path)).cause
    (tmp_path / "model_index.json").write_text("{}")
    assert "diffusion" in (await refused(tmp_path)).cause
    assert "known" in (await refused(tmp_path / "readme.txt")).message


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '"x"', "\x00"])
async def test_a_damaged_configuration_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_folder(tmp_path / "m", model__safetensors=safetensors({"w": ("BF16", [10], 20)}))
    (folder / "config.json").write_text(content)
    assert "config.json" in (await refused(folder)).message


async def test_a_huge_configuration_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", model__safetensors=safetensors({"w": ("BF16", [10], 20)}))
    (folder / "config.json").write_text('{"a": "' + "x" * (2 << 20) + '"}')
    assert "config.json" in (await refused(folder)).message


async def info_of(tmp_path: Path, config: dict[str, Any], **files: bytes | str) -> ModelInfo:
    content = safetensors({"w": ("BF16", [10], 20)})
    return await inspect_model(
        FolderSource(), str(write_folder(tmp_path / "m", config, model__safetensors=content, **files))
    )


async def test_a_multimodal_configuration(tmp_path: Path) -> None:
    text = {**CONFIG, "head_dim": 64}
    info = await info_of(
        tmp_path, {"architectures": ["Vision"], "text_config": text, "vision_config": {"hidden_size": 1}}
    )
    assert (info.architecture, info.hidden_size, info.head_dim) == ("Vision", 1536, 64)


async def test_latent_attention_and_remote_code(tmp_path: Path) -> None:
    latent = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    info = await info_of(tmp_path, {**CONFIG, **latent, "auto_map": {"AutoModel": "modeling.Model"}})
    assert (info.kv_lora_rank, info.qk_rope_dim, info.head_dim, info.value_dim) == (512, 64, 192, 128)
    assert info.needs_remote_code


@pytest.mark.parametrize(
    ("config", "window", "layers"),
    [
        ({"use_sliding_window": True, "max_window_layers": 20}, 32768, 8),
        ({"use_sliding_window": None, "layer_types": ["sliding_attention", "full_attention"] * 14}, 32768, 14),
        ({"use_sliding_window": None, "sliding_window_pattern": 6}, 32768, 24),
        ({"use_sliding_window": None, "sliding_window": None}, None, 0),
    ],
)
async def test_sliding_windows(tmp_path: Path, config: dict[str, Any], window: int | None, layers: int) -> None:
    info = await info_of(tmp_path, {**CONFIG, **config})
    assert (info.sliding_window, info.sliding_layers) == (window, layers)


async def test_hybrid_layers(tmp_path: Path) -> None:
    info = await info_of(tmp_path, {**CONFIG, "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 7})
    assert info.extra["attention_layers"] == "7"


@pytest.mark.parametrize(
    ("scaling", "length"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"rope_type": "llama3", "factor": 8.0}, 32768),
        ({"type": "linear", "factor": 2}, 65536),
        ({"type": "linear", "factor": float("inf")}, 32768),
        ({}, 32768),
    ],
)
async def test_context_length(tmp_path: Path, scaling: dict[str, Any], length: int) -> None:
    info = await info_of(tmp_path, {**CONFIG, "rope_scaling": scaling})
    assert info.context_length == length


async def test_quantization_and_packed_values(tmp_path: Path) -> None:
    content = safetensors({"a.qweight": ("I32", [10], 40), "a.scales": ("F16", [2], 4), "n": ("F16", [3], 6)})
    config = {**CONFIG, "quantization_config": {"quant_method": "awq", "bits": 4}}
    folder = write_folder(tmp_path / "m", config, model__safetensors=content)
    info = await inspect_model(FolderSource(), str(folder))
    assert (info.quantization, info.parameters) == ("awq", 83)
    modelopt = json.dumps({"quantization": {"quant_algo": "NVFP4"}})
    other = write_folder(tmp_path / "n", CONFIG, model__safetensors=content, hf_quant_config__json=modelopt)
    assert (await inspect_model(FolderSource(), str(other))).quantization == "modelopt_fp4"


async def test_an_adapter_is_told(tmp_path: Path) -> None:
    adapter = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"})
    content = safetensors({"w": ("BF16", [10], 20)})
    folder = write_folder(tmp_path / "m", adapter_config__json=adapter, adapter_model__safetensors=content)
    info = await inspect_model(FolderSource(), str(folder))
    assert (info.extra["adapter"], info.extra["base_model"]) == ("lora", "org/base")
    assert info.problems == ()


@pytest.mark.parametrize("junk", [None, -1, 2**80, 10**4000, "12", [], {}, True, 1.5])
async def test_nonsense_in_a_configuration_counts_as_not_told(tmp_path: Path, junk: object) -> None:
    config = dict.fromkeys(
        [*CONFIG, "text_config", "layer_types", "rope_scaling", "quantization_config", "auto_map"], junk
    )
    info = await info_of(tmp_path, config)
    assert info.format == "safetensors"


async def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf(LLAMA, TENSORS)[:200])
    with pytest.raises(FileProblem, match="shorter"):
        await read_header(FolderSource(), str(path), 10_000, parse_gguf)


async def test_a_large_vocabulary_takes_few_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf({**LLAMA, "tokenizer.ggml.tokens": ["x" * 20] * 200_000}, TENSORS))
    source = FolderSource()
    info = await inspect_model(source, str(path))
    assert info.vocab_size == 200_000
    assert len(source.reads) <= 5
    assert source.bytes <= path.stat().st_size


async def test_a_header_beyond_the_cap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf({**LLAMA, "tokenizer.ggml.tokens": ["x" * 20] * 100_000}, TENSORS))
    monkeypatch.setattr(headers, "LARGEST_HEADER", 1 << 20)
    assert "claims" in (await refused(path)).message


async def test_a_single_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(safetensors({"w": ("I32", [10], 40)}))
    info = await inspect_model(FolderSource(), str(path))
    assert (info.format, info.weights_bytes, info.files) == (
        "safetensors",
        40,
        (("lora.safetensors", len(path.read_bytes())),),
    )
    assert info.extra == {}
