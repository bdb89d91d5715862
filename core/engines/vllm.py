"""vLLM: safetensors models on NVIDIA GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from core.engines import flags
from core.engines.base import READY, Diagnosis, Launch, LaunchRequest
from core.engines.diagnosis import COMMON, GENERIC, Rule, diagnose
from core.engines.vllm_failures import RULES, STARTS
from core.registry.values import DeployOptions, EngineName

VERSION = "0.33.0"
_CUDA_13_DRIVER = 580
_GIB = 1 << 30
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")

_ALIASES = {
    "tp": "tensor-parallel-size",
    "pp": "pipeline-parallel-size",
    "dp": "data-parallel-size",
    "q": "quantization",
    "O": "optimization-level",
}
_OURS = {
    "model": "is the model's path; edit the model instead",
    "served-model-name": "is the model's served name; edit the model instead",
    "host": "is set by --bind",
    "port": "is set by --port",
    "uds": "is set by --bind and --port",
    "max-model-len": "is set by --max-model-len of the deploy",
    "gpu-memory-utilization": "is set by --gpu-memory-utilization of the deploy",
    "tensor-parallel-size": "is set by --tensor-parallel-size of the deploy",
    "dtype": "is set by --dtype of the deploy",
    "trust-remote-code": "is set by --trust-remote-code of the deploy",
    "max-num-seqs": "is set by --parallel",
    "config": "would bring options that nobody checked; give them one by one",
}
_GONE = {
    "swap-space": "was dropped: vLLM recomputes instead of swapping",
    "task": "was dropped: use runner and convert",
    "guided-decoding-backend": "was dropped: use structured-outputs-config",
    "disable-log-requests": "was dropped: requests are not logged unless enable-log-requests is given",
    "enable-reasoning": "was dropped: reasoning-parser alone is enough",
    "num-scheduler-steps": "was dropped, without replacement",
    "max-seq-len-to-capture": "was dropped: use max-cudagraph-capture-size",
    "rope-scaling": "was dropped: use hf-overrides",
    "rope-theta": "was dropped: use hf-overrides",
    "calculate-kv-scales": "was dropped, without replacement",
    "override-pooler-config": "was dropped: use pooler-config",
    "preemption-mode": "was dropped, without replacement",
    "device": "was dropped: the image decides",
}
_NEVER = {
    "gguf": "vLLM reads no GGUF any more: deploy it with --engine llamacpp",
    "bitsandbytes": "vLLM has no bitsandbytes any more: use AWQ, GPTQ or FP8 weights",
}
_TASK_FLAGS = {
    "embed": ("--runner", "pooling", "--convert", "embed"),
    "classify": ("--runner", "pooling", "--convert", "classify"),
    "rerank": ("--runner", "pooling", "--convert", "classify"),
}
# the key is read inside the container: it stands neither in the command nor in the settings that can be inspected
_WITH_KEY = 'VLLM_API_KEY="$(cat {file})" && export VLLM_API_KEY && exec "$@"'

_AS_MODULE = ("-m", "vllm.entrypoints.openai.api_server", "--model")

_PHASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"Application startup complete", READY),
        (r"Starting vLLM (?:API )?server", "opening the port"),
        (r"init engine \(.*\) took", "engine ready"),
        (r"Graph capturing finished", "graphs captured"),
        (r"Capturing CUDA graphs?.*?(\d+)%", "capturing graphs {0} %"),
        (r"Capturing CUDA graphs?", "capturing graphs"),
        (r"[CG]PU KV cache size: ([\d,]+) tokens", "cache for {0} tokens"),
        (r"Available KV cache memory: ([\d.]+ GiB)", "{0} left for the cache"),
        (r"torch\.compile tak|torch\.compile took|Compiling a graph|Warming up model for the comp", "compiling"),
        (r"Model loading took ([\d.]+ GiB)", "weights loaded ({0})"),
        (r"Loading weights took", "weights loaded"),
        (r"checkpoint shards\D*?:\s*(\d+)% Completed", "loading weights {0} %"),
        (r"Multi-thread loading shards:\s*(\d+)%", "loading weights {0} %"),
        (r"Starting to load model|Loading model from scratch", "loading weights"),
        (r"Initializing a V1 LLM engine", "starting the engine"),
        (r"Using max model len ([\d,]+)", "context {0} tokens"),
        (r"Resolved architecture: (\w+)", "recognised {0}"),
        (r"vLLM API server version|non-default args", "starting"),
    )
)
_LAST = (
    Rule(
        r"EngineCore.* ERROR .*\] (?P<what>(?:\w+\.)*\w*(?:Error|Exception|Exit): .{1,240})",
        "vLLM's engine did not start: {what}",
        "The lines above it in the log say where; check the options and the image's version.",
    ),
    Rule(
        r"Engine core initialization failed|EngineDeadError|Engine process failed to start|died unexpectedly",
        "vLLM's engine did not start.",
        "Look at the first ERROR line of its log.",
    ),
)


class Vllm:
    """One server over one or several GPUs of a host."""

    name = EngineName.VLLM
    label = "vLLM"
    program = "vllm"
    container_port = 8000
    health_path = "/health"
    metrics_path = "/metrics"
    formats = frozenset({"safetensors"})
    user = ""

    def default_image(self, *, gpu: bool, driver_version: str = "") -> str:
        del gpu  # there is no official image for processors
        major = driver_version.partition(".")[0]
        older = major.isdigit() and int(major) < _CUDA_13_DRIVER
        return f"vllm/vllm-openai:v{VERSION}{'-cu129' if older else ''}"

    def needs_gpu(self, image: str) -> bool:
        return "cpu" not in image and not is_interpreter(image)

    def launch(self, request: LaunchRequest) -> Launch:
        command = (*self._program(request.options), *_arguments(request))
        if request.api_key_file:
            script = _WITH_KEY.format(file=request.api_key_file)
            command = ("/bin/sh", "-c", script, "sh", *command)
        return Launch(
            argv=command,
            env={
                "HF_HUB_OFFLINE": "1",
                "TRANSFORMERS_OFFLINE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                "DO_NOT_TRACK": "1",
                "VLLM_LOGGING_COLOR": "0",
                "VLLM_ENGINE_READY_TIMEOUT_S": "3600",
            },
            shm_size=(16 if request.gpu_count > 1 else 8) * _GIB,
            writable=("/root/.cache",),
        )

    def _program(self, options: DeployOptions) -> tuple[str, ...]:
        """The CPU builds have no `vllm` program that starts; their module does."""
        if is_interpreter(options.image):
            return (self.program, *_AS_MODULE)
        if "vllm-cpu" in (options.image or ""):
            return ("python3", *_AS_MODULE)
        return (self.program, "serve")

    def check_options(self, options: DeployOptions) -> dict[str, str]:
        found = flags.check_common(options)
        if options.dtype not in _DTYPES:
            found["dtype"] = f"must be one of {', '.join(_DTYPES)}"
        found |= flags.problems_of(options.extra, _ALIASES, ours=_OURS, gone=_GONE)
        for flag, value in flags.named(options.extra, _ALIASES).items():
            if flag in {"quantization", "load-format"} and value in _NEVER:
                found[flag] = _NEVER[value]
        return found

    def named_flags(self, options: DeployOptions) -> dict[str, str]:
        return flags.named(options.extra, _ALIASES)

    def phase(self, line: str) -> str | None:
        for pattern, phase in _PHASES:
            if match := pattern.search(line):
                return phase.format(*match.groups())
        return None

    def diagnose(self, lines: Sequence[str]) -> Diagnosis | None:
        return diagnose(lines, (*RULES, *COMMON, *GENERIC, *_LAST), starts=STARTS)


def is_interpreter(image: str | None) -> bool:
    """Whether it is not an image but the path of a Python that has vLLM installed, as the CPU builds are started."""
    path = PurePosixPath(image or "")
    return path.is_absolute() and path.name.startswith("python")


def _arguments(request: LaunchRequest) -> Iterator[str]:
    options = request.options
    yield request.model_path
    yield from ("--served-model-name", request.served_name)
    yield from ("--host", request.listen, "--port", str(request.port))
    yield from ("--max-model-len", str(request.max_model_len))
    yield from ("--gpu-memory-utilization", f"{options.gpu_memory_utilization:g}")
    yield from ("--tensor-parallel-size", str(options.tensor_parallel_size))
    yield from ("--dtype", options.dtype)
    if options.parallel is not None:
        yield from ("--max-num-seqs", str(options.parallel))
    if options.trust_remote_code:
        yield "--trust-remote-code"
    yield from ("--disable-access-log-for-endpoints", "/health,/metrics")
    yield from _TASK_FLAGS.get(request.task, ())
    yield from flags.written(options.extra, _ALIASES, join=True)
