"""llama.cpp's llama-server: GGUF files on GPUs or on the processor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.engines import flags
from core.engines.base import READY, Diagnosis, Launch, LaunchRequest
from core.engines.diagnosis import COMMON, GENERIC, Rule, diagnose
from core.registry.values import DeployOptions, EngineName

_IMAGE = "ghcr.io/ggml-org/llama.cpp"
_CUDA_13_DRIVER = 580

_ALIASES = {
    "m": "model",
    "a": "alias",
    "c": "ctx-size",
    "b": "batch-size",
    "ub": "ubatch-size",
    "t": "threads",
    "tb": "threads-batch",
    "np": "parallel",
    "ngl": "gpu-layers",
    "n-gpu-layers": "gpu-layers",
    "n_gpu_layers": "gpu-layers",
    "ctk": "cache-type-k",
    "ctv": "cache-type-v",
    "fa": "flash-attn",
    "sm": "split-mode",
    "ts": "tensor-split",
    "mg": "main-gpu",
    "dev": "device",
    "kvu": "kv-unified",
    "no-kvu": "no-kv-unified",
    "cmoe": "cpu-moe",
    "ncmoe": "n-cpu-moe",
    "ot": "override-tensor",
    "mm": "mmproj",
    "md": "spec-draft-model",
    "cram": "cache-ram",
    "lv": "verbosity",
    "fit-ctx": "fit-ctx",
    "hf": "hf-repo",
    "hfr": "hf-repo",
    "hft": "hf-token",
    "mu": "model-url",
    "dr": "docker-repo",
    "embedding": "embeddings",
    "reranking": "rerank",
    "nkvo": "no-kv-offload",
    "to": "timeout",
    "lm": "load-mode",
}
_LOCAL_ONLY = "models are taken from the host's files; set the model's path instead"
_OURS = {
    "model": "is the model's path; edit the model instead",
    "alias": "is the model's served name; edit the model instead",
    "host": "is set by --bind",
    "port": "is set by --port",
    "ctx-size": "is set by --max-model-len",
    "parallel": "is set by --parallel",
    "api-key-file": "is set by the API key that each server gets",
    "hf-repo": _LOCAL_ONLY,
    "hf-file": _LOCAL_ONLY,
    "model-url": _LOCAL_ONLY,
    "docker-repo": _LOCAL_ONLY,
    "models-dir": _LOCAL_ONLY,
    "models-preset": _LOCAL_ONLY,
    "offline": "is set always",
    "metrics": "is set always",
}
_GONE = {
    "draft": "was dropped: use spec-draft-n-max",
    "draft-n": "was dropped: use spec-draft-n-max",
    "draft-max": "was dropped: use spec-draft-n-max",
    "draft-min": "was dropped: use spec-draft-n-min",
    "draft-n-min": "was dropped: use spec-draft-n-min",
    "spec-ngram-size-n": "was dropped: use spec-ngram-simple-size-n",
    "spec-ngram-size-m": "was dropped: use spec-ngram-simple-size-m",
    "spec-ngram-min-hits": "was dropped: use spec-ngram-simple-min-hits",
}
_TASK_FLAGS = {"embed": ("--embeddings",), "rerank": ("--rerank",)}

_PHASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"server is listening on|llama_server: listening on", READY),
        (r"llama_server: model loaded|main: model loaded", "model loaded"),
        (r"load_model: loading model|load_model: local path", "loading the model"),
        (r"load_tensors: loading model tensors", "loading weights"),
        (r"offloaded (\d+/\d+) layers to GPU", "loaded {0} layers onto GPUs"),
        (r"fitting params to device memory", "measuring memory"),
        (r"llama_kv_cache: size =|constructing llama_context", "reserving the context"),
        (r"warming up the model", "warming up"),
        (r"initializing, n_slots = (\d+)|initializing slots, n_slots = (\d+)", "preparing {0} slots"),
    )
)
_STARTS = re.compile(r"common_params_print_info: verbosity|^build: \d+ ")

_RULES: tuple[Rule, ...] = (
    Rule(
        r"error: invalid argument: (?P<flag>\S+)",
        "This llama-server does not know the flag {flag}.",
        "Leave the flag out, or use an image that knows it.",
    ),
    Rule(
        r'error while handling argument "--api-key-file"',
        "The file with the API key could not be read.",
        "Deploy it again; with an image that runs as another user, check that it may read /run/secrets.",
    ),
    Rule(
        r'error while handling argument "(?P<flag>[^"]+)": (?P<what>.{1,160})',
        "The value of {flag} is not accepted: {what}",
        "Correct or leave out that option.",
    ),
    Rule(
        r"couldn't bind HTTP server socket, hostname: \S+, port: (?P<port>\d+)",
        "Port {port} is in use by something else.",
        "Choose another port, or leave it out so that a free one is chosen.",
    ),
    Rule(
        r"failed to open GGUF file '(?P<path>[^']*)' \(Permission denied\)",
        "The server may not read {path}.",
        "Make the model's files readable: chmod -R a+rX FOLDER.",
    ),
    Rule(
        r"failed to open GGUF file '(?P<path>[^']*)'",
        "The model's file {path} is not there.",
        "Check the model's path on that host, or copy or download the model to it.",
    ),
    Rule(
        r"Failed to load CLIP model from (?P<path>[^.]*\.?\w*)|failed to load multimodal model",
        "The image part (mmproj) of the model could not be loaded.",
        "Check that it belongs to this model and is whole, or leave mmproj out.",
    ),
    Rule(
        r"invalid magic characters: (?P<magic>.{1,20}), expected 'GGUF'|failed to read magic",
        "The model's file is no GGUF file.",
        "llama.cpp reads GGUF only; download it again, or deploy safetensors with vLLM.",
    ),
    Rule(
        r"data is not within the file bounds|string length \d+ exceeds remaining file size"
        r"|gguf_init_from_(?:reader|file)\w*: failed to read",
        "The model's file is truncated or damaged.",
        "Copy or download it again, then check it with modelyard files verify.",
    ),
    Rule(
        r"(?:invalid split file|missing split|split .* not found|failed to load GGUF split|illegal split file)",
        "Parts of the split model are missing.",
        "Copy or download all parts into one folder.",
    ),
    Rule(
        r"unknown model architecture: '(?P<arch>[^']*)'",
        "This llama.cpp does not know the architecture {arch}.",
        "Use a newer image; for embeddings of an image part, give the main model's file.",
    ),
    Rule(
        r"unknown pre-tokenizer type: '(?P<kind>[^']*)'",
        "This llama.cpp does not know the model's tokenizer {kind}.",
        "Use a newer image.",
    ),
    Rule(
        r"(?:missing tensor|wrong number of tensors|tensor '[^']*' has wrong shape|missing tensor '[^']*')",
        "The file's tensors are not those that its architecture has.",
        "Use a newer image, or a newer conversion of the model.",
    ),
    Rule(
        r"quantized V cache requires flash.?attn",
        "A quantized cache of values needs flash attention.",
        "Leave out flash-attn=off, or use cache-type-v=f16.",
        lambda _: {"cache-type-v": "f16"},
    ),
    Rule(
        r"failed to allocate buffer for kv cache|failed to allocate .* KV buffer|not enough space in the (?:kv )?cache",
        "There was no memory for a context of this length.",
        "Lower --max-model-len or --parallel, or use cache-type-k=q8_0 and cache-type-v=q8_0.",
    ),
    Rule(
        r"allocating (?P<size>[\d.]+) MiB on device (?P<device>\d+): cudaMalloc failed: out of memory",
        "GPU {device} had no {size} MiB left: out of memory.",
        "Free the GPU, lower --max-model-len, use a smaller quantization, more GPUs, or gpu-layers=auto.",
        lambda _: {"gpu-layers": "auto"},
    ),
    Rule(
        r"cudaMalloc failed: out of memory|CUDA error: out of memory|ErrorOutOfDeviceMemory"
        r"|unable to allocate (?:CUDA|Vulkan|ROCm)\d* buffer",
        "The GPU ran out of memory.",
        "Free the GPU, lower --max-model-len, use a smaller quantization, more GPUs, or gpu-layers=auto.",
        lambda _: {"gpu-layers": "auto"},
    ),
    Rule(
        r"std::bad_alloc|unable to allocate CPU buffer|mmap failed: Cannot allocate memory|ggml_aligned_malloc",
        "The host's memory is too small for the model.",
        "Use a smaller quantization or context, or another host.",
    ),
    Rule(
        r"no CUDA-capable device|failed to initialize CUDA|CUDA driver version is insufficient"
        r"|libcuda\.so\.1: cannot open",
        "No usable CUDA: the GPU or its driver can't be reached.",
        "Run nvidia-smi on the host; use an image for its CUDA version, or the image without CUDA.",
    ),
    Rule(
        r"no kernel image is available for execution",
        "The image has no code for this kind of GPU.",
        "Use an image built for it.",
    ),
    Rule(
        r"failed to create.?context with model|failed to initialize the context",
        "The context could not be made.",
        "Lower --max-model-len and look at the lines above it in the log.",
    ),
)
_LAST = (
    Rule(
        r"exiting due to model loading error|failed to load model",
        "The model could not be loaded.",
        "Look at the error lines of its log.",
    ),
)


class LlamaCpp:
    """One process, one GGUF model; the listed context length holds for each request."""

    name = EngineName.LLAMACPP
    label = "llama.cpp"
    program = "/app/llama-server"
    container_port = 8080  # the images' own health check asks this port
    health_path = "/health"
    metrics_path = "/metrics"
    formats = frozenset({"gguf"})
    user = ""

    def default_image(self, *, gpu: bool, driver_version: str = "") -> str:
        if not gpu:
            return f"{_IMAGE}:server"
        major = driver_version.partition(".")[0]
        newest = major.isdigit() and int(major) >= _CUDA_13_DRIVER
        return f"{_IMAGE}:server-cuda13" if newest else f"{_IMAGE}:server-cuda"

    def needs_gpu(self, image: str) -> bool:
        del image  # every build serves on a processor
        return False

    def launch(self, request: LaunchRequest) -> Launch:
        return Launch(
            argv=(self.program, *_arguments(request)),
            env={"LLAMA_ARG_LOG_COLORS": "off"},
        )

    def check_options(self, options: DeployOptions) -> dict[str, str]:
        found = flags.check_common(options)
        if options.dtype != "auto":
            found["dtype"] = "is fixed by a GGUF file; leave it at auto"
        if options.trust_remote_code:
            found["trust_remote_code"] = "means nothing to llama.cpp, which runs no code of models"
        return found | flags.problems_of(options.extra, _ALIASES, ours=_OURS, gone=_GONE)

    def named_flags(self, options: DeployOptions) -> dict[str, str]:
        return flags.named(options.extra, _ALIASES)

    def phase(self, line: str) -> str | None:
        for pattern, phase in _PHASES:
            if match := pattern.search(line):
                told = [group for group in match.groups() if group]
                return phase.format(*told) if told else phase
        return None

    def diagnose(self, lines: Sequence[str]) -> Diagnosis | None:
        return diagnose(lines, (*_RULES, *COMMON, *GENERIC, *_LAST), starts=_STARTS)


def _arguments(request: LaunchRequest) -> Iterator[str]:
    options = request.options
    extra = flags.named(options.extra, _ALIASES)
    yield from ("--model", request.model_path, "--alias", request.served_name)
    yield from ("--host", request.listen, "--port", str(request.port))
    yield from ("--ctx-size", str(_total_context(request, extra)))
    if options.parallel is not None:
        yield from ("--parallel", str(options.parallel))
    yield from _devices(request.gpu_count, extra)
    yield from ("--metrics", "--jinja", "--offline", "--no-webui")
    if request.api_key_file:
        yield from ("--api-key-file", request.api_key_file)
    yield from _TASK_FLAGS.get(request.task, ())
    yield from flags.written(options.extra, _ALIASES)


def _total_context(request: LaunchRequest, extra: dict[str, str]) -> int:
    """Tokens of all slots: an explicit number of slots divides the context, unless they share one cache."""
    slots = request.options.parallel or 1
    return request.max_model_len * (1 if "kv-unified" in extra else slots)


def _devices(gpu_count: int, extra: dict[str, str]) -> Iterator[str]:
    """All layers on the GPUs, or none; never an unnoticed part of them."""
    if gpu_count == 0:
        if not extra.keys() & {"device", "gpu-layers"}:
            yield from ("--device", "none", "--gpu-layers", "0")
        return
    if "gpu-layers" not in extra:
        yield from ("--gpu-layers", "all")
    if gpu_count > 1 and "split-mode" not in extra:
        yield from ("--split-mode", "layer")
