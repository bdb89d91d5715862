"""vLLM's command, options, phases and failures; the lines are those of 0.32 and 0.33."""

# ruff: noqa: E501 - log lines as they are

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.engines import engine_named
from core.engines.base import Launch, LaunchRequest
from core.registry.values import DeployOptions

ENGINE = engine_named("vllm")


def launch(*, gpus: int = 1, key: str = "", task: str = "generate", **options: Any) -> Launch:
    return ENGINE.launch(
        LaunchRequest(
            model_path="/models/m",
            served_name="m",
            options=DeployOptions(**options),
            max_model_len=8192,
            port=8000,
            listen="0.0.0.0",
            gpu_count=gpus,
            api_key_file=key,
            task=task,
        )
    )


def value_of(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_the_command() -> None:
    words = launch(gpu_memory_utilization=0.9, tensor_parallel_size=2, dtype="float16").argv
    assert words[:3] == ("vllm", "serve", "/models/m")
    assert value_of(words, "--served-model-name") == "m"
    assert value_of(words, "--max-model-len") == "8192"
    assert value_of(words, "--gpu-memory-utilization") == "0.9"
    assert value_of(words, "--tensor-parallel-size") == "2"
    assert value_of(words, "--dtype") == "float16"
    assert (value_of(words, "--host"), value_of(words, "--port")) == ("0.0.0.0", "8000")
    assert "--trust-remote-code" not in words
    assert "--trust-remote-code" in launch(trust_remote_code=True).argv
    assert value_of(launch(parallel=16).argv, "--max-num-seqs") == "16"


def test_settings() -> None:
    found = launch()
    assert found.env["HF_HUB_OFFLINE"] == "1"
    assert found.env["VLLM_NO_USAGE_STATS"] == found.env["DO_NOT_TRACK"] == "1"
    assert found.env["VLLM_LOGGING_COLOR"] == "0"
    assert found.shm_size == 8 << 30
    assert launch(gpus=2).shm_size == 16 << 30
    assert found.writable


def test_the_key_reaches_the_program_and_nothing_that_can_be_inspected(tmp_path: Path) -> None:
    """The command is run with a shell: the program stands for vLLM and shows what it got."""
    key = tmp_path / "key"
    key.write_text("s3cret")
    fake = tmp_path / "vllm"
    fake.write_text('#!/bin/sh\necho "$VLLM_API_KEY|$*"\n')
    fake.chmod(0o755)
    found = launch(key=str(key), extra={"hf-overrides": '{"a": "b c"}'})
    assert "s3cret" not in " ".join([*found.argv, *found.env.values()])
    environment = {**found.env, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    out = subprocess.run(found.argv, env=environment, capture_output=True, text=True, check=True).stdout
    shown, _, words = out.strip().partition("|")
    assert shown == "s3cret"
    assert words.startswith("serve /models/m --served-model-name m ")
    assert words.endswith('--hf-overrides={"a": "b c"}')


def test_without_its_key_it_does_not_start(tmp_path: Path) -> None:
    found = launch(key=str(tmp_path / "none"))
    done = subprocess.run(found.argv, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    explained = ENGINE.diagnose(done.stderr.splitlines())
    assert explained is not None
    assert "API key" in explained.cause


def test_the_builds_for_processors_start_by_their_module() -> None:
    assert launch(image="local/vllm-cpu:0.32").argv[:4] == (
        "python3",
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
    )


def test_a_python_that_has_vllm_stands_for_the_program() -> None:
    words = launch(image="/opt/vllm/bin/python3.12").argv
    assert words[:4] == ("vllm", "-m", "vllm.entrypoints.openai.api_server", "--model")
    assert launch(image="python:3.12").argv[:2] == launch(image="/opt/vllm/bin/vllm").argv[:2] == ("vllm", "serve")


@pytest.mark.parametrize(("task", "kind"), [("embed", "embed"), ("classify", "classify")])
def test_tasks(task: str, kind: str) -> None:
    words = launch(task=task).argv
    assert (value_of(words, "--runner"), value_of(words, "--convert")) == ("pooling", kind)
    assert "--runner" not in launch().argv


@pytest.mark.parametrize(("driver", "suffix"), [("580.65.06", ""), ("", ""), ("575.57", "-cu129"), ("535.1", "-cu129")])
def test_images(driver: str, suffix: str) -> None:
    assert ENGINE.default_image(gpu=True, driver_version=driver) == f"vllm/vllm-openai:v0.33.0{suffix}"


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("swap-space", "recomputes"),
        ("task", "runner"),
        ("guided_decoding_backend", "structured-outputs-config"),
        ("--disable-log-requests", "enable-log-requests"),
        ("rope-scaling", "hf-overrides"),
        ("max-seq-len-to-capture", "max-cudagraph-capture-size"),
        ("device", "image"),
        ("api-key", "secret"),
        ("hf-token", "secret"),
        ("port", "--port"),
        ("tp", "--tensor-parallel-size"),
        ("served-model-name", "served name"),
        ("config", "one by one"),
    ],
)
def test_refused_flags(flag: str, hint: str) -> None:
    found = ENGINE.check_options(DeployOptions(extra={flag: "1"}))
    assert set(found) == {flag}
    assert hint in found[flag]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"gpu_memory_utilization": 1.2}, "gpu_memory_utilization"),
        ({"gpu_memory_utilization": -0.1}, "gpu_memory_utilization"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ({"dtype": "int8"}, "dtype"),
        ({"extra": {"quantization": "gguf"}}, "quantization"),
        ({"extra": {"load-format": "bitsandbytes"}}, "load-format"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], field: str) -> None:
    assert set(ENGINE.check_options(DeployOptions(**options))) == {field}


def test_the_usual_options_are_fine() -> None:
    extra = {"kv-cache-dtype": "fp8", "enforce-eager": "", "max-num-batched-tokens": "8192"}
    assert ENGINE.check_options(DeployOptions(extra=extra, dtype="bfloat16", tensor_parallel_size=4)) == {}


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("(APIServer pid=1) INFO [model.py:526] Resolved architecture: LlamaForCausalLM", "recognised LlamaForCausalLM"),
        ("(APIServer pid=1) INFO Using max model len 8192", "context 8192 tokens"),
        ("(EngineCore pid=9) INFO Initializing a V1 LLM engine (v0.33.0) with config: model='/m'", "starting the engine"),
        ("(EngineCore pid=9) INFO Starting to load model /models/m...", "loading weights"),
        ("Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03,  1.0s/it]", "loading weights 25 %"),
        ("Loading safetensors checkpoint shards (eager): 100% Completed | 4/4", "loading weights 100 %"),
        ("Multi-thread loading shards:  50% Completed | 2/4", "loading weights 50 %"),
        ("INFO Loading weights took 2.30 seconds", "weights loaded"),
        ("INFO Model loading took 14.99 GiB memory and 3.1 seconds", "weights loaded (14.99 GiB)"),
        ("INFO torch.compile took 20.1 s in total", "compiling"),
        ("INFO Available KV cache memory: 26.43 GiB", "26.43 GiB left for the cache"),
        ("INFO GPU KV cache size: 216,512 tokens, Maximum concurrency", "cache for 216,512 tokens"),
        ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum concurrency", "cache for 262,144 tokens"),
        ("(Worker pid=1) INFO [cpu_model_runner.py:87] Warming up model for the compilation...", "compiling"),
        ("Capturing CUDA graphs (decode, FULL):  37%|███▋      | 13/35", "capturing graphs 37 %"),
        ("INFO Graph capturing finished in 5 secs, took 0.45 GiB", "graphs captured"),
        ("INFO init engine (profile, create kv cache, warmup model) took 30.1 seconds", "engine ready"),
        ("INFO Starting vLLM server on http://0.0.0.0:8000", "opening the port"),
        ("INFO:     Application startup complete.", "ready"),
        ("INFO:     127.0.0.1:1 - \"GET /health HTTP/1.1\" 200 OK", None),
    ],
)  # fmt: skip
def test_phases(line: str, phase: str | None) -> None:
    assert ENGINE.phase(line) == phase


LAST = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
NO_ROOM = (
    "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (5.38 GiB). Based on the available memory, the estimated "
    "maximum model length is 44032. Try increasing `gpu_memory_utilization`"
)


@pytest.mark.parametrize(
    ("line", "cause", "suggestion"),
    [
        ("RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering", "1024 requests", {"parallel": "256"}),
        ("ValueError: Free memory on device cuda:0 (20.01/79.15 GiB) on startup is less than desired GPU memory utilization (0.92, 72.82 GiB).", "20.01 of 79.15", {"gpu_memory_utilization": "0.24"}),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "no room", {}),
        (NO_ROOM, "131072", {"max_model_len": "44032"}),
        (NO_ROOM.replace("models's", "model's"), "131072", {"max_model_len": "44032"}),
        ("ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (939)", "939", {"parallel": "939"}),
        ("RuntimeError: Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory", "do not fit", {}),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 23.5", "896.00 MiB", {}),
        ("User-specified max_model_len (99999) is greater than the derived max_model_len (max_position_embeddings=2048 or model_max_length=None in model's config.json).", "99999", {"max_model_len": "2048"}),
        ("ValueError: Unknown quantization method: bitsandbytes. Must be one of ['awq']", "bitsandbytes", {}),
        ("ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current capability: 75.", "89", {}),
        ("ValueError: Quantization method specified in the model config (awq) does not match the quantization method specified", "awq", {}),
        ("huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/m'. Use", "/models/m", {}),
        ("ValueError: Invalid repository ID or local directory specified: '/models/m'.", "config.json", {}),
        ("RuntimeError: Cannot find any model weights with `/models/m`", "no weights", {}),
        ("The repository /models/m contains custom code which must be executed to correctly load the model.", "Python code", {"trust_remote_code": "true"}),
        ("RuntimeError: Failed to load the model config. If the model is a custom model, consider setting `trust_remote_code=True`", "Python code", {"trust_remote_code": "true"}),
        ("ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures:", "FooForCausalLM", {}),
        ("ValueError: Model architecture X was supported in vLLM until v0.10.2, and is not supported anymore", "no longer", {}),
        ("Total number of attention heads (4) must be divisible by tensor parallel size (3).", "4 attention heads", {"tensor_parallel_size": "2"}),
        ("ValueError: World size (4) is larger than the number of available GPUs (2) in this node.", "4 GPUs", {"tensor_parallel_size": "2"}),
        ("OSError: [Errno 98] Address already in use", "port", {}),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12080).", "12080", {}),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update your driver", "CUDA 13.0", {}),
        ("NCCL WARN Error while creating shared memory segment /dev/shm/nccl-AbC (size 9637888), error: No space left on device (28)", "shared memory", {}),
        ("OSError: You are trying to access a gated repo.", "gated", {}),
        ("OfflineModeIsEnabled: Cannot reach https://huggingface.co/x: outgoing traffic has been disabled.", "internet", {}),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "internet", {}),
        ("RuntimeError: Failed to infer device type, please set the environment variable", "No usable CUDA", {}),
        ("ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4", "bfloat16", {"dtype": "float16"}),
        ("vllm: error: unrecognized arguments: --swap-space 4", "--swap-space 4", {}),
        ("safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer", "truncated", {}),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "Toolkit", {}),
    ],
)  # fmt: skip
def test_failures(line: str, cause: str, suggestion: dict[str, str]) -> None:
    prefixed = f"(EngineCore pid=77) ERROR 11-21 10:00:00 [core.py:866] {line}"
    found = ENGINE.diagnose(["INFO fine", prefixed, "Traceback (most recent call last):", LAST])
    assert found is not None
    assert cause in found.cause
    assert found.suggestion == suggestion
    assert found.remedy
    assert found.line == prefixed[:600]


@pytest.mark.parametrize(
    "begins", ["vLLM API server version 0.24.0", "[api_utils.py:286] non-default args: {'port': 1}"]
)
def test_what_an_attempt_before_wrote_is_not_the_cause(begins: str) -> None:
    lines = [begins, "OSError: [Errno 98] Address already in use", begins, "Cannot find any model weights with `/m`"]
    found = ENGINE.diagnose(lines)
    assert found is not None
    assert "no weights" in found.cause


def test_the_last_line_alone_says_little() -> None:
    found = ENGINE.diagnose([LAST])
    assert found is not None
    assert "did not start" in found.cause
    assert ENGINE.diagnose(["INFO:     Application startup complete."]) is None


def test_formats() -> None:
    assert "gguf" not in ENGINE.formats
