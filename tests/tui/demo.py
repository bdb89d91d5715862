"""A fleet to look at: what the screenshots show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.deploy.values import GpuFit
from core.events import now
from core.findings import Finding, Severity
from core.hosts.connection import DiskUsage
from core.hosts.values import Gpu, HostOverview
from core.registry.records import Host, Model
from core.registry.store import Registry
from core.registry.values import ServerStatus
from tests.tui.fake import GIB, Script, finding, server_values

_MODELS: tuple[dict[str, Any], ...] = (
    {"name": "qwen3-32b", "provider": "vllm", "model_id": "Qwen/Qwen3-32B", "context_length": 40960, "host": "atlas"},
    {"name": "llama-3.3-70b-fp8", "provider": "vllm", "model_id": "meta-llama/Llama-3.3-70B-Instruct-FP8"},
    {"name": "qwen2.5-vl-7b", "provider": "vllm", "model_id": "Qwen/Qwen2.5-VL-7B-Instruct", "supports_vision": True},
    {"name": "smollm2-135m", "provider": "llamacpp", "model_id": "HuggingFaceTB/SmolLM2-135M-Instruct"},
    {"name": "mistral-small-24b", "provider": "vllm", "model_id": "mistralai/Mistral-Small-24B-Instruct-2501"},
    {"name": "gemma-3-12b-it", "provider": "ollama", "model_id": "google/gemma-3-12b-it", "context_length": 131072},
    {"name": "deepseek-r1-distill-14b", "provider": "vllm", "model_id": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"},
    {"name": "support-bot-v4", "provider": "local", "model_id": "Qwen/Qwen3-8B", "context_length": 32768},
    {"name": "bge-m3", "provider": "vllm", "model_id": "BAAI/bge-m3", "task": "embed", "context_length": 8192},
    {"name": "team-gpt", "provider": "openai", "model_id": "gpt-5-mini", "endpoint": "https://api.openai.com/v1"},
)


async def fill(registry: Registry) -> None:
    """Models, hosts and servers in every state."""
    hosts = {name: await _host(registry, name) for name in ("atlas", "borealis", "cygnus")}
    hosts["local"] = await registry.get_host("local")
    models = {values["name"]: await _model(registry, values) for values in _MODELS}
    for number, values in enumerate(_servers()):
        model, host = models[values.pop("model")], hosts[values.pop("host")]
        known = {"id": f"5e{number:010x}", "container_name": f"vllm-model-3d{number:010x}"}
        await registry.add_server(server_values(model, host, values.pop("status"), **known, **values))
    lost = {"unreachable_since": now(), "problem": "No answer from cygnus within 10 s."}
    await registry.edit_host("cygnus", lost)


async def _host(registry: Registry, name: str) -> Host:
    return await registry.add_host(Host(name=name, target=f"ops@{name}.lab", models_dir="/srv/models"))


async def _model(registry: Registry, values: dict[str, Any]) -> Model:
    path = f"/srv/models/{values['model_id']}"
    return await registry.add_model({"supports_tools": True, "path": path, "host": "atlas", **values})


def _servers() -> list[dict[str, Any]]:
    def ago(**time: float) -> Any:
        return now() - timedelta(**time, seconds=5)

    return [
        {
            "model": "qwen3-32b",
            "host": "atlas",
            "status": ServerStatus.RUNNING,
            "started_at": ago(hours=26),
            "gpu_memory": int(70.2 * GIB),
            "gpus": ["GPU-4f1c6b1e"],
            "image": "vllm/vllm-openai:v0.32.0",
        },
        {
            "model": "qwen2.5-vl-7b",
            "host": "borealis",
            "status": ServerStatus.LOADING,
            "started_at": ago(minutes=1),
            "phase": "loading weights 45 %",
            "port": 8001,
            "url": "http://127.0.0.1:8001",
        },
        {
            "model": "smollm2-135m",
            "host": "local",
            "status": ServerStatus.RUNNING,
            "started_at": ago(minutes=12),
            "server_type": "llamacpp",
            "runtime": "process",
            "port": 8080,
            "url": "http://127.0.0.1:8080",
        },
        {
            "model": "llama-3.3-70b-fp8",
            "host": "atlas",
            "status": ServerStatus.FAILED,
            "port": 8002,
            "cause": "The GPU has too little free memory: 70.6 GiB needed, 66.1 GiB free.",
            "remedy": "Lower the GPU memory share or the context length, or choose another GPU.",
        },
        {"model": "mistral-small-24b", "host": "borealis", "status": ServerStatus.STOPPED, "port": 8003},
        {
            "model": "support-bot-v4",
            "host": "cygnus",
            "status": ServerStatus.RUNNING,
            "started_at": ago(days=4, hours=1),
            "gpu_memory": int(17.8 * GIB),
            "observed_at": ago(minutes=3),
        },
    ]


def _gpu(index: int, name: str, total: float, used: float) -> Gpu:
    return Gpu(
        uuid=f"GPU-{index}f1c6b1e",
        index=index,
        name=name,
        memory_total=int(total * GIB),
        memory_used=int(used * GIB),
        memory_free=int((total - used) * GIB),
        utilization=37 if used > 1 else 0,
        temperature=54 if used > 1 else 31,
        power=412.0 if used > 1 else 74.0,
    )


def _overview(name: str, *gpus: Gpu, disk: float, **more: Any) -> HostOverview:
    values: dict[str, Any] = {
        "name": name,
        "kind": "ssh",
        "target": f"ops@{name}.lab",
        "models_dir": "/srv/models",
        "reachable": True,
        "engine": "Docker 28.3.2",
        "gpus": gpus,
        "gpu_source": "nvml",
        "disk": DiskUsage(path="/srv/models", total=3700 * GIB, free=int(disk * GIB)),
        "cpus": 96,
        "memory_total": 1007 * GIB,
        "memory_available": 911 * GIB,
        "os": "Ubuntu 24.04.2 LTS",
        **more,
    }
    return HostOverview(**values)


def script() -> Script:
    """What the hosts of the fleet say."""
    h200 = [_gpu(n, "NVIDIA H200", 140.4, used) for n, used in enumerate((70.2, 74.3, 0.4, 0.4))]
    l40s = [_gpu(n, "NVIDIA L40S", 44.7, used) for n, used in enumerate((16.1, 0.3))]
    return Script(
        overviews={
            "atlas": _overview("atlas", *h200, disk=1210),
            "borealis": _overview("borealis", *l40s, disk=402, cpus=32, memory_total=252 * GIB),
            "cygnus": _overview(
                "cygnus",
                disk=0,
                reachable=False,
                problem="No answer from cygnus within 10 s.",
                remedy="Check that the machine is up and that this one has a route to it: ssh ops@cygnus.lab",
            ),
            "local": _overview(
                "local",
                disk=88,
                kind="local",
                engine="",
                cpus=8,
                memory_total=31 * GIB,
                memory_available=19 * GIB,
                problem="No container engine answers here.",
                remedy="Install Docker, or deploy as a process.",
            ),
        },
        findings=plan_findings(),
        gpus=plan_gpus(),
        doctor=doctor_findings(),
        log_lines=LOG_LINES,
        answer=ANSWER,
    )


def plan_findings() -> list[Finding]:
    """A dry run with a warning."""
    return [
        finding(Severity.OK, "The model's 17 files are complete: 62.5 GiB of safetensors, Qwen3ForCausalLM, bfloat16."),
        finding(Severity.OK, "Port 8000 is free on atlas."),
        finding(
            Severity.WARNING,
            "The image vllm/vllm-openai:v0.32.0 is not on atlas yet: 9.4 GiB are fetched first.",
            "Copy it ahead of time, or wait a few minutes longer.",
        ),
        finding(Severity.INFO, "No data type was asked for: bfloat16, as in the files."),
    ]


def plan_gpus() -> tuple[GpuFit, ...]:
    """One that fits and is chosen, one that is too full."""
    need = int(21.7 * GIB)
    return (
        GpuFit(uuid="GPU-2", name="NVIDIA H200", total=140 * GIB, free=139 * GIB, needed=need, fits=True, chosen=True),
        GpuFit(uuid="GPU-1", name="NVIDIA H200", total=140 * GIB, free=12 * GIB, needed=need, fits=False, chosen=False),
    )


def doctor_findings() -> list[Finding]:
    """A healthy host with one remark."""
    return [
        finding(Severity.OK, "ssh connects in 0.2 s as ops."),
        finding(Severity.OK, "Docker 28.3.2 answers, containers can have NVIDIA GPUs (nvidia runtime)."),
        finding(Severity.OK, "4 GPUs are seen through NVML, driver 575.57.08."),
        finding(
            Severity.WARNING,
            "The models folder's disk is 67 % full.",
            "Remove what is not used, or set another folder.",
        ),
    ]


LOG_LINES = [
    "INFO 07-02 09:14:01 [api_server.py:1287] vLLM API server version 0.32.0",
    "INFO 07-02 09:14:09 [config.py:717] This model supports multiple tasks: {'generate', 'embed'}. Using 'generate'.",
    "INFO 07-02 09:14:12 [core.py:58] Initializing a V1 LLM engine (v0.32.0) with config: model='/models/qwen3-32b'",
    "INFO 07-02 09:14:20 [gpu_model_runner.py:1329] Starting to load model /models/qwen3-32b...",
    "Loading safetensors checkpoint shards:  35% Completed | 6/17 [00:04<00:08,  1.31it/s]",
    "Loading safetensors checkpoint shards: 100% Completed | 17/17 [00:12<00:00,  1.38it/s]",
    "WARNING 07-02 09:14:33 [config.py:1123] Default sampling parameters have been overridden by generation_config.",
    "INFO 07-02 09:14:41 [kv_cache_utils.py:634] GPU KV cache size: 212,480 tokens",
    "INFO 07-02 09:14:55 [api_server.py:1412] Starting vLLM API server on http://0.0.0.0:8000",
    "INFO:     Application startup complete.",
    'INFO:     127.0.0.1:51388 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
]
ANSWER = [
    "A bearing fault usually shows as ",
    "a narrow peak at the ball-pass frequency, ",
    "with sidebands spaced by the shaft speed.\n\n",
    "1. Take the envelope of the signal in a band around a resonance.\n",
    "2. Look for the fault frequency and its harmonics in the spectrum of the envelope.\n",
    "3. Trend their energy: a rise by a factor of four within a week is a reason to stop.",
]
