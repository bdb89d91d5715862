"""llama.cpp's command, options, phases and failures; the lines are verbatim from b10434 unless marked."""

# ruff: noqa: E501 - log lines as they are

from __future__ import annotations

from typing import Any

import pytest

from core.engines import engine_named, engines
from core.engines.base import LaunchRequest
from core.registry.values import DeployOptions, EngineName

ENGINE = engine_named("llamacpp")


def argv(*, gpus: int = 0, key: str = "", task: str = "generate", **options: Any) -> tuple[str, ...]:
    request = LaunchRequest(
        model_path="/models/x.gguf",
        served_name="x",
        options=DeployOptions(**options),
        max_model_len=4096,
        port=8080,
        listen="0.0.0.0",
        gpu_count=gpus,
        api_key_file=key,
        task=task,
    )
    return ENGINE.launch(request).argv


def value_of(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_both_engines_are_there() -> None:
    assert set(engines()) == set(EngineName)
    with pytest.raises(ValueError, match="nothing"):
        engine_named("nothing")


def test_the_command() -> None:
    words = argv()
    assert words[0] == "/app/llama-server"
    assert value_of(words, "--model") == "/models/x.gguf"
    assert value_of(words, "--alias") == "x"
    assert (value_of(words, "--host"), value_of(words, "--port")) == ("0.0.0.0", "8080")
    assert value_of(words, "--ctx-size") == "4096"
    assert value_of(words, "--device") == "none"
    assert {"--metrics", "--jinja", "--offline"} <= set(words)
    assert "--parallel" not in words
    assert "--api-key-file" not in words


def test_the_key_is_passed_as_a_file() -> None:
    assert value_of(argv(key="/run/secrets/k"), "--api-key-file") == "/run/secrets/k"


def test_slots_multiply_the_context() -> None:
    words = argv(parallel=4)
    assert (value_of(words, "--ctx-size"), value_of(words, "--parallel")) == ("16384", "4")
    assert value_of(argv(parallel=4, extra={"kvu": ""}), "--ctx-size") == "4096"


def test_gpus() -> None:
    assert value_of(argv(gpus=1), "--gpu-layers") == "all"
    assert "--split-mode" not in argv(gpus=1)
    assert value_of(argv(gpus=2), "--split-mode") == "layer"
    words = argv(gpus=2, extra={"ngl": "20", "sm": "row"})
    assert words.count("--gpu-layers") == 1
    assert (value_of(words, "--gpu-layers"), value_of(words, "--split-mode")) == ("20", "row")


@pytest.mark.parametrize(("task", "flag"), [("embed", "--embeddings"), ("rerank", "--rerank")])
def test_tasks(task: str, flag: str) -> None:
    assert flag in argv(task=task)
    assert flag not in argv()


def test_further_flags() -> None:
    words = argv(extra={"ctk": "q8_0", "no-warmup": ""})
    assert value_of(words, "--cache-type-k") == "q8_0"
    assert words[-1] == "--no-warmup"


@pytest.mark.parametrize(
    ("gpu", "driver", "image"),
    [
        (False, "", "server"),
        (True, "580.65", "server-cuda13"),
        (True, "570.1", "server-cuda"),
        (True, "", "server-cuda"),
    ],
)
def test_images(gpu: bool, driver: str, image: str) -> None:
    assert ENGINE.default_image(gpu=gpu, driver_version=driver) == f"ghcr.io/ggml-org/llama.cpp:{image}"


@pytest.mark.parametrize(
    "flag",
    [
        "model",
        "-m",
        "--port",
        "host",
        "api-key",
        "api_key",
        "hft",
        "hf-token",
        "a",
        "c",
        "np",
        "draft-max",
        "x y",
        "",
        "x;",
    ],
)
def test_refused_flags(flag: str) -> None:
    assert set(ENGINE.check_options(DeployOptions(extra={flag: "1"}))) == {flag}


def test_a_dropped_flag_names_its_replacement() -> None:
    assert "spec-draft-n-max" in ENGINE.check_options(DeployOptions(extra={"draft": "4"}))["draft"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization"),
        ({"gpu_memory_utilization": 1.01}, "gpu_memory_utilization"),
        ({"gpu_memory_utilization": float("nan")}, "gpu_memory_utilization"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size"),
        ({"max_model_len": 0}, "max_model_len"),
        ({"parallel": 0}, "parallel"),
        ({"dtype": "float16"}, "dtype"),
        ({"trust_remote_code": True}, "trust_remote_code"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], field: str) -> None:
    assert set(ENGINE.check_options(DeployOptions(**options))) == {field}


def test_the_usual_options_are_fine() -> None:
    assert ENGINE.check_options(DeployOptions(extra={"ctk": "q8_0", "flash-attn": "on"}, parallel=2)) == {}


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("0.00.003.774 I srv    load_model: loading model '/m/x.gguf'", "loading the model"),
        ("0.00.241.798 I load_tensors: offloaded 20/31 layers to GPU", "loaded 20/31 layers onto GPUs"),
        ("0.00.531.977 I cmn  common_init_: warming up the model with an empty run - please wait ...", "warming up"),
        ("0.00.188.862 I srv    load_model: initializing, n_slots = 4, n_ctx_slot = 4096", "preparing 4 slots"),
        ("0.00.190.946 I srv  llama_server: model loaded", "model loaded"),
        ("0.00.190.975 I srv  llama_server: listening on http://127.0.0.1:18124", "ready"),
        ("main: server is listening on http://127.0.0.1:8080 - starting the main loop", "ready"),
        ("0.06.099.897 I srv  update_slots: all slots are idle", None),
        ("", None),
    ],
)
def test_phases(line: str, phase: str | None) -> None:
    assert ENGINE.phase(line) == phase


LAST = "0.00.022.653 E srv  llama_server: exiting due to model loading error"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        # other releases and hardware than those of the contract tests
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory", "GPU 0"),
        ("llama_kv_cache: failed to allocate buffer for kv cache", "context of this length"),
        ("ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", "No usable CUDA"),
        ("error while loading shared libraries: libcuda.so.1: cannot open shared object file", "No usable CUDA"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "host's memory"),
        ("Error response from daemon: could not select device driver \"nvidia\" with capabilities: [[gpu]]", "Toolkit"),
        ("could not select device driver \"\" with capabilities: [[gpu]]", "Toolkit"),
        ("driver failed programming external connectivity: listen tcp4 127.0.0.1:8000: bind: address already in use", "port"),
        ("failed to set up container networking: Bind for 127.0.0.1:8000 failed: port is already allocated", "port"),
        ("unresolvable CDI devices nvidia.com/gpu=GPU-1", "GPU-1"),
        ("exec: \"/app/llama-server\": stat /app/llama-server: no such file or directory: unknown", "/app/llama-server"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "downloaded"),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8, please update", "CUDA 12.8"),
        ("exec /app/llama-server: exec format error", "processor"),
    ],
)  # fmt: skip
def test_failures(line: str, cause: str) -> None:
    found = ENGINE.diagnose(["something before", line, LAST])
    assert found is not None
    assert cause in found.cause
    assert found.remedy
    assert found.line == line


def test_the_last_line_alone_is_known_and_says_little() -> None:
    found = ENGINE.diagnose([LAST])
    assert found is not None
    assert found.cause == "The model could not be loaded."
    assert ENGINE.diagnose(["all is well", "srv  update_slots: all slots are idle"]) is None
    assert ENGINE.diagnose([]) is None


def test_only_the_last_attempt_counts() -> None:
    start = "0.00.002.560 I cmn  common_param: common_params_print_info: verbosity = 3"
    oom = "cudaMalloc failed: out of memory"
    port = "E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18125"
    found = ENGINE.diagnose([start, oom, LAST, start, port])
    assert found is not None
    assert "18125" in found.cause


def test_escape_sequences_of_a_log_are_taken_out() -> None:
    found = ENGINE.diagnose(["E failed to open GGUF file '\x1b]0;owned\x07/m\x1b[2J.gguf' (No such file or directory)"])
    assert found is not None
    assert "\x1b" not in found.cause + found.line
    assert "/m.gguf" in found.cause
